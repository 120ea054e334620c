//! What many outcomes say together: the verdict, its line, its hash and the exit code.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use sha2::{Digest, Sha256};
use simulations::outcome::{Outcome, Verdict};

use super::Exit;
use super::batch::Task;

/// With fewer seeds a rare path that none of them reached is a note, not a failure.
const SEEDS_TO_REACH_ALL: usize = 20;

/// The verdict in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Word {
    /// All is well.
    Passed,
    /// A seed failed, or together they did not reach what they must.
    Failed,
    /// A seed came to a limit of time or memory.
    Stopped,
    /// A person ended it.
    Interrupted,
}

/// What many outcomes say together. Its form in JSON does not change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Summary {
    verdict: Word,
    scenario: String,
    first_seed: u64,
    seeds_asked: u64,
    seeds_done: usize,
    /// The seeds that failed.
    failed: Vec<u64>,
    /// The seeds that came to a limit.
    stopped: Vec<u64>,
    /// Why the first of them did.
    first_cause: Option<String>,
    /// What the seeds must reach together and did not.
    never_reached: Vec<String>,
    /// The one seed's; of several seeds SHA-256 over their hashes, in order, each with a newline.
    hash: String,
    simulated_s: f64,
    cpu_s: f64,
    /// How often the rare paths were taken.
    sometimes: BTreeMap<String, u64>,
}

