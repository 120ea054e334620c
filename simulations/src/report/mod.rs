//! A report that a person reads: one HTML file that needs nothing else.
//!
//! Reading order: here (the head of the page) → `one_seed` (the plots of a seed) → `all_seeds` (what
//! they have in common) → `chart`, `faults` (how a plot is drawn) → `scale`, `page`. All of it is a
//! function of the outcomes: it reads no clock, no file and no plan.

mod all_seeds;
mod chart;
mod faults;
mod one_seed;
mod page;
mod scale;

use std::fmt::Write;

use self::page::{document, escape};
use self::scale::{bytes, count, duration, seconds, several};
use crate::outcome::{Cost, Outcome, Verdict};

/// The page for the outcomes of one scenario, in the order of their seeds. `scenario_about` is the
/// sentence of the scenario.
#[must_use]
pub fn html(outcomes: &[Outcome], scenario_about: &str) -> String {
    html_of(outcomes, scenario_about, &command(outcomes))
}

/// As [`html`], for outcomes that another command reproduces than that of their scenario and seeds.
#[must_use]
pub fn html_of(outcomes: &[Outcome], about: &str, command: &str) -> String {
    let scenario = outcomes.first().map_or("nothing", |outcome| outcome.scenario.as_str());
    let mut body = String::new();
    let _ = write!(body, "<h1>{}</h1>\n<p>{}</p>\n", escape(scenario), escape(about));
    let Some(shown) = shown(outcomes) else {
        body.push_str("<p>No seed came to its end.</p>\n");
        return document("Simulation", &body);
    };
    head(&mut body, outcomes, shown);
    let _ = write!(
        body,
        "<p class=\"dim\">To see the same again, byte for byte:</p>\n<pre>{}</pre>\n",
        escape(command)
    );
    let which = match (outcomes.len(), is_passed(shown)) {
        (1, _) => String::new(),
        (_, true) => ", the first".to_owned(),
        (_, false) => ", the first that did not pass".to_owned(),
    };
    let _ = writeln!(body, "<h2>Seed {}{which}</h2>", shown.seed);
    one_seed::write(&mut body, shown);
    all_seeds::write(&mut body, outcomes);
    document(&format!("{scenario}: simulation"), &body)
}

/// What an invariant says when it does not hold; nothing for a name that is not known.
#[must_use]
pub fn meaning(invariant: &str) -> &'static str {
    match invariant {
        "I1" => "a byte that was not verified was served, counted or marked as there",
        "I2" => "a piece that was verified and synced was lost",
        "I4" => "a host that could complete did not complete in time",
        "I5" => "bytes that were sent, received and lost do not add up",
        "I6" => "something was left behind at the end: an actor, task, socket or timer",
        "I7" => "the rules of the peer wire were broken",
        "I9" => "a quota or limit was passed, or a private torrent was shown beyond its trackers",
        "I10" => "two runs of the same seed differ",
        "expect" => "what the scenario expects did not come",
        "panic" => "the process of the seed died",
        _ => "",
    }
}

/// The seed whose plots are shown: the first that did not pass, else the first.
fn shown(outcomes: &[Outcome]) -> Option<&Outcome> {
    outcomes.iter().find(|outcome| !is_passed(outcome)).or(outcomes.first())
}

fn is_passed(outcome: &Outcome) -> bool {
    outcome.verdict == Verdict::Passed
}

/// The command that gives these outcomes again.
fn command(outcomes: &[Outcome]) -> String {
    let seeds = || outcomes.iter().map(|outcome| outcome.seed);
    match (outcomes, seeds().min()) {
        ([only], _) => {
            format!("torrentedge simulate run {} --seed {}", only.scenario, only.seed)
        }
        ([first, ..], Some(least)) => format!(
            "torrentedge simulate run {} --first {least} --seeds {}",
            first.scenario,
            // All seeds from the least to the greatest, also where some of them are not here.
            seeds().max().unwrap_or(least) - least + 1
        ),
        ([], _) | (_, None) => String::new(),
    }
}

/// The verdict in words, and what it took.
fn head(body: &mut String, outcomes: &[Outcome], shown: &Outcome) {
    let passed = outcomes.iter().filter(|outcome| is_passed(outcome)).count();
    let not_passed = outcomes.len() - passed;
    let seeds = several(outcomes.len() as u64, "seed");
    let words = match (outcomes.len(), not_passed) {
        (1, 0) => format!("Seed {} passed.", shown.seed),
        (1, _) => format!("Seed {} did not pass.", shown.seed),
        (_, 0) => format!("All {seeds} passed."),
        (_, number) => format!("{} of {seeds} did not pass.", count(number as u64)),
    };
    let class = if not_passed == 0 { "verdict" } else { "verdict bad" };
    let _ = write!(body, "<div class=\"{class}\"><b>{words}</b>");
    let (invariant, message) = match &shown.verdict {
        Verdict::Passed => ("", ""),
        Verdict::Failed { invariant, message, .. } => (invariant.as_str(), message.as_str()),
        Verdict::Stopped { message } => ("", message.as_str()),
    };
    if !message.is_empty() {
        let meaning = match meaning(invariant) {
            "" => String::new(),
            meaning => format!(": {meaning}"),
        };
        let what = escape(&format!("{}{meaning}.", briefly(shown)));
        let _ = write!(body, "<p>Seed {}, {what}</p><p>{}</p>", shown.seed, escape(message));
    }
    body.push_str("</div>\n");
    let cost = total(outcomes);
    let speed = if cost.cpu_s > 0.0 { cost.simulated_s / cost.cpu_s } else { 0.0 };
    let hosts = outcomes.iter().map(|outcome| outcome.hosts.len()).max().unwrap_or(0);
    let facts = [
        ("Hosts", count(hosts as u64)),
        ("Simulated", format!("{} s", seconds(cost.simulated_s))),
        ("CPU time", format!("{} s", seconds(cost.cpu_s))),
        ("Per CPU-second", format!("{} s", seconds(speed))),
        ("Peak memory", format!("{} MiB", seconds(cost.rss_mib))),
        ("Events", count(cost.events)),
        ("Wire messages", count(cost.wire_messages)),
        ("Payload", bytes(cost.payload_bytes)),
    ];
    body.push_str("<dl>\n");
    for (name, value) in facts {
        let _ = writeln!(body, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
    }
    body.push_str("</dl>\n");
}

/// How a seed ended: which invariant, when and where.
fn briefly(outcome: &Outcome) -> String {
    match &outcome.verdict {
        Verdict::Passed => "passed".to_owned(),
        Verdict::Stopped { .. } => "stopped at a limit".to_owned(),
        Verdict::Failed { invariant, .. } if invariant == "panic" => "died".to_owned(),
        Verdict::Failed { invariant, at_ms, host, message: _ } => {
            let host = host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
            format!("{invariant} at {}{host}", duration(*at_ms))
        }
    }
}

/// What all took together; of memory the most that one took.
fn total(outcomes: &[Outcome]) -> Cost {
    outcomes.iter().map(|outcome| outcome.cost).fold(Cost::default(), |sum, cost| Cost {
        simulated_s: sum.simulated_s + cost.simulated_s,
        cpu_s: sum.cpu_s + cost.cpu_s,
        rss_mib: sum.rss_mib.max(cost.rss_mib),
        events: sum.events.saturating_add(cost.events),
        wire_messages: sum.wire_messages.saturating_add(cost.wire_messages),
        payload_bytes: sum.payload_bytes.saturating_add(cost.payload_bytes),
    })
}

#[cfg(test)]
mod tests;
