//! `replay`: runs a repro again, and says whether it fails as before.

use serde::Serialize;
use simulations::outcome::{Outcome, Verdict};
use simulations::repro::Repro;
use simulations::{report, scenario};

use super::child::Launcher;
use super::interrupt::{Interrupt, judged, runtime};
use super::output::{self, note};
use super::summary::cause;
use super::{Exit, Failure, ReplayFlags, called, repro_file};

/// Runs the repro, twice if it is about two runs that differ.
///
/// # Errors
///
/// There is no such repro, it is wrong, or no process can be started.
pub(super) fn run(flags: &ReplayFlags) -> Result<Exit, Failure> {
    let repro = repro_file::read(&flags.repro)?;
    let launcher = Launcher::new(&flags.limits)?;
    let outcome = runtime()?.block_on(async {
        let mut interrupt = Interrupt::listen()?;
        let twice = repro.invariant == "I10";
        judged(&launcher, &repro.plan, twice, flags.trace.as_deref(), &mut interrupt).await
    })?;
    let Some(outcome) = outcome else {
        return Err(Failure::new(Exit::Interrupted, "interrupted"));
    };
    if let Verdict::Failed { message, .. } | Verdict::Stopped { message } = &outcome.verdict {
        message.lines().for_each(|line| note(&format!("  | {line}")));
    }
    let written = write_report(flags, &outcome);
    let again = Compared::of(&repro, &outcome);
    let line = line(again, &repro, &outcome);
    if flags.json {
        let invariant = &repro.invariant;
        output::print_json(&Document { again, invariant, line, outcome: &outcome })?;
    } else {
        output::print(&format!("{line}\n"))?;
    }
    written?;
    Ok(match again {
        Compared::Passes => Exit::Passed,
        Compared::FailsAgain | Compared::FailsOtherwise => Exit::Failed,
    })
}

fn write_report(flags: &ReplayFlags, outcome: &Outcome) -> Result<(), Failure> {
    let Some(path) = &flags.report else { return Ok(()) };
    let about = scenario::names().find(|(name, _)| *name == outcome.scenario);
    let about = about.map(|(_, about)| about).unwrap_or_default();
    let command = format!("{} replay {}", called(), flags.repro.display());
    let outcomes = std::slice::from_ref(outcome);
    output::write_file(path, &report::html_of(outcomes, about, &command))?;
    note(&format!("the report is in {}", path.display()));
    Ok(())
}

/// How a repro ends, compared with before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Compared {
    /// The same invariant does not hold.
    FailsAgain,
    /// Another does not hold.
    FailsOtherwise,
    /// All is well.
    Passes,
}

impl Compared {
    fn of(repro: &Repro, outcome: &Outcome) -> Self {
        match repro_file::invariant(&outcome.verdict) {
            None => Self::Passes,
            Some(invariant) if invariant == repro.invariant => Self::FailsAgain,
            Some(_) => Self::FailsOtherwise,
        }
    }
}

/// What came of a repro, as JSON. Its form does not change.
#[derive(Debug, Serialize)]
struct Document<'a> {
    again: Compared,
    /// What did not hold before.
    invariant: &'a str,
    /// The verdict in one line.
    line: String,
    outcome: &'a Outcome,
}

fn line(again: Compared, repro: &Repro, outcome: &Outcome) -> String {
    let Outcome { scenario, seed, hash, .. } = outcome;
    let why = cause(outcome, true).unwrap_or_default();
    let Repro { invariant, version, .. } = repro;
    match again {
        Compared::FailsAgain => {
            format!("failed again: {scenario}, seed {seed} ({why}), hash {hash}")
        }
        Compared::FailsOtherwise => format!(
            "failed otherwise: {scenario}, seed {seed} ({why}) and not {invariant}, hash {hash}"
        ),
        Compared::Passes => format!(
            "passed: {scenario}, seed {seed}, hash {hash}; with version {version} it failed \
             ({invariant}), this is {}",
            env!("CARGO_PKG_VERSION")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::outcome;
    use super::super::child::tests::plan;
    use super::*;

    #[test]
    fn says_whether_it_fails_as_before() {
        let repro = Repro {
            invariant: "I1".to_owned(),
            message: String::new(),
            version: "0.0.1".to_owned(),
            plan: plan(),
        };
        let said = |invariant| {
            let outcome = outcome(7, invariant);
            line(Compared::of(&repro, &outcome), &repro, &outcome)
        };
        let begin = "failed again: churn, seed 7 (I1 at 12.345 s on leech-3), hash 0";
        assert!(said(Some("I1")).starts_with(begin), "{}", said(Some("I1")));
        let begin = "failed otherwise: churn, seed 7 (I4 at 12.345 s on leech-3) and not I1, hash";
        assert!(said(Some("I4")).starts_with(begin), "{}", said(Some("I4")));
        assert!(said(None).starts_with("passed: churn, seed 7, hash 0"));
        assert!(said(None).contains("with version 0.0.1 it failed (I1)"));
    }
}