impl Summary {
    /// Of the outcomes that are there, in the order of their seeds.
    pub(super) fn of<'a>(
        task: &Task,
        is_interrupted: bool,
        outcomes: impl Iterator<Item = &'a Outcome>,
    ) -> Self {
        let outcomes: Vec<&Outcome> = outcomes.collect();
        let seeds = |is: fn(&Verdict) -> bool| -> Vec<u64> {
            outcomes.iter().filter(|outcome| is(&outcome.verdict)).map(|o| o.seed).collect()
        };
        let failed = seeds(|verdict| matches!(verdict, Verdict::Failed { .. }));
        let stopped = seeds(|verdict| matches!(verdict, Verdict::Stopped { .. }));
        let mut sometimes: BTreeMap<String, u64> = BTreeMap::new();
        for (name, times) in outcomes.iter().flat_map(|outcome| &outcome.sometimes) {
            let sum = sometimes.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*times);
        }
        let is_missing = |name: &&String| sometimes.get(*name).is_none_or(|times| *times == 0);
        let never_reached: Vec<String> =
            task.must_reach.iter().filter(is_missing).cloned().collect();
        let must_have_reached = outcomes.len() >= SEEDS_TO_REACH_ALL;
        let verdict = match (failed.is_empty(), stopped.is_empty()) {
            _ if is_interrupted => Word::Interrupted,
            (false, _) => Word::Failed,
            (true, false) => Word::Stopped,
            (true, true) if must_have_reached && !never_reached.is_empty() => Word::Failed,
            (true, true) => Word::Passed,
        };
        let first = failed.first().or(stopped.first());
        let first_cause = outcomes.iter().find(|outcome| Some(&outcome.seed) == first);
        Self {
            verdict,
            scenario: task.scenario.clone(),
            first_seed: task.first,
            seeds_asked: task.seeds,
            seeds_done: outcomes.len(),
            first_cause: first_cause.and_then(|outcome| cause(outcome, task.seeds == 1)),
            failed,
            stopped,
            never_reached,
            hash: hash(&outcomes, task.seeds),
            simulated_s: outcomes.iter().map(|outcome| outcome.cost.simulated_s).sum(),
            cpu_s: outcomes.iter().map(|outcome| outcome.cost.cpu_s).sum(),
            sometimes,
        }
    }

    /// What the exit code says.
    pub(super) fn exit(&self) -> Exit {
        match self.verdict {
            Word::Passed => Exit::Passed,
            Word::Failed | Word::Stopped => Exit::Failed,
            Word::Interrupted => Exit::Interrupted,
        }
    }

    /// The verdict in one line.
    pub(super) fn line(&self) -> String {
        let Self { scenario, seeds_asked, first_seed, .. } = self;
        let first = self.failed.first().or(self.stopped.first()).unwrap_or(first_seed);
        let cause = self.first_cause.as_deref().unwrap_or_default();
        match self.verdict {
            Word::Interrupted => {
                let number = self.failed.len() + self.stopped.len();
                let failed = match number {
                    0 => "none failed".to_owned(),
                    number => format!("{number} failed, first seed {first} ({cause})"),
                };
                let done = self.seeds_done;
                format!("interrupted: {scenario}, {done} of {seeds_asked} seeds done, {failed}")
            }
            Word::Passed if *seeds_asked == 1 => {
                format!("passed: {scenario}, seed {first_seed}, {}", self.figures())
            }
            Word::Passed => format!(
                "passed: {scenario}, {seeds_asked} seeds from {first_seed}, {}",
                self.figures()
            ),
            Word::Failed if self.failed.is_empty() => format!(
                "failed: {scenario}, {seeds_asked} seeds from {first_seed} passed but never reached \
                 {}, {}",
                self.never_reached.join(", "),
                self.figures()
            ),
            Word::Failed | Word::Stopped => {
                let (word, number) = match self.verdict {
                    Word::Stopped => ("stopped", self.stopped.len()),
                    Word::Failed | Word::Passed | Word::Interrupted => {
                        ("failed", self.failed.len())
                    }
                };
                let which = match seeds_asked {
                    1 => format!("seed {first}"),
                    _ => format!("{number} of {seeds_asked} seeds, first seed {first}"),
                };
                format!("{word}: {scenario}, {which} ({cause}), {}", self.figures())
            }
        }
    }

    fn figures(&self) -> String {
        let of_all = if self.seeds_asked == 1 { "" } else { " of all" };
        format!(
            "hash{of_all} {}, {:.1} simulated s in {:.2} CPU-s",
            self.hash, self.simulated_s, self.cpu_s
        )
    }

    /// What few seeds did not reach together, which is no failure.
    pub(super) fn note(&self) -> Option<String> {
        let is_note = self.seeds_done < SEEDS_TO_REACH_ALL && !self.never_reached.is_empty();
        is_note.then(|| {
            let missed = self.never_reached.join(", ");
            format!("note: {missed} not reached; with {SEEDS_TO_REACH_ALL} seeds that is a failure")
        })
    }

    /// The rare paths and how often they were taken, a line each.
    pub(super) fn table(&self) -> String {
        let width = self.sometimes.keys().map(String::len).max().unwrap_or(0).max(10);
        let mut table = String::new();
        if !self.sometimes.is_empty() {
            let _ = writeln!(table, "{:<width$}  times", "rare path");
        }
        for (name, times) in &self.sometimes {
            let note = if *times == 0 { "  never reached" } else { "" };
            let _ = writeln!(table, "{name:<width$}  {times:>5}{note}");
        }
        table
    }
}

/// Why an outcome did not pass: which invariant, and in more words when and where.
pub(super) fn cause(outcome: &Outcome, in_more_words: bool) -> Option<String> {
    match &outcome.verdict {
        Verdict::Passed => None,
        Verdict::Stopped { message } => Some(message.clone()),
        Verdict::Failed { invariant, .. } if !in_more_words || invariant == "panic" => {
            Some(invariant.clone())
        }
        Verdict::Failed { invariant, at_ms, host, message: _ } => {
            let host = host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
            Some(format!("{invariant} at {}.{:03} s{host}", at_ms / 1_000, at_ms % 1_000))
        }
    }
}

