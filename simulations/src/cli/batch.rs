//! Many seeds of one scenario: which is next, and what has come of them so far.
//!
//! Knows no process, clock or screen. Invariant: of the outcomes that are kept, at least that which a
//! report would show has its series.

use std::collections::BTreeMap;

use simulations::outcome::{Outcome, Series, Verdict};

use super::summary::Summary;

/// A seed that is to be run in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Job {
    /// The seed.
    pub(super) seed: u64,
    /// Whether it is the second process of the same seed.
    pub(super) is_second: bool,
}

/// How much of an outcome is kept: thousands of them fill the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Verdicts and figures.
    Figures,
    /// And the hosts, for a report.
    Hosts,
    /// All.
    Everything,
}

/// What is to be run.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// The scenario's name.
    pub(super) scenario: String,
    /// The rare paths that its seeds must reach together.
    pub(super) must_reach: Vec<String>,
    /// The first seed.
    pub(super) first: u64,
    /// How many seeds.
    pub(super) seeds: u64,
    /// Whether each is run in two processes that must agree.
    pub(super) twice: bool,
    /// How much of what comes is kept.
    pub(super) keep: Keep,
}

/// How far a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Tally {
    /// Seeds that are done.
    pub(super) done: u64,
    /// Those of them that did not pass.
    pub(super) not_passed: u64,
    /// What they took.
    pub(super) simulated_s: f64,
    /// In seconds.
    pub(super) cpu_s: f64,
}

/// Seeds that are run.
#[derive(Debug)]
pub(super) struct Batch {
    task: Task,
    /// How many jobs were handed out.
    started: u64,
    is_interrupted: bool,
    tally: Tally,
    /// What one process said of a seed that two are to agree on.
    waiting: BTreeMap<u64, Outcome>,
    done: BTreeMap<u64, Outcome>,
}

impl Batch {
    pub(super) fn new(task: Task) -> Self {
        Self {
            task,
            started: 0,
            is_interrupted: false,
            tally: Tally::default(),
            waiting: BTreeMap::new(),
            done: BTreeMap::new(),
        }
    }

    /// What is to be started next; nothing if all has been, or it was interrupted.
    pub(super) fn next(&mut self) -> Option<Job> {
        let processes = if self.task.twice { 2 } else { 1 };
        let index = self.started / processes;
        if self.is_interrupted || index >= self.task.seeds {
            return None;
        }
        let is_second = self.started % processes == 1;
        self.started += 1;
        Some(Job { seed: self.task.first.saturating_add(index), is_second })
    }

    /// Takes what came of a job. Returns what came of its seed, if that is done now.
    pub(super) fn take(&mut self, job: Job, outcome: Outcome) -> Option<&Outcome> {
        let outcome = match (self.task.twice, self.waiting.remove(&job.seed)) {
            (false, _) => outcome,
            (true, None) => {
                self.waiting.insert(job.seed, outcome);
                return None;
            }
            (true, Some(other)) if job.is_second => agreed(other, outcome),
            (true, Some(other)) => agreed(outcome, other),
        };
        self.tally.done += 1;
        self.tally.not_passed += u64::from(outcome.verdict != Verdict::Passed);
        self.tally.simulated_s += outcome.cost.simulated_s;
        self.tally.cpu_s += outcome.cost.cpu_s;
        let shown = self.shown();
        self.done.insert(job.seed, outcome);
        let shown_now = self.shown();
        let others = [shown, Some(job.seed)].into_iter().flatten();
        for seed in others.filter(|seed| Some(*seed) != shown_now) {
            if let Some(outcome) = self.done.get_mut(&seed) {
                lighten(outcome, self.task.keep);
            }
        }
        self.done.get(&job.seed)
    }

    /// No further job is handed out, and the verdict is that it was interrupted.
    pub(super) fn interrupt(&mut self) {
        self.is_interrupted = true;
    }

    /// How far it is.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// What all that is done says together, and what is done, in the order of the seeds.
    pub(super) fn end(self) -> (Summary, Vec<Outcome>) {
        let summary = Summary::of(&self.task, self.is_interrupted, self.done.values());
        (summary, self.done.into_values().collect())
    }

    /// The seed that a report would show: the first that did not pass, else the first.
    fn shown(&self) -> Option<u64> {
        let failed = self.done.values().find(|outcome| outcome.verdict != Verdict::Passed);
        failed.or(self.done.values().next()).map(|outcome| outcome.seed)
    }
}

/// What two processes say of one plan: the same, or that determinism is broken (I10).
pub(super) fn agreed(first: Outcome, second: Outcome) -> Outcome {
    if first.hash == second.hash && first.verdict == second.verdict {
        return first;
    }
    let say = |outcome: &Outcome| match &outcome.verdict {
        Verdict::Passed => format!("passed, hash {}", outcome.hash),
        Verdict::Failed { invariant, .. } => format!("failed ({invariant}), hash {}", outcome.hash),
        Verdict::Stopped { message } => format!("stopped ({message}), hash {}", outcome.hash),
    };
    let message = format!("two processes differ: {}; {}", say(&first), say(&second));
    let invariant = "I10".to_owned();
    Outcome { verdict: Verdict::Failed { invariant, at_ms: 0, host: None, message }, ..first }
}

