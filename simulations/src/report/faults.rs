//! Faults on a time line, as SVG: a lane for each kind, a bar for each fault.

use std::fmt::Write;

use super::chart::{LEFT, RIGHT, TOP, grid_x, mark, number, open, x};
use super::page::escape;
use super::scale::{Axis, duration, percent, several};
use crate::outcome::HostOutcome;
use crate::plan::{Fault, FaultKind};

/// Of a bar, with the gap to the next row.
const ROW: f64 = 14.0;
/// Between lanes.
const GAP: f64 = 8.0;
/// Below the lanes: ticks.
const BOTTOM: f64 = 24.0;
/// A bar that is shorter could not be seen.
const BAR_MIN: f64 = 3.0;
/// Rows of a lane; when more faults last at once they cover each other.
const ROWS_MAX: usize = 12;
/// About what a letter takes.
const LETTER: f64 = 6.0;
/// Of the text beside a bar.
const WHO_MAX: usize = 28;

/// Classes of the style for kinds that belong together, and their names.
pub(super) const GROUPS: &[(&str, &str)] =
    &[("c4", "process"), ("c1", "network"), ("c2", "disk"), ("c5", "store")];

/// The time line over `axis`.
pub(super) fn svg(
    faults: &[Fault],
    hosts: &[HostOutcome],
    axis: &Axis,
    moment: Option<(f64, &str)>,
) -> String {
    let lanes = lanes(faults, hosts, axis);
    let rows: usize = lanes.iter().map(|lane| lane.rows.len()).sum();
    let bottom = TOP + rows as f64 * ROW + lanes.len() as f64 * GAP + GAP / 2.0;
    let mut svg = open("Faults", bottom + BOTTOM);
    grid_x(&mut svg, axis, TOP, bottom);
    let _ = write!(svg, r#"<path class="axis" d="M{LEFT} {0}H{RIGHT}"/>"#, number(bottom));
    let mut top = TOP + GAP;
    for lane in &lanes {
        let _ = write!(
            svg,
            r#"<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>"#,
            number(LEFT - 8.0),
            number(top + 9.5),
            lane.word,
        );
        for row in &lane.rows {
            for (index, bar) in row.iter().enumerate() {
                let until = row.get(index + 1).map_or(RIGHT + 120.0, |next| next.from);
                bar.draw(&mut svg, top, until);
            }
            top += ROW;
        }
        top += GAP;
    }
    if let Some((at, name)) = moment {
        mark(&mut svg, axis, at, name, bottom);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The faults of one kind.
struct Lane {
    word: &'static str,
    /// Bars of a row do not overlap, and are in the order of their time.
    rows: Vec<Vec<Bar>>,
}

/// A fault.
struct Bar {
    from: f64,
    to: f64,
    colour: &'static str,
    /// Whom it strikes.
    who: String,
    /// All that is known of it.
    about: String,
}

impl Bar {
    fn of(fault: &Fault, hosts: &[HostOutcome], axis: &Axis) -> Self {
        let from = x(axis, fault.at_ms as f64);
        let to = x(axis, fault.at_ms.saturating_add(fault.for_ms) as f64).max(from + BAR_MIN);
        let who = who(&fault.kind, hosts);
        let about = format!(
            "{}: {who}, at {} for {}",
            fault.kind.word(),
            duration(fault.at_ms),
            duration(fault.for_ms)
        );
        Self { from, to, colour: colour(&fault.kind), who, about }
    }

    /// Draws it; who it strikes stands beside it where that ends before `until`.
    fn draw(&self, svg: &mut String, top: f64, until: f64) {
        let _ = write!(
            svg,
            r#"<rect class="fault {}" x="{}" y="{}" width="{}" height="{}" rx="1.5"><title>{}</title></rect>"#,
            self.colour,
            number(self.from),
            number(top),
            number(self.to - self.from),
            number(ROW - 3.0),
            escape(&self.about),
        );
        let letters = self.who.chars().count();
        if letters <= WHO_MAX && self.to + 8.0 + letters as f64 * LETTER <= until {
            let _ = write!(
                svg,
                r#"<text class="who" x="{}" y="{}">{}</text>"#,
                number(self.to + 4.0),
                number(top + 9.0),
                escape(&self.who),
            );
        }
    }
}

/// The lanes in the order in which their kinds come first.
fn lanes(faults: &[Fault], hosts: &[HostOutcome], axis: &Axis) -> Vec<Lane> {
    let mut by_time: Vec<&Fault> = faults.iter().collect();
    by_time.sort_by_key(|fault| fault.at_ms);
    let mut lanes: Vec<Lane> = Vec::new();
    for fault in by_time {
        let word = fault.kind.word();
        let bar = Bar::of(fault, hosts, axis);
        match lanes.iter_mut().find(|lane| lane.word == word) {
            Some(lane) => lane.place(bar),
            None => lanes.push(Lane { word, rows: vec![vec![bar]] }),
        }
    }
    lanes
}

impl Lane {
    /// In the first row where it covers nothing.
    fn place(&mut self, bar: Bar) {
        let is_free = |row: &Vec<Bar>| row.last().is_none_or(|last| last.to + 1.0 < bar.from);
        let rows = self.rows.len();
        match self.rows.iter().position(is_free) {
            None if rows < ROWS_MAX => self.rows.push(vec![bar]),
            free => {
                if let Some(row) = self.rows.get_mut(free.unwrap_or(rows - 1)) {
                    row.push(bar);
                }
            }
        }
    }
}

fn colour(kind: &FaultKind) -> &'static str {
    match kind {
        FaultKind::Crash { .. } | FaultKind::PowerCut { .. } => "c4",
        FaultKind::Cut { .. }
        | FaultKind::Partition { .. }
        | FaultKind::Unplug { .. }
        | FaultKind::SlowLink { .. }
        | FaultKind::Reset { .. } => "c1",
        FaultKind::DiskFull { .. }
        | FaultKind::DiskFails { .. }
        | FaultKind::DiskSlow { .. }
        | FaultKind::BitFlip { .. } => "c2",
        FaultKind::StoreFails { .. } => "c5",
    }
}

/// Whom a fault strikes, and how hard.
fn who(kind: &FaultKind, hosts: &[HostOutcome]) -> String {
    let name = |host: usize| match hosts.get(host) {
        Some(outcome) => outcome.name.clone(),
        None => format!("host {host}"),
    };
    match kind {
        FaultKind::Crash { host }
        | FaultKind::PowerCut { host }
        | FaultKind::Unplug { host }
        | FaultKind::DiskFull { host }
        | FaultKind::StoreFails { host } => name(*host),
        FaultKind::Cut { from, to, both } => {
            format!("{} {} {}", name(*from), if *both { "↔" } else { "→" }, name(*to))
        }
        FaultKind::Reset { a, b } => format!("{} ↔ {}", name(*a), name(*b)),
        FaultKind::Partition { hosts: side } => match side.as_slice() {
            [first, second, rest @ ..] if !rest.is_empty() => {
                format!("{}, {} and {} more", name(*first), name(*second), rest.len())
            }
            side => side.iter().map(|host| name(*host)).collect::<Vec<_>>().join(", "),
        },
        FaultKind::SlowLink { host, share } => format!("{} at {}", name(*host), percent(*share)),
        FaultKind::DiskFails { host, reads, writes } => {
            let what = match (reads, writes) {
                (true, true) => "reads and writes",
                (true, false) => "reads",
                (false, true) => "writes",
                (false, false) => "nothing",
            };
            format!("{}, {what}", name(*host))
        }
        FaultKind::DiskSlow { host, delay_us } => {
            format!("{}, {} ms more", name(*host), number(*delay_us as f64 / 1_000.0))
        }
        FaultKind::BitFlip { host, bits } => {
            format!("{}, {}", name(*host), several((*bits).into(), "bit"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(at_ms: u64, for_ms: u64) -> Fault {
        Fault { at_ms, for_ms, kind: FaultKind::Crash { host: 7 } }
    }

    #[test]
    fn faults_of_a_kind_that_last_at_once_have_rows_of_their_own() {
        let axis = Axis::time(10_000);
        let faults = [crash(5_000, 1_000), crash(0, 2_000), crash(1_000, 2_000)];
        let lanes = lanes(&faults, &[], &axis);
        let rows: Vec<usize> = lanes[0].rows.iter().map(Vec::len).collect();
        assert_eq!(rows, [2, 1]);
    }

    #[test]
    fn a_lane_has_a_limit() {
        let faults: Vec<Fault> = (0..100).map(|_| crash(5, 100)).collect();
        let lanes = lanes(&faults, &[], &Axis::time(1_000));
        assert_eq!(lanes[0].rows.len(), ROWS_MAX);
        assert_eq!(lanes[0].rows.iter().map(Vec::len).sum::<usize>(), 100);
    }

    #[test]
    fn a_fault_says_whom_it_strikes() {
        let axis = Axis::time(10_000);
        let cut = FaultKind::Cut { from: 0, to: 1, both: false };
        let faults = [crash(2_000, 0), Fault { at_ms: 0, for_ms: u64::MAX, kind: cut }];
        let svg = svg(&faults, &[], &axis, Some((3_000.0, "I1")));
        assert!(svg.contains("<title>crash: host 7, at 2.0 s for 0 ms</title>"), "{svg}");
        assert!(svg.contains("host 0 → host 1"), "{svg}");
        assert!(svg.contains(">I1</text>"), "{svg}");
    }
}
