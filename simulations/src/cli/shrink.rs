//! `shrink`: finds a smaller repro that fails as before, each attempt in a process of its own.

use std::path::{Path, PathBuf};

use simulations::outcome::Outcome;
use simulations::plan::Plan;
use simulations::repro::Repro;
use simulations::shrink::shrink;
use tokio::runtime::Runtime;

use super::child::Launcher;
use super::interrupt::{Interrupt, judged, runtime};
use super::output::{self, note};
use super::{Exit, Failure, ShrinkFlags, repro_file};

/// Writes the smallest plan that was found.
///
/// # Errors
///
/// There is no such repro, it is wrong, it does not fail any more, or no process can be started.
pub(super) fn run(flags: &ShrinkFlags) -> Result<Exit, Failure> {
    let repro = repro_file::read(&flags.repro)?;
    let runtime = runtime()?;
    let interrupt = runtime.block_on(async { Interrupt::listen() })?;
    let launcher = Launcher::new(&flags.limits)?;
    let mut judge = Judge { runtime, interrupt, launcher, repro: &repro, last: None, end: None };
    if !judge.fails(&repro.plan) {
        let now = Failure::failed(format_args!(
            "{}: it does not fail with {} any more, so there is nothing to make smaller",
            flags.repro.display(),
            repro.invariant
        ));
        return Err(judge.end.take().unwrap_or(now));
    }
    let plan = shrink(&repro.plan, &mut |plan| judge.fails(plan), flags.attempts, &mut |step| {
        note(step);
    });
    let output = flags.output.clone().unwrap_or_else(|| smaller_name(&flags.repro));
    let words = words(&repro, &plan, &output);
    // The search goes on from each plan that fails, so the last of them is the smallest.
    if let Some(outcome) = &judge.last {
        repro_file::write(&output, outcome, plan)?;
    }
    match judge.end {
        None => {
            output::print(&format!("shrunk: {words}\n"))?;
            Ok(Exit::Passed)
        }
        Some(failure) => {
            output::print(&format!("{failure}: {words}\n"))?;
            Ok(failure.exit)
        }
    }
}

/// Says of plans whether they fail as the repro does.
struct Judge<'a> {
    runtime: Runtime,
    interrupt: Interrupt,
    launcher: Launcher,
    repro: &'a Repro,
    /// What came of the last plan that failed as the repro does.
    last: Option<Outcome>,
    /// Why no further plan is tried.
    end: Option<Failure>,
}

impl Judge<'_> {
    /// Whether the same invariant does not hold. After the end nothing fails, so that the search ends.
    fn fails(&mut self, plan: &Plan) -> bool {
        if self.end.is_some() {
            return false;
        }
        let twice = self.repro.invariant == "I10";
        let judged = judged(&self.launcher, plan, twice, None, &mut self.interrupt);
        match self.runtime.block_on(judged) {
            Ok(Some(outcome)) => {
                let invariant = repro_file::invariant(&outcome.verdict);
                let fails = invariant == Some(self.repro.invariant.as_str());
                if fails {
                    self.last = Some(outcome);
                }
                fails
            }
            Ok(None) => {
                self.end = Some(Failure::new(Exit::Interrupted, "interrupted"));
                false
            }
            Err(failure) => {
                self.end = Some(failure);
                false
            }
        }
    }
}

/// From what to what it was made smaller.
fn words(repro: &Repro, smaller: &Plan, output: &Path) -> String {
    let Repro { plan, invariant, .. } = repro;
    let count = |plan: &Plan| {
        let plural = |number, noun| match number {
            1 => format!("1 {noun}"),
            number => format!("{number} {noun}s"),
        };
        let (faults, hosts) =
            (plural(plan.faults.len(), "fault"), plural(plan.hosts.len(), "host"));
        format!("{faults} and {hosts}")
    };
    let output = output.display();
    format!("from {} to {}, {invariant} still fails: {output}", count(plan), count(smaller))
}

/// Where the smaller repro goes, if nobody says.
fn smaller_name(repro: &Path) -> PathBuf {
    let stem = repro.file_stem().unwrap_or_default().to_string_lossy();
    repro.with_file_name(format!("{stem}-small.toml"))
}

#[cfg(test)]
mod tests {
    use simulations::plan::{Fault, FaultKind};

    use super::super::child::tests::plan;
    use super::*;

    #[test]
    fn the_smaller_repro_stands_beside_the_other() {
        assert_eq!(smaller_name(Path::new("a/r.toml")), Path::new("a/r-small.toml"));
    }

    #[test]
    fn says_from_what_to_what() {
        let mut large = plan();
        large.faults = vec![Fault { at_ms: 0, for_ms: 0, kind: FaultKind::Crash { host: 0 } }; 12];
        let mut small = large.clone();
        small.faults.truncate(1);
        let repro = Repro {
            invariant: "I1".to_owned(),
            message: String::new(),
            version: String::new(),
            plan: large,
        };
        assert_eq!(
            words(&repro, &small, Path::new("s.toml")),
            "from 12 faults and 0 hosts to 1 fault and 0 hosts, I1 still fails: s.toml"
        );
    }
}
