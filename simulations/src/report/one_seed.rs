//! The plots of one seed, all over the same axis of time.

use super::chart::{Band, Chart, Line, Shape};
use super::faults;
use super::page::{Key, Table, figure};
use super::scale::{Axis, bytes, count, duration, percent, rate, several};
use crate::outcome::{HostOutcome, Outcome, Series, Verdict};

/// Writes the plots and the table of the hosts by class.
pub(super) fn write(body: &mut String, outcome: &Outcome) {
    let series = &outcome.series;
    let fault_end = |fault: &crate::plan::Fault| fault.at_ms.saturating_add(fault.for_ms);
    let ends = outcome.faults.iter().map(fault_end).chain(series.at_ms.iter().copied());
    // A fault that is never mended does not make the plots longer than the run.
    let run_ms = series.at_ms.last().copied().unwrap_or(0);
    let last = if run_ms > 0 { run_ms } else { ends.max().unwrap_or(0) };
    let axis = Axis::time(last);
    let mark = failure(outcome);
    let mark = mark.as_ref().map(|(at, name)| (*at, name.as_str()));
    let plots = Plots { axis: &axis, series, outcome, mark };
    body.push_str(&plots.completion());
    body.push_str(&plots.throughput());
    body.push_str(&plots.upload_use());
    body.push_str(&plots.availability());
    body.push_str(&plots.rarity());
    body.push_str(&plots.faults());
    body.push_str("<h3>Hosts by class</h3>\n");
    body.push_str(&classes(&outcome.hosts).html());
}

/// When and how the seed failed, for a mark in every plot.
fn failure(outcome: &Outcome) -> Option<(f64, String)> {
    match &outcome.verdict {
        Verdict::Failed { invariant, at_ms, .. } if invariant != "panic" => {
            Some((*at_ms as f64, format!("{invariant} at {}", duration(*at_ms))))
        }
        Verdict::Failed { .. } | Verdict::Passed | Verdict::Stopped { .. } => None,
    }
}

struct Plots<'a> {
    axis: &'a Axis,
    series: &'a Series,
    outcome: &'a Outcome,
    mark: Option<(f64, &'a str)>,
}

impl Plots<'_> {
    fn completion(&self) -> String {
        let (present, complete) = (numbers(&self.series.present), numbers(&self.series.complete));
        let last = |values: &[f64]| values.last().copied().unwrap_or(0.0);
        let share = if last(&present) > 0.0 { last(&complete) / last(&present) } else { 0.0 };
        let lines = vec![
            self.line("present", "c2", &present, Shape::Steps),
            self.line("complete", "c1", &complete, Shape::Steps),
        ];
        let key = [
            Key::line("c2", "hosts that are there and want the torrent"),
            Key::line("c1", format!("those that have all of it, at the end {}", percent(share))),
        ];
        let sentence = format!(
            "How many hosts want the torrent, and how many of them have all of it. {}",
            completion_words(&self.outcome.hosts)
        );
        self.figure("Completion", &sentence, &key, Axis::count(most(&present), "hosts"), lines)
    }

    fn throughput(&self) -> String {
        let values = &self.series.throughput;
        let seconds = self.outcome.cost.simulated_s;
        let payload = self.outcome.cost.payload_bytes as f64;
        let mean = if seconds > 0.0 { payload / seconds } else { 0.0 };
        let sentence = format!(
            "Payload that arrived at all hosts together. On average {}, at most {}.",
            rate(mean),
            rate(most(values))
        );
        let lines = vec![self.line("payload", "c1", values, Shape::Straight)];
        let key = [Key::line("c1", "payload a second, all hosts")];
        self.figure("Throughput", &sentence, &key, Axis::rate(most(values)), lines)
    }

    fn upload_use(&self) -> String {
        let values = &self.series.upload_use;
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let sentence = format!(
            "The share of the running hosts' uplinks together that was used. On average {}: the nearer \
             to 100 %, the nearer the swarm is to the fastest that its uplinks allow.",
            percent(mean)
        );
        let lines = vec![self.line("used", "c3", values, Shape::Straight)];
        let key = [Key::line("c3", "share of all uplinks that was used")];
        self.figure("Upload use", &sentence, &key, Axis::share("% of all uplinks"), lines)
    }

    fn availability(&self) -> String {
        let rarest = numbers(&self.series.rarest);
        let mean = &self.series.mean_copies;
        let lines = vec![
            self.line("mean", "c1", mean, Shape::Straight),
            self.line("rarest", "c2", &rarest, Shape::Steps),
        ];
        let key = [
            Key::line("c1", "copies of a piece, the mean over all pieces"),
            Key::line("c2", "copies of the rarest piece"),
        ];
        let missing = match self.missing_ms() {
            0 => "There was a copy of every piece at all times.".to_owned(),
            ms => format!("Some piece had no copy at all for {}.", duration(ms)),
        };
        let sentence = format!(
            "On how many hosts a piece is. While the rarest has no copy, nobody can complete. {missing}"
        );
        let end = most(mean).max(most(&rarest));
        self.figure("Availability", &sentence, &key, Axis::count(end, "copies"), lines)
    }

    /// How long the rarest piece had no copy.
    fn missing_ms(&self) -> u64 {
        let moments = self.series.at_ms.windows(2).zip(&self.series.rarest);
        let missing = moments.filter(|(_, rarest)| **rarest == 0);
        let lengths = missing.map(|(pair, _)| match pair {
            [from, to] => to.saturating_sub(*from),
            _ => 0,
        });
        lengths.sum()
    }

    fn rarity(&self) -> String {
        const COLOURS: [&str; 5] = ["b1", "b2", "b3", "b4", "b5"];
        let moments = || self.series.at_ms.iter().zip(&self.series.rarity);
        let mut bands = Vec::new();
        for (inwards, colour) in COLOURS.into_iter().enumerate() {
            let points = moments().filter_map(|(at, tenths)| {
                let (low, high) = (tenths.get(inwards)?, tenths.get(10 - inwards)?);
                Some((*at as f64, f64::from(*low), f64::from(*high)))
            });
            bands.push(Band { colour, points: points.collect() });
        }
        let tenths = |n: usize| -> Vec<f64> {
            let values = self.series.rarity.iter().filter_map(|tenths| tenths.get(n).copied());
            values.map(f64::from).collect()
        };
        let (median, end) = (tenths(5), most(&tenths(10)));
        let lines = vec![self.line("median", "c1", &median, Shape::Straight)];
        let chart = Chart {
            title: "Piece rarity",
            x: self.axis,
            y: Axis::count(end, "copies"),
            bands,
            lines,
            mark: self.mark,
        };
        let key = [
            Key::area("b0 b1", "all pieces, from the rarest to the commonest"),
            Key::area("b0 b3", "without the rarest and the commonest fifth"),
            Key::area("b0 b5", "the middle fifth"),
            Key::line("c1", "the piece in the middle"),
        ];
        let sentence = "How evenly the pieces are spread: the copies of each tenth of the pieces, from \
                        the rarest to the commonest. A narrow band is a swarm in which no piece is \
                        rare; its lower edge is the rarest piece.";
        figure("Piece rarity", sentence, &key, &chart.svg())
    }

    fn faults(&self) -> String {
        let faults = &self.outcome.faults;
        if faults.is_empty() {
            return figure("Faults", "Nothing was made to go wrong in this seed.", &[], "");
        }
        let sentence = format!(
            "What was made to go wrong, when and for how long: {}. Beside a bar stands the host that it \
             strikes.",
            several(faults.len() as u64, "fault")
        );
        let key: Vec<Key> =
            faults::GROUPS.iter().map(|(colour, name)| Key::area(colour, *name)).collect();
        let svg = faults::svg(faults, &self.outcome.hosts, self.axis, self.mark);
        figure("Faults", &sentence, &key, &svg)
    }

    fn line(&self, name: &str, colour: &'static str, values: &[f64], shape: Shape) -> Line {
        let points = self.series.at_ms.iter().map(|at| *at as f64).zip(values.iter().copied());
        Line { name: name.to_owned(), colour, points: points.collect(), shape }
    }

    fn figure(&self, title: &str, about: &str, key: &[Key], y: Axis, lines: Vec<Line>) -> String {
        let (x, mark) = (self.axis, self.mark);
        let chart = Chart { title, x, y, bands: Vec::new(), lines, mark };
        figure(title, about, key, &chart.svg())
    }
}

