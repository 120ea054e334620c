//! `run`: one or many seeds of a scenario, each in a process of its own.

use std::fmt::Write;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use simulations::outcome::{Outcome, Verdict};
use simulations::report;
use simulations::scenario::{self, Scenario, ScenarioError};

use super::batch::{Batch, Job, Keep, Task};
use super::child::{Launcher, second_trace};
use super::interrupt::{Interrupt, runtime};
use super::output::{self, note};
use super::progress::Progress;
use super::summary::{Summary, cause};
use super::{Exit, Failure, RunFlags, called, repro_file};

/// So many seeds that did not pass are told of and leave a repro; the rest is counted.
const TOLD_MAX: usize = 10;

/// Runs the seeds, and says what came of them.
///
/// # Errors
///
/// There is no such scenario, it is wrong, or processes cannot be started.
pub(super) fn run(flags: &RunFlags) -> Result<Exit, Failure> {
    let scenario = scenario::find(&flags.scenario).map_err(|error| {
        let exit = match &error {
            ScenarioError::Unknown { .. } | ScenarioError::Unreadable { .. } => Exit::NotFound,
            ScenarioError::Wrong { .. } => Exit::Usage,
        };
        Failure::new(exit, error)
    })?;
    let task = task(flags, &scenario);
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let seeds = Seeds { flags, scenario: &scenario, launcher: Launcher::new(&flags.limits)? };
    let mut session = Session {
        progress: Progress::new(task.seeds),
        batch: Batch::new(task),
        jobs: flags.jobs.unwrap_or_else(cores),
        told: 0,
    };
    let driven = runtime()?.block_on(session.drive(&seeds));
    if driven.is_err() {
        session.batch.interrupt();
    }
    // What is done is told also when something went wrong on the way.
    let exit = session.end(&seeds)?;
    driven.map(|()| exit)
}

fn task(flags: &RunFlags, scenario: &Scenario) -> Task {
    let (first, seeds) = match flags.seeds {
        Some(seeds) => (flags.first, seeds),
        None => (flags.seed.unwrap_or(0), 1),
    };
    let keep = match (flags.json, &flags.report) {
        (true, _) => Keep::Everything,
        (false, Some(_)) => Keep::Hosts,
        (false, None) => Keep::Figures,
    };
    Task {
        scenario: scenario.name.clone(),
        must_reach: scenario.must_reach.clone(),
        first,
        seeds,
        twice: flags.twice,
        keep,
    }
}

/// What a seed needs to be run.
struct Seeds<'a> {
    flags: &'a RunFlags,
    scenario: &'a Scenario,
    launcher: Launcher,
}

impl Seeds<'_> {
    async fn run(&self, job: Job) -> (Job, Result<Outcome, Failure>) {
        let plan = self.scenario.draw(job.seed);
        let trace = self.flags.trace.as_deref();
        let second = trace.map(second_trace);
        let trace = if job.is_second { second.as_deref() } else { trace };
        (job, self.launcher.run(&plan, trace).await)
    }
}

/// Seeds that are run, and what is told of them.
struct Session {
    batch: Batch,
    progress: Progress,
    /// So many run at once.
    jobs: NonZeroUsize,
    /// Seeds that were told of.
    told: usize,
}