/// Drops what is not needed of an outcome that no report shows.
fn lighten(outcome: &mut Outcome, keep: Keep) {
    match keep {
        Keep::Everything => {}
        Keep::Hosts => outcome.series = Series::default(),
        Keep::Figures => {
            outcome.series = Series::default();
            outcome.hosts = Vec::new();
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use simulations::outcome::Cost;

    use super::super::Exit;
    use super::*;

    pub(in crate::cli) fn task(seeds: u64, twice: bool) -> Task {
        Task {
            scenario: "churn".to_owned(),
            must_reach: vec!["endgame".to_owned()],
            first: 5,
            seeds,
            twice,
            keep: Keep::Figures,
        }
    }

    pub(in crate::cli) fn outcome(seed: u64, invariant: Option<&str>) -> Outcome {
        let verdict = match invariant {
            None => Verdict::Passed,
            Some(invariant) => Verdict::Failed {
                invariant: invariant.to_owned(),
                at_ms: 12_345,
                host: Some("leech-3".to_owned()),
                message: "m".to_owned(),
            },
        };
        Outcome {
            scenario: "churn".to_owned(),
            seed,
            verdict,
            hash: format!("{seed:064x}"),
            cost: Cost { simulated_s: 20.0, cpu_s: 0.25, ..Cost::default() },
            hosts: Vec::new(),
            sometimes: BTreeMap::from([("endgame".to_owned(), 1)]),
            series: Series { at_ms: vec![0], ..Series::default() },
            faults: Vec::new(),
        }
    }

    #[test]
    fn seeds_are_run_in_order_and_once() {
        let mut batch = Batch::new(task(3, false));
        let jobs: Vec<Job> = std::iter::from_fn(|| batch.next()).collect();
        assert_eq!(jobs, [5, 6, 7].map(|seed| Job { seed, is_second: false }));
    }

    #[test]
    fn twice_is_two_processes_a_seed_that_must_agree() {
        let mut batch = Batch::new(task(1, true));
        let (first, second) = (batch.next().unwrap(), batch.next().unwrap());
        assert_eq!((first.seed, first.is_second, second.is_second), (5, false, true));
        assert_eq!(batch.next(), None);
        assert_eq!(batch.take(second, outcome(5, None)), None);
        let mut other = outcome(5, None);
        other.hash = "0".repeat(64);
        let merged = batch.take(first, other).unwrap();
        let Verdict::Failed { invariant, message, .. } = &merged.verdict else { panic!() };
        assert_eq!(invariant, "I10");
        assert!(message.contains(&"0".repeat(64)) && message.contains("05"), "{message}");
    }

    #[test]
    fn processes_that_agree_are_one_outcome() {
        let mut batch = Batch::new(task(1, true));
        let (first, second) = (batch.next().unwrap(), batch.next().unwrap());
        batch.take(first, outcome(5, Some("I1")));
        assert_eq!(batch.take(second, outcome(5, Some("I1"))), Some(&outcome(5, Some("I1"))));
    }

    #[test]
    fn nothing_is_started_after_an_interruption() {
        let mut batch = Batch::new(task(3, false));
        batch.next();
        batch.interrupt();
        assert_eq!(batch.next(), None);
        assert_eq!(batch.end().0.exit(), Exit::Interrupted);
    }

    #[test]
    fn a_tally_counts_seeds_rather_than_processes() {
        let mut batch = Batch::new(task(2, true));
        while let Some(job) = batch.next() {
            batch.take(job, outcome(job.seed, (job.seed == 6).then_some("I1")));
        }
        let tally = Tally { done: 2, not_passed: 1, simulated_s: 40.0, cpu_s: 0.5 };
        assert_eq!(batch.tally(), tally);
    }

    #[test]
    fn only_what_a_report_shows_keeps_its_series() {
        let mut batch = Batch::new(task(9, false));
        let mut take = |seed, invariant| {
            batch.take(Job { seed, is_second: false }, outcome(seed, invariant));
            let kept = batch.done.values().filter(|outcome| !outcome.series.at_ms.is_empty());
            kept.map(|outcome| outcome.seed).collect::<Vec<u64>>()
        };
        assert_eq!(take(6, None), [6]);
        assert_eq!(take(5, None), [5]);
        assert_eq!(take(9, Some("I1")), [9]);
        assert_eq!(take(8, Some("I1")), [8]);
        assert_eq!(take(10, Some("I1")), [8]);
        assert_eq!(take(7, None), [8]);
    }
}
