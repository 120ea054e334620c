//! What all seeds have in common: how long hosts took, which rare paths they reached, and a row each.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::chart::{Chart, Line, Shape};
use super::one_seed::{class_names, downloads, took_ms};
use super::page::{Key, Table, figure};
use super::scale::{Axis, count, duration, percent, seconds, several};
use super::{briefly, is_passed};
use crate::outcome::{HostOutcome, Outcome};

/// The most rows of the table of seeds; those that did not pass come first.
const ROWS_MAX: usize = 200;
/// Digits of a hash in the table of seeds.
const HASH_DIGITS: usize = 16;
/// Colours of classes of hosts; further ones begin again.
const COLOURS: [&str; 6] = ["c1", "c2", "c3", "c4", "c5", "c6"];

/// Writes the plot and the tables.
pub(super) fn write(body: &mut String, outcomes: &[Outcome]) {
    let seeds = several(outcomes.len() as u64, "seed");
    let _ = writeln!(body, "<h2>Over {seeds}</h2>");
    body.push_str(&completion_times(outcomes));
    body.push_str("<h3>Rare paths</h3>\n");
    body.push_str(
        "<p class=\"dim\">Places in the engine that only a fault or a race leads to, and how often they \
         were reached. One that many seeds never reach is not tested by them.</p>\n",
    );
    body.push_str(&rare_paths(outcomes).html());
    body.push_str("<h3>Seeds</h3>\n");
    if outcomes.len() > ROWS_MAX {
        let _ = writeln!(
            body,
            "<p class=\"dim\">{ROWS_MAX} of them; those that did not pass come first.</p>"
        );
    }
    body.push_str(&seed_rows(outcomes).html());
}

/// How the times from arrival to completion are distributed, a curve for each class of hosts.
fn completion_times(outcomes: &[Outcome]) -> String {
    let hosts = || outcomes.iter().flat_map(|outcome| &outcome.hosts).filter(|h| downloads(h));
    let end = hosts().filter_map(took_ms).max().unwrap_or(0);
    let mut x = Axis::time(end);
    x.unit = "since arrival";
    let mut lines = Vec::new();
    let mut key = Vec::new();
    for (class, colour) in class_names(hosts()).into_iter().zip(COLOURS.into_iter().cycle()) {
        let members: Vec<&HostOutcome> = hosts().filter(|host| host.class == class).collect();
        let mut took: Vec<u64> = members.iter().filter_map(|host| took_ms(host)).collect();
        took.sort_unstable();
        let points = shares(&took, members.len(), end);
        let reached = took.len() as f64 / members.len().max(1) as f64;
        let median = took.get(took.len() / 2).map_or("–".to_owned(), |ms| duration(*ms));
        let hosts = several(members.len() as u64, "host");
        let words = format!("{class}: {hosts}, {} complete, median {median}", percent(reached));
        key.push(Key::line(colour, words));
        lines.push(Line { name: class.to_owned(), colour, points, shape: Shape::Steps });
    }
    let y = Axis::share("% of the hosts of a class");
    let chart =
        Chart { title: "Time to completion", x: &x, y, bands: Vec::new(), lines, mark: None };
    let sentence = "How long hosts took from their arrival until they had all: the share of each class \
                    that had all after so long, over all seeds. A curve that does not reach 100 % is of \
                    a class of which some never had all.";
    figure("Time to completion", sentence, &key, &chart.svg())
}

/// The share of `all` that took at most so long, up to `end`; `took` is sorted.
fn shares(took: &[u64], all: usize, end: u64) -> Vec<(f64, f64)> {
    let share = |number: usize| number as f64 / all.max(1) as f64;
    let steps = took.iter().enumerate().map(|(index, ms)| (*ms as f64, share(index + 1)));
    let last = (end as f64, share(took.len()));
    std::iter::once((0.0, 0.0)).chain(steps).chain([last]).collect()
}

fn rare_paths(outcomes: &[Outcome]) -> Table {
    let mut reached: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (name, times) in outcomes.iter().flat_map(|outcome| &outcome.sometimes) {
        let entry = reached.entry(name).or_default();
        entry.0 = entry.0.saturating_add(*times);
        entry.1 += u64::from(*times > 0);
    }
    let mut table = Table::new(&[" path", "times", "seeds that reached it", " "]);
    for (name, (times, seeds)) in reached {
        let note = if times == 0 { "never reached" } else { "" };
        let cells = vec![name.to_owned(), count(times), count(seeds), note.to_owned()];
        table.row(times == 0, cells);
    }
    table
}

fn seed_rows(outcomes: &[Outcome]) -> Table {
    let head =
        ["seed", " verdict", " hash", "slowest host took", "simulated", "CPU-s", "memory", " host"];
    let mut table = Table::new(&head);
    let (passed, not): (Vec<&Outcome>, Vec<&Outcome>) = outcomes.iter().partition(|o| is_passed(o));
    let first = if outcomes.len() > ROWS_MAX {
        not.into_iter().chain(passed).take(ROWS_MAX).collect()
    } else {
        outcomes.iter().collect::<Vec<_>>()
    };
    for outcome in first {
        let slowest =
            outcome.hosts.iter().filter(|host| took_ms(host).is_some()).max_by_key(|h| took_ms(h));
        let took = slowest.and_then(took_ms).map_or("–".to_owned(), duration);
        table.row(
            !is_passed(outcome),
            vec![
                outcome.seed.to_string(),
                briefly(outcome),
                outcome.hash.chars().take(HASH_DIGITS).collect(),
                took,
                format!("{} s", seconds(outcome.cost.simulated_s)),
                seconds(outcome.cost.cpu_s),
                format!("{} MiB", seconds(outcome.cost.rss_mib)),
                slowest.map(|host| host.name.clone()).unwrap_or_default(),
            ],
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_grow_by_the_hosts_that_completed_and_end_with_the_axis() {
        let points = shares(&[10, 20, 20], 4, 40);
        let expected = [(0.0, 0.0), (10.0, 0.25), (20.0, 0.5), (20.0, 0.75), (40.0, 0.75)];
        assert_eq!(points, expected);
        assert_eq!(shares(&[], 0, 0), [(0.0, 0.0), (0.0, 0.0)]);
    }
}