fn hash(outcomes: &[&Outcome], asked: u64) -> String {
    if let ([only], 1) = (outcomes, asked) {
        return only.hash.clone();
    }
    let mut sha = Sha256::new();
    for outcome in outcomes {
        sha.update(outcome.hash.as_bytes());
        sha.update(b"\n");
    }
    sha.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::{outcome, task};
    use super::*;

    fn of(seeds: u64, is_interrupted: bool, outcomes: &[Outcome]) -> Summary {
        Summary::of(&task(seeds, false), is_interrupted, outcomes.iter())
    }

    #[test]
    fn one_seed_says_its_own_hash() {
        let summary = of(1, false, &[outcome(5, None)]);
        let line =
            format!("passed: churn, seed 5, hash {:064x}, 20.0 simulated s in 0.25 CPU-s", 5);
        assert_eq!((summary.line(), summary.exit()), (line, Exit::Passed));
        let summary = of(1, false, &[outcome(5, Some("I1"))]);
        let begin = "failed: churn, seed 5 (I1 at 12.345 s on leech-3), hash 00";
        assert!(summary.line().starts_with(begin), "{}", summary.line());
        assert_eq!(summary.exit(), Exit::Failed);
    }

    #[test]
    fn several_seeds_say_how_many_failed_and_a_hash_of_all() {
        let outcomes = [outcome(5, None), outcome(6, Some("I4")), outcome(7, Some("I1"))];
        let summary = of(3, false, &outcomes);
        let begin = "failed: churn, 2 of 3 seeds, first seed 6 (I4), hash of all ";
        assert!(summary.line().starts_with(begin), "{}", summary.line());
        assert!(summary.line().ends_with(", 60.0 simulated s in 0.75 CPU-s"));
    }

    #[test]
    fn the_hash_of_all_is_that_of_their_lines() {
        // printf '%064x\n' 5 6 | sha256sum
        let summary = of(2, false, &[outcome(5, None), outcome(6, None)]);
        assert_eq!(
            summary.hash,
            "1af61b3e5a84bf61e12deb6de2e60b88ed34f6b762bed444bbc3ba7756b17eb2"
        );
        let other = of(2, false, &[outcome(6, None), outcome(5, None)]);
        assert_ne!(summary.hash, other.hash);
    }

    #[test]
    fn a_path_that_many_seeds_never_reached_is_a_failure() {
        let missed = |seeds: u64| {
            let outcomes = (0..seeds).map(|seed| {
                let mut outcome = outcome(seed, None);
                outcome.sometimes.insert("endgame".to_owned(), 0);
                outcome
            });
            of(seeds, false, &outcomes.collect::<Vec<_>>())
        };
        assert_eq!((missed(19).verdict, missed(19).exit()), (Word::Passed, Exit::Passed));
        let note = "note: endgame not reached; with 20 seeds that is a failure";
        assert_eq!(missed(19).note().as_deref(), Some(note));
        assert_eq!(missed(20).note(), None);
        assert_eq!((missed(20).verdict, missed(20).exit()), (Word::Failed, Exit::Failed));
        let part = "20 seeds from 5 passed but never reached endgame, hash of all";
        assert!(missed(20).line().contains(part), "{}", missed(20).line());
    }

    #[test]
    fn a_limit_and_an_interruption_are_no_pass() {
        let mut stopped = outcome(5, None);
        stopped.verdict = Verdict::Stopped { message: "600 CPU-s".to_owned() };
        let summary = of(1, false, &[stopped]);
        assert!(summary.line().starts_with("stopped: churn, seed 5 (600 CPU-s), hash"));
        assert_eq!(summary.exit(), Exit::Failed);
        let summary = of(9, true, &[outcome(5, None), outcome(6, Some("I1"))]);
        let line = "interrupted: churn, 2 of 9 seeds done, 1 failed, first seed 6 (I1)";
        assert_eq!((summary.line().as_str(), summary.exit()), (line, Exit::Interrupted));
        let line = "interrupted: churn, 0 of 9 seeds done, none failed";
        assert_eq!(of(9, true, &[]).line(), line);
    }

    #[test]
    fn the_table_marks_what_was_never_reached() {
        let mut one = outcome(5, None);
        one.sometimes.insert("torn-write".to_owned(), 0);
        let table = of(1, false, &[one]).table();
        assert!(table.contains("endgame         1\n"), "{table}");
        assert!(table.contains("torn-write      0  never reached\n"), "{table}");
    }
}
