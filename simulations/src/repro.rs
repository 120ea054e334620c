//! A plan that failed, written down: a file to keep, to run again and to make smaller.
//!
//! The file holds the whole plan, so it stays what it was when the scenario that it was drawn from
//! changes.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::scenario::{Place, ScenarioError, Source};

/// A plan that failed, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repro {
    /// Which invariant did not hold.
    pub invariant: String,
    /// What was seen.
    pub message: String,
    /// The version of the program that it failed with.
    pub version: String,
    /// What was run.
    pub plan: Plan,
}

impl Repro {
    /// The text of its file, which [`Repro::from_toml`] reads back as the same.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "tables, texts and numbers can always be written as TOML"
    )]
    pub fn to_toml(&self) -> String {
        let fields = toml::to_string(self).expect("a plan can be written as TOML");
        format!("# A run that failed. Run it again: torrentedge-sim replay THIS-FILE\n{fields}")
    }

    /// Reads the text of a file; `file` is how a refusal names it.
    ///
    /// # Errors
    ///
    /// What is wrong first, with its line and what was expected.
    pub fn from_toml(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let source = Source { file, text };
        let repro: Self = toml::from_str(text).map_err(|error| source.wrong_toml(&error))?;
        repro
            .plan
            .check()
            .map_err(|illegal| source.wrong(place_of(text, illegal.place), illegal.what))?;
        Ok(repro)
    }
}

/// Where a part of the plan begins.
fn place_of(text: &str, place: Place) -> Range<usize> {
    let header = match place {
        Place::Top => "[plan]",
        Place::Host(_) => "[[plan.host]]",
        Place::Fault(_) => "[[plan.fault]]",
    };
    let number = match place {
        Place::Top => 0,
        Place::Host(index) | Place::Fault(index) => index,
    };
    let at = text.match_indices(header).nth(number).map_or(0, |(at, _)| at);
    at..at + header.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scenario::{find, names};

    fn repro(plan: Plan) -> Repro {
        Repro {
            invariant: "I1".to_owned(),
            message: "host \"peer-1\"\nserved = \"an unverified piece\"".to_owned(),
            version: "0.1.0".to_owned(),
            plan,
        }
    }

    fn refused(change: impl FnOnce(String) -> String) -> String {
        let text = change(repro(find("everything").unwrap().draw(7)).to_toml());
        Repro::from_toml("repro.toml", &text).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let message = refused(|text| text.replace("piece_length", "pice_length"));
        assert!(
            message.contains("unknown key pice_length, did you mean piece_length?"),
            "{message}"
        );
        let message = refused(|text| text.replacen("for_ms", "lasts_ms", 1));
        assert!(message.starts_with("repro.toml:"), "{message}");
        assert!(message.contains("missing field for_ms"), "{message}");
        let message = refused(|text| text.replacen("\nfor_ms", "\nfor_s = 1\nfor_ms", 1));
        assert!(message.contains("unknown key for_s"), "{message}");
    }

    #[test]
    fn an_illegal_plan_is_refused_with_the_line_of_the_host() {
        let message = refused(|text| text.replacen("\nup = ", "\nup = 0\nwas = ", 1));
        assert!(message.contains("unknown key was"), "{message}");
        let text = repro(find("one-seed-one-leech").unwrap().draw(1)).to_toml();
        let lines: Vec<String> = text
            .lines()
            .map(
                |line| {
                    if line.starts_with("up = ") { "up = 0".to_owned() } else { line.to_owned() }
                },
            )
            .collect();
        let error = Repro::from_toml("repro.toml", &lines.join("\n")).unwrap_err().to_string();
        let line = lines.iter().position(|line| line == "[[plan.host]]").unwrap() + 1;
        assert_eq!(
            error,
            format!("repro.toml:{line}: expected up and down from 1 byte/s to 100 GiB/s")
        );
    }

    #[test]
    fn what_is_no_toml_is_refused_with_its_line() {
        let error = Repro::from_toml("repro.toml", "invariant = \"I1\"\nmessage =\n").unwrap_err();
        assert!(error.to_string().starts_with("repro.toml:2: "), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same(
            scenario in prop::sample::select(names().map(|(name, _)| name).collect::<Vec<_>>()),
            seed: u64,
            share in 0.0..=1.0,
            message in ".{0,60}",
        ) {
            if scenario == "flash-crowd-1000" {
                return Ok(());
            }
            let mut plan = find(scenario).unwrap().draw(seed);
            plan.datagrams.loss = share;
            let repro = Repro { message, ..repro(plan) };
            let read = Repro::from_toml("repro.toml", &repro.to_toml());
            prop_assert_eq!(read, Ok(repro));
        }
    }
}