impl Session {
    /// Runs all seeds, or until someone asks the program to end.
    async fn drive(&mut self, seeds: &Seeds<'_>) -> Result<(), Failure> {
        let mut interrupt = Interrupt::listen()?;
        // What is still in here at the end is killed with it.
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < self.jobs.get()
                && let Some(job) = self.batch.next()
            {
                running.push(seeds.run(job));
            }
            let done = tokio::select! {
                biased;
                () = interrupt.next() => {
                    self.batch.interrupt();
                    return Ok(());
                }
                done = running.next() => done,
            };
            let Some((job, outcome)) = done else { return Ok(()) };
            self.take(seeds, job, outcome?)?;
        }
    }

    fn take(&mut self, seeds: &Seeds<'_>, job: Job, outcome: Outcome) -> Result<(), Failure> {
        let told = self.told;
        let Some(outcome) = self.batch.take(job, outcome) else { return Ok(()) };
        if outcome.verdict != Verdict::Passed {
            self.told += 1;
            if told < TOLD_MAX {
                self.progress.aside(|| tell(seeds, outcome))?;
            }
        }
        self.progress.show(self.batch.tally());
        Ok(())
    }

    /// Says what came of all of them; the last line is the verdict.
    fn end(self, seeds: &Seeds<'_>) -> Result<Exit, Failure> {
        drop(self.progress);
        if self.told > TOLD_MAX {
            note(&format!("{} more seeds did not pass and left no repro", self.told - TOLD_MAX));
        }
        let (summary, outcomes) = self.batch.end();
        let table = summary.table();
        if !table.is_empty() {
            note(table.trim_end());
        }
        if let Some(text) = summary.note() {
            note(&text);
        }
        let about = &seeds.scenario.about;
        let written = seeds.flags.report.as_ref().map_or(Ok(()), |path| {
            output::write_file(path, &report::html(&outcomes, about))?;
            note(&format!("the report is in {}", path.display()));
            Ok(())
        });
        let line = summary.line();
        if seeds.flags.json {
            output::print_json(&Document { summary: &summary, line, outcomes: &outcomes })?;
        } else {
            output::print(&format!("{line}\n"))?;
        }
        written.map(|()| summary.exit())
    }
}

/// All that came of a run, as JSON. Its form does not change.
#[derive(Debug, Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    /// The verdict in one line.
    line: String,
    outcomes: &'a [Outcome],
}

/// Tells of a seed that did not pass, and leaves its repro.
fn tell(seeds: &Seeds<'_>, outcome: &Outcome) -> Result<(), Failure> {
    let repro = repro_file::name(&outcome.scenario, outcome.seed);
    repro_file::write(&repro, outcome, seeds.scenario.draw(outcome.seed))?;
    let text = story(outcome, &repro, &seeds.flags.scenario, &called());
    if seeds.flags.json {
        note(text.trim_end());
        return Ok(());
    }
    output::print(&text)
}

/// What went wrong in a seed, and the commands that show it again.
fn story(outcome: &Outcome, repro: &Path, scenario: &str, program: &str) -> String {
    let mut text = String::new();
    let (word, message) = match &outcome.verdict {
        Verdict::Passed => ("passed", ""),
        Verdict::Failed { message, .. } => ("failed", message.as_str()),
        Verdict::Stopped { message } => ("stopped", message.as_str()),
    };
    let seed = outcome.seed;
    let why = cause(outcome, true).unwrap_or_default();
    let _ = writeln!(text, "{word}: {}, seed {seed}: {why}", outcome.scenario);
    if let Verdict::Failed { invariant, .. } = &outcome.verdict {
        let meaning = report::meaning(invariant);
        if !meaning.is_empty() {
            let _ = writeln!(text, "  {meaning}");
        }
    }
    if message != why {
        for line in message.lines() {
            let _ = writeln!(text, "  | {line}");
        }
    }
    let repro = repro.display();
    let _ = writeln!(text, "  wrote {repro} in this directory");
    let _ = writeln!(text, "  replay: {program} replay {repro}");
    let _ = writeln!(text, "  shrink: {program} shrink {repro}");
    let _ = writeln!(text, "  again:  {program} run {scenario} --seed {seed}");
    text
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::outcome;
    use super::*;

    #[test]
    fn a_seed_that_fails_says_what_when_where_and_how_to_see_it_again() {
        let mut outcome = outcome(17, Some("I1"));
        if let Verdict::Failed { message, .. } = &mut outcome.verdict {
            *message = "piece 3\nblock 1".to_owned();
        }
        let text = story(&outcome, Path::new("repro-churn-17.toml"), "churn", "sim");
        let expected = "\
failed: churn, seed 17: I1 at 12.345 s on leech-3
  a byte that was not verified was served, counted or marked as there
  | piece 3
  | block 1
  wrote repro-churn-17.toml in this directory
  replay: sim replay repro-churn-17.toml
  shrink: sim shrink repro-churn-17.toml
  again:  sim run churn --seed 17
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_limit_is_told_once() {
        let mut outcome = outcome(17, None);
        outcome.verdict = Verdict::Stopped { message: "600 CPU-s".to_owned() };
        let text = story(&outcome, Path::new("r.toml"), "churn", "sim");
        assert!(text.starts_with("stopped: churn, seed 17: 600 CPU-s\n  wrote r.toml"), "{text}");
    }
}
