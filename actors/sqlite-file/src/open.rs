//! Opening a file and bringing its schema up to date.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::Error;

/// How long a statement waits for another program that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection keeps of the file in memory, in KiB.
const CACHE_KIB: u32 = 1024;

/// What remains of the write-ahead log on disk when it is empty, in bytes.
const JOURNAL_LEN_MAX: u32 = 16 << 20;

/// What a file holds.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// SQLite's application id, by which a file is known to be ours.
    pub application_id: u32,
    /// Scripts in their order. A file of version n has had the first n; none is ever changed, only
    /// appended to.
    pub migrations: &'static [&'static str],
}

/// Opens the connection that writes; makes the file and its directory, and migrates it.
pub(crate) fn open_writer(path: &Path, schema: &Schema) -> Result<Connection, Error> {
    create_private(path).map_err(|e| Error::Io(format!("{}: {e}", path.display())))?;
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Error::Io(format!("{}: no write-ahead log here", path.display())));
    }
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_LEN_MAX)?;
    migrate(&mut connection, path, schema)?;
    Ok(connection)
}

/// Opens a connection that only reads; the file is there and up to date.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, Error> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, Error> {
    // Each connection stays on its thread, so SQLite need not lock.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
    connection.pragma_update(None, "temp_store", "memory")?;
    Ok(connection)
}

/// Makes the file, if it is not there, readable by its owner alone: announce addresses are secrets.
fn create_private(path: &Path) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn migrate(connection: &mut Connection, path: &Path, schema: &Schema) -> Result<(), Error> {
    let application_id: u32 = read_pragma(connection, "application_id")?;
    let version: u32 = read_pragma(connection, "user_version")?;
    let is_empty: bool =
        connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))?;
    if application_id != schema.application_id && !is_empty {
        return Err(Error::Foreign { path: path.display().to_string(), found: application_id });
    }
    let (version, known) =
        (usize::try_from(version).unwrap_or(usize::MAX), schema.migrations.len());
    if version > known {
        return Err(Error::NewerSchema { found: version, known });
    }
    for (done, script) in schema.migrations.iter().enumerate().skip(version) {
        // Script and version in one transaction: a crash leaves the one or the other state.
        let transaction = connection.transaction()?;
        transaction.execute_batch(script)?;
        transaction.pragma_update(None, "application_id", schema.application_id)?;
        transaction.pragma_update(None, "user_version", done.saturating_add(1).to_string())?;
        transaction.commit()?;
    }
    Ok(())
}

fn read_pragma(connection: &Connection, name: &str) -> Result<u32, Error> {
    // SQLite keeps both as signed 32-bit numbers.
    let value: i32 = connection.pragma_query_value(None, name, |row| row.get(0))?;
    Ok(value.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Schema =
        Schema { application_id: 0x7e57_0001, migrations: &["CREATE TABLE a(x)"] };
    const SECOND: Schema = Schema {
        application_id: 0x7e57_0001,
        migrations: &["CREATE TABLE a(x)", "ALTER TABLE a ADD COLUMN y; CREATE TABLE b(x)"],
    };
    const BROKEN: Schema = Schema {
        application_id: 0x7e57_0001,
        migrations: &["CREATE TABLE a(x)", "CREATE TABLE b(x); CREATE NONSENSE"],
    };

    fn open(path: &Path, schema: &Schema) -> Result<u32, Error> {
        read_pragma(&open_writer(path, schema)?, "user_version")
    }

    #[test]
    fn migrates_step_by_step_and_keeps_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/new/file.sqlite");
        assert_eq!(open(&path, &FIRST), Ok(1));
        let connection = open_writer(&path, &FIRST).unwrap();
        connection.execute("INSERT INTO a VALUES (7)", []).unwrap();
        drop(connection);
        assert_eq!(open(&path, &SECOND), Ok(2));
        let x: i64 = open_reader(&path)
            .unwrap()
            .query_row("SELECT x FROM a WHERE y IS NULL", [], |row| row.get(0))
            .unwrap();
        assert_eq!(x, 7);
    }

    #[test]
    fn refuses_newer_foreign_and_broken_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.sqlite");
        assert_eq!(open(&path, &SECOND), Ok(2));
        assert_eq!(open(&path, &FIRST), Err(Error::NewerSchema { found: 2, known: 1 }));
        let other = Schema { application_id: 5, ..FIRST };
        assert!(matches!(open(&path, &other), Err(Error::Foreign { found: 0x7e57_0001, .. })));
        let garbage = directory.path().join("garbage.sqlite");
        std::fs::write(&garbage, vec![7; 4096]).unwrap();
        assert!(matches!(open(&garbage, &FIRST), Err(Error::Corrupt(_))));
        assert!(matches!(open(directory.path(), &FIRST), Err(Error::Io(_))));
    }

    #[test]
    fn a_migration_that_fails_leaves_the_version_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.sqlite");
        assert_eq!(open(&path, &FIRST), Ok(1));
        assert!(open(&path, &BROKEN).is_err());
        assert_eq!(open(&path, &SECOND), Ok(2));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.sqlite");
        let _open = open_writer(&path, &FIRST).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
