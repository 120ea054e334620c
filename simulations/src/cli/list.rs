//! `list`: the scenarios, and what each is about.

use serde::Serialize;
use simulations::scenario;

use super::{Exit, Failure, output};

/// Shows the scenarios.
///
/// # Errors
///
/// Standard output cannot be written.
pub(super) fn run(json: bool) -> Result<Exit, Failure> {
    let scenarios: Vec<Entry> =
        scenario::names().map(|(name, about)| Entry { name, about }).collect();
    if json {
        output::print_json(&scenarios)?;
    } else {
        output::print(&text(&scenarios))?;
    }
    Ok(Exit::Passed)
}

/// A scenario in a list.
#[derive(Debug, Serialize)]
struct Entry {
    name: &'static str,
    about: &'static str,
}

fn text(scenarios: &[Entry]) -> String {
    let width = scenarios.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    scenarios.iter().map(|Entry { name, about }| format!("{name:<width$}  {about}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_a_column() {
        let scenarios = [Entry { name: "a", about: "A." }, Entry { name: "bcd", about: "B." }];
        assert_eq!(text(&scenarios), "a    A.\nbcd  B.\n");
    }
}
