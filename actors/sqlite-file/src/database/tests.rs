//! Tests of group commit, isolation and the end.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

const SCHEMA: Schema =
    Schema { application_id: 0x7e57_0001, migrations: &["CREATE TABLE t(x INTEGER UNIQUE)"] };

fn open(directory: &tempfile::TempDir) -> Database {
    Database::open(&directory.path().join("file.sqlite"), &SCHEMA).unwrap()
}

fn insert(x: i64) -> impl FnOnce(&Connection) -> Result<(), Error> + Send + 'static {
    move |connection| {
        connection.prepare_cached("INSERT INTO t VALUES (?)")?.execute([x])?;
        Ok(())
    }
}

async fn count(database: &Database) -> i64 {
    let read =
        |c: &Connection| Ok::<_, Error>(c.query_row("SELECT count(*) FROM t", [], |r| r.get(0))?);
    database.read(read).await.unwrap()
}

#[tokio::test]
async fn an_acknowledged_write_is_seen_and_outlives_the_handle() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory);
    for x in 0..10 {
        database.write(0, insert(x)).await.unwrap();
        assert_eq!(count(&database).await, x + 1);
    }
    drop(database);
    assert_eq!(count(&open(&directory)).await, 10);
}

/// What is in the files at the moment of an answer is what a killed process leaves behind.
#[tokio::test]
async fn an_acknowledged_write_is_in_the_files_without_a_clean_end() {
    let (living, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let database = open(&living);
    for x in 0..3 {
        database.write(0, insert(x)).await.unwrap();
    }
    for name in ["file.sqlite", "file.sqlite-wal"] {
        std::fs::copy(living.path().join(name), killed.path().join(name)).unwrap();
    }
    assert_eq!(count(&open(&killed)).await, 3);
}

#[tokio::test]
async fn a_failed_write_takes_nothing_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory);
    // The writer is held, so that all of these share a commit.
    let (held, release) = hold(&database);
    let mut held = pin!(held);
    poll_once(held.as_mut());
    let half_done = |connection: &Connection| {
        insert(100)(connection)?;
        insert(2)(connection)
    };
    let mut first = pin!(database.write(0, insert(1)));
    let mut second = pin!(database.write(0, insert(2)));
    let mut failing = pin!(database.write(0, half_done));
    let mut panicking =
        pin!(database.write(0, |_: &Connection| -> Result<(), Error> { panic!("boom") }));
    let mut last = pin!(database.write(0, insert(3)));
    poll_once(first.as_mut());
    poll_once(second.as_mut());
    poll_once(failing.as_mut());
    poll_once(panicking.as_mut());
    poll_once(last.as_mut());
    release.send(()).unwrap();
    held.await.unwrap();
    assert_eq!((first.await, second.await, last.await), (Ok(()), Ok(()), Ok(())));
    assert!(matches!(failing.await, Err(Error::Statement(_))));
    assert_eq!(panicking.await, Err(Error::Closed));
    assert_eq!(count(&database).await, 3);
}

#[tokio::test]
async fn readers_do_not_wait_for_the_writer() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory);
    let (held, release) = hold(&database);
    let mut held = pin!(held);
    poll_once(held.as_mut());
    assert_eq!(count(&database).await, 0);
    release.send(()).unwrap();
    held.await.unwrap();
}

#[tokio::test]
async fn closing_finishes_what_is_queued() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory);
    let (queued, ()) = tokio::join!(biased; database.write(0, insert(1)), database.close());
    assert_eq!(queued, Ok(()));
    assert_eq!(database.write(0, insert(2)).await, Err(Error::Closed));
    assert_eq!(database.read(|_| Ok::<_, Error>(())).await, Err(Error::Closed));
    database.close().await;
    assert_eq!(count(&open(&directory)).await, 1);
}

#[tokio::test]
async fn a_write_larger_than_the_queue_still_passes() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory);
    database.write(usize::MAX, insert(1)).await.unwrap();
    database.write(usize::MAX, insert(2)).await.unwrap();
}

/// A write that holds the writing thread until it is released.
fn hold(
    database: &Database,
) -> (impl Future<Output = Result<(), Error>>, std::sync::mpsc::Sender<()>) {
    let (release, wait) = std::sync::mpsc::channel();
    let job = move |_: &Connection| {
        let _ = wait.recv();
        Ok(())
    };
    (database.write(0, job), release)
}

fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) {
    assert!(matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
}
