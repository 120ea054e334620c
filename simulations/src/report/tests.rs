//! Tests of whole pages.

use std::collections::BTreeMap;

use expect_test::expect_file;

use super::*;
use crate::outcome::{HostOutcome, Series};
use crate::plan::{Fault, FaultKind};

fn host(name: &str, class: &str, completed_ms: Option<u64>) -> HostOutcome {
    HostOutcome {
        name: name.to_owned(),
        class: class.to_owned(),
        arrived_ms: 0,
        completed_ms,
        sent_bytes: 1_000_000,
        received_bytes: if completed_ms == Some(0) { 0 } else { 1_000_000 },
        lives: 2,
    }
}

/// Two hosts, three moments, two faults.
fn tiny(seed: u64) -> Outcome {
    let fault = |at_ms, for_ms, kind| Fault { at_ms, for_ms, kind };
    Outcome {
        scenario: "tiny".to_owned(),
        seed,
        verdict: Verdict::Passed,
        hash: "ab".repeat(32),
        cost: Cost {
            simulated_s: 2.0,
            cpu_s: 0.5,
            rss_mib: 12.0,
            events: 1_234,
            wire_messages: 321,
            payload_bytes: 1_000_000,
        },
        hosts: vec![host("seed", "seed", Some(0)), host("leech-1", "leech", Some(1_500))],
        sometimes: BTreeMap::from([("endgame".to_owned(), 3), ("torn-write".to_owned(), 0)]),
        series: Series {
            at_ms: vec![0, 1_000, 2_000],
            present: vec![1, 1, 1],
            complete: vec![0, 0, 1],
            throughput: vec![0.0, 400_000.0, 600_000.0],
            upload_use: vec![0.0, 0.4, 0.6],
            rarest: vec![1, 1, 2],
            mean_copies: vec![1.0, 1.5, 2.0],
            rarity: vec![[1; 11], [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2], [2; 11]],
        },
        faults: vec![
            fault(500, 300, FaultKind::Crash { host: 1 }),
            fault(900, 400, FaultKind::Cut { from: 0, to: 1, both: true }),
        ],
    }
}

fn failed(seed: u64) -> Outcome {
    let verdict = Verdict::Failed {
        invariant: "I1".to_owned(),
        at_ms: 1_250,
        host: Some("leech-1".to_owned()),
        message: "piece 3 <b>".to_owned(),
    };
    Outcome { verdict, ..tiny(seed) }
}

/// Nothing but a verdict, as of a process that died.
fn bare(seed: u64) -> Outcome {
    Outcome {
        hosts: Vec::new(),
        sometimes: BTreeMap::new(),
        series: Series::default(),
        faults: Vec::new(),
        hash: String::new(),
        cost: Cost::default(),
        ..failed(seed)
    }
}

/// Every element is closed in its order, and text is escaped.
fn check(html: &str) {
    assert!(!html.contains("NaN") && !html.contains("inf "), "a figure is no number");
    let mut open: Vec<&str> = Vec::new();
    for part in html.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag ends");
        assert!(!text.contains('>'), "{text}");
        let name = tag.split([' ', '\n']).next().unwrap();
        match name {
            "!doctype" | "meta" => {}
            name if name.starts_with('/') => {
                assert_eq!(open.pop(), Some(&name[1..]), "{part}");
            }
            name if !tag.ends_with('/') => open.push(name),
            _ => {}
        }
    }
    assert_eq!(open, [""; 0]);
}

#[test]
fn pages_are_well_formed() {
    for outcomes in [
        vec![],
        vec![tiny(1)],
        vec![failed(1)],
        vec![bare(1)],
        vec![tiny(1), failed(2), bare(3)],
        (0..500).map(tiny).collect(),
    ] {
        check(&html(&outcomes, "What it is about."));
    }
}

#[test]
fn figures_that_are_no_numbers_are_no_figures() {
    let mut outcome = tiny(1);
    outcome.cost.cpu_s = f64::NAN;
    outcome.cost.simulated_s = f64::INFINITY;
    outcome.series.throughput = vec![f64::NAN, f64::INFINITY, -1.0];
    outcome.series.upload_use = vec![f64::NEG_INFINITY, 7.0, f64::NAN];
    outcome.series.mean_copies = Vec::new();
    outcome.series.rarity.clear();
    check(&html(&[outcome], ""));
}

#[test]
fn text_from_outside_is_no_markup() {
    let mut outcome = failed(1);
    outcome.scenario = "<s>&".to_owned();
    outcome.hosts[1].name = "<i>\"'".to_owned();
    outcome.hosts[1].class = "</td>".to_owned();
    outcome.sometimes.insert("<x>".to_owned(), 1);
    let page = html(&[outcome], "<script>");
    check(&page);
    for wrong in ["<s>", "<i>\"", "<x>", "<script>", "<b>\""] {
        assert!(!page.contains(wrong), "{wrong}");
    }
    assert!(page.contains("piece 3 &lt;b&gt;") && page.contains("&lt;script&gt;"));
}

#[test]
fn the_first_seed_that_failed_is_shown() {
    let page = html(&[tiny(1), failed(2), failed(3)], "");
    assert!(page.contains("2 of 3 seeds did not pass."), "{page}");
    assert!(page.contains("<h2>Seed 2, the first that did not pass</h2>"), "{page}");
    assert!(page.contains("I1 at 1.2 s on leech-1: a byte that was not verified"), "{page}");
    assert!(page.contains("<pre>torrentedge simulate run tiny --first 1 --seeds 3</pre>"));
    let page = html(&[tiny(1)], "");
    assert!(page.contains("<pre>torrentedge simulate run tiny --seed 1</pre>"));
}

#[test]
fn a_path_that_was_never_reached_is_marked() {
    let page = html(&[tiny(1), tiny(2)], "");
    let row = "<tr class=\"bad\"><td class=\"text\">torn-write</td><td>0</td><td>0</td>\
               <td class=\"text\">never reached</td></tr>";
    assert!(page.contains(row), "{page}");
    assert!(page.contains("<td class=\"text\">endgame</td><td>6</td><td>2</td>"), "{page}");
}

#[test]
fn a_page_needs_nothing_else() {
    let page = html(&[failed(1)], "");
    for outside in ["http:", "https:", "src=", "<link", "<script", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

/// A page that is to change is written anew with `UPDATE_EXPECT=1`, and looked at.
#[test]
fn a_tiny_page_is_as_it_was() {
    let page = html(&[tiny(1)], "Two hosts.");
    let (_, body) = page.split_once("</head>\n").unwrap();
    expect_file!["./tiny.html"].assert_eq(body);
}
