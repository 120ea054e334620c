//! `topics` and `events` as they are used, on whatever log the settings name.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The program with the settings of one log and no others.
pub(crate) struct Program {
    settings: Vec<(String, String)>,
}

impl Program {
    pub(crate) fn new(settings: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| (variable(name), (*value).to_owned());
        Self { settings: settings.iter().map(owned).collect() }
    }

    /// The same with one more setting.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut settings = self.settings.clone();
        settings.push((variable(name), value.to_owned()));
        Self { settings }
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_torrentedge"));
        command.args(line.split(' ')).env_clear().env("HOME", "/nowhere");
        command.envs(self.settings.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).output().expect("it starts")
    }

    /// It works, and says this.
    pub(crate) fn says(&self, line: &str) -> String {
        let output = self.run(line);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{line}: {said}");
        String::from_utf8(output.stdout).expect("it writes UTF-8")
    }

    /// It fails with this exit code; what it wrote, and its last line on standard error.
    pub(crate) fn fails(&self, line: &str, code: i32) -> (String, String) {
        let output = self.run(line);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        let written = String::from_utf8(output.stdout).expect("it writes UTF-8");
        (written, said.lines().last().unwrap_or_default().to_owned())
    }
}

fn variable(key: &str) -> String {
    format!("TORRENTEDGE__{}", key.to_uppercase().replace('.', "__"))
}

/// Topics are made, compared, and changed where they can be.
pub(crate) fn topics(program: &Program) {
    let (written, said) = program.fails("topics check", 1);
    assert!(
        written.lines().any(|line| line.starts_with("audit-log ") && line.ends_with("missing"))
    );
    assert!(said.contains("not as declared: torrent-state, torrent-updates"), "{said}");
    assert!(program.says("topics create").ends_with("topics created: 11\n"));
    assert_eq!(program.says("topics create"), "topics created: 0\n");
    let table = program.says("topics check");
    assert!(table.ends_with("topics as declared: 11\n"), "{table}");
    let lines = table.lines().filter(|line| line.ends_with("as declared")).count();
    assert_eq!(lines, 11, "{table}");

    let changed = program.with("event_log.topics.node_events.retention_age", "3h");
    let (table, _) = changed.fails("topics check", 1);
    let line = table.lines().find(|line| line.starts_with("node-events")).expect("a line");
    assert!(line.contains("3h or 64.00 MiB, is 7d or 64.00 MiB"), "{line}");
    let applied = changed.says("topics apply");
    assert_eq!(applied, "node-events got another retention\ntopics as declared: 11\n");
    changed.says("topics check");
}

/// A record that is sent is seen by who reads from the beginning, and by who waits for it.
pub(crate) fn events(program: &Program) {
    let send = "events send --topic chat-messages --key room --header ce_type=chat.said";
    let place = program.says(&format!("{send} {{\"text\":\"one\"}}"));
    assert!(place.starts_with("chat-messages partition "), "{place}");
    assert!(place.ends_with(" offset 0\n"), "{place}");
    program.says("events send --topic chat-messages --key room not-json");

    let tail = "events tail --topic chat-messages --from beginning";
    let line = program.says(&format!("{tail} --type said --count 1 --json"));
    let record: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(record["payload"]["text"], "one");
    assert_eq!((&record["key"], &record["type"]), (&"room".into(), &"chat.said".into()));
    let both = program.says(&format!("{tail} --count 2"));
    assert!(both.lines().nth(1).is_some_and(|line| line.ends_with(" room - not-json")), "{both}");
    let last = program.says("events tail --topic chat-messages --from 1 --count 1");
    assert!(last.ends_with("not-json\n"), "{last}");

    // From the first record on, one that follows is shown when it comes.
    let mut tail = program.command(&format!("{tail} --count 3")).spawn().expect("it starts");
    let mut lines = BufReader::new(tail.stdout.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("a line").expect("UTF-8");
    assert!(next().contains("one") && next().contains("not-json"));
    program.says(&format!("{send} three"));
    assert!(next().ends_with("three"));
    assert!(tail.wait().expect("it ends").success());

    let (_, said) = program.fails("events tail --topic nothing", 3);
    assert!(said.contains("no topic nothing"), "{said}");
    program.fails("events send --topic nothing --key k v", 3);
}