fn numbers(values: &[u32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// How long a host took from its arrival until it had all; nothing for those that never had, and for
/// those that had it when they came.
pub(super) fn took_ms(host: &HostOutcome) -> Option<u64> {
    host.completed_ms.and_then(|at| at.checked_sub(host.arrived_ms)).filter(|took| *took > 0)
}

/// Whether a host downloads: those that have all from the beginning, and trackers, do not.
pub(super) fn downloads(host: &HostOutcome) -> bool {
    took_ms(host).is_some() || (host.completed_ms.is_none() && host.received_bytes > 0)
}

/// When hosts had all, in a sentence.
fn completion_words(hosts: &[HostOutcome]) -> String {
    let mut done: Vec<u64> = hosts
        .iter()
        .filter(|host| took_ms(host).is_some())
        .filter_map(|h| h.completed_ms)
        .collect();
    done.sort_unstable();
    let downloading = hosts.iter().filter(|host| downloads(host)).count();
    let missing = match downloading - done.len() {
        0 => String::new(),
        1 => " 1 never had all.".to_owned(),
        number => format!(" {} never had all.", count(number as u64)),
    };
    match (done.get(done.len() / 2), done.last()) {
        (Some(half), Some(last)) => format!(
            "Half of those that came to have all had it at {}, the last at {}.{missing}",
            duration(*half),
            duration(*last)
        ),
        _ => format!("No host came to have all.{missing}"),
    }
}

/// A row for each class of hosts, in the order in which they come.
fn classes(hosts: &[HostOutcome]) -> Table {
    let mut table = Table::new(&[
        " class",
        "hosts",
        "have all",
        "median time to all",
        "slowest",
        "sent",
        "received",
        "restarts",
    ]);
    for class in class_names(hosts.iter()) {
        let members: Vec<&HostOutcome> = hosts.iter().filter(|host| host.class == class).collect();
        let mut took: Vec<u64> = members.iter().filter_map(|host| took_ms(host)).collect();
        took.sort_unstable();
        let time = |ms: Option<&u64>| ms.map_or("–".to_owned(), |ms| duration(*ms));
        let restarts = members.iter().map(|host| u64::from(host.lives.saturating_sub(1)));
        let complete = members.iter().filter(|host| host.completed_ms.is_some()).count();
        table.row(
            false,
            vec![
                class.to_owned(),
                count(members.len() as u64),
                count(complete as u64),
                time(took.get(took.len() / 2)),
                time(took.last()),
                bytes(sum(members.iter().map(|host| host.sent_bytes))),
                bytes(sum(members.iter().map(|host| host.received_bytes))),
                count(sum(restarts)),
            ],
        );
    }
    table
}

fn sum(values: impl Iterator<Item = u64>) -> u64 {
    values.fold(0, u64::saturating_add)
}

/// The classes, each once, in the order in which they come.
pub(super) fn class_names<'a>(hosts: impl Iterator<Item = &'a HostOutcome>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for host in hosts {
        if !names.contains(&host.class.as_str()) {
            names.push(&host.class);
        }
    }
    names
}
