//! The interop matrix: `torrentedge` on either side of every other client and of itself, in each
//! encryption, form, layout and way to meet that the two can do.
//!
//! By default a choice of its cases runs in which every pair of values occurs that any case has;
//! with `INTEROP=all` in the environment all of them run. The choice is the same on every run.

use std::collections::BTreeSet;

use harness::aria2::Aria2;
use harness::client::{Client, Encryption, Role};
use harness::libtorrent::Libtorrent;
use harness::torrentedge::Torrentedge;
use harness::transmission::Transmission;
use harness::webtorrent::Webtorrent;
use libtest_mimic::Trial;

use crate::interop::{Case, Form, Layout, Meeting};

const OTHERS: [&dyn Client; 5] = [&Libtorrent, &Transmission, &Aria2, &Webtorrent, &Torrentedge];
const ENCRYPTIONS: [Encryption; 3] =
    [Encryption::Plain, Encryption::MseRc4, Encryption::MsePlaintext];
const FORMS: [Form; 2] = [Form::Torrent, Form::Magnet];
const LAYOUTS: [Layout; 2] = [Layout::Single, Layout::Multi];
const MEETINGS: [Meeting; 4] =
    [Meeting::HttpTracker, Meeting::UdpTracker, Meeting::DownloadDials, Meeting::SeedDials];

/// Two values of a case by their names.
type Pair = (String, String);

/// The cases to run.
pub(crate) fn trials() -> Vec<Trial> {
    let whole = std::env::var("INTEROP").is_ok_and(|value| value == "all");
    let cases = if whole { all() } else { pairwise(&all()) };
    cases.into_iter().map(|case| case.trial("interop")).collect()
}

/// Every case that can be played, in a fixed order.
fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for other in OTHERS {
        for (seed, download) in sides(other) {
            for encryption in ENCRYPTIONS {
                for form in FORMS {
                    for layout in LAYOUTS {
                        for meeting in MEETINGS {
                            let case = Case { seed, download, encryption, form, layout, meeting };
                            if playable(&case) {
                                cases.push(case);
                            }
                        }
                    }
                }
            }
        }
    }
    cases
}

/// `torrentedge` fetching from another client and seeding to it; to itself once is both.
fn sides(other: &'static dyn Client) -> Vec<(&'static dyn Client, &'static dyn Client)> {
    let ours: &'static dyn Client = &Torrentedge;
    if other.name() == ours.name() {
        vec![(ours, ours)]
    } else {
        vec![(other, ours), (ours, other)]
    }
}

/// Whether both can do what the case asks of them.
fn playable(case: &Case) -> bool {
    let Case { seed, download, encryption, form, meeting, .. } = case;
    let seed_dials = *meeting == Meeting::SeedDials;
    let dialling_works = match meeting {
        Meeting::HttpTracker | Meeting::UdpTracker => true,
        Meeting::DownloadDials => download.dials(),
        Meeting::SeedDials => seed.dials(),
    };
    // Of the two selections of MSE it takes either from others; between two of it RC4.
    let forced = seed.name() != download.name() || *encryption != Encryption::MsePlaintext;
    // Without metadata webtorrent announces `left=NaN` over HTTP, which opentracker refuses.
    let announces = download.name() != Webtorrent.name()
        || *form != Form::Magnet
        || *meeting != Meeting::HttpTracker;
    dialling_works
        && forced
        && announces
        && seed.can(Role::Seed, seed_dials, *encryption)
        && download.can(Role::Download, !seed_dials, *encryption)
}

/// Takes again and again the case with the most pairs that no taken one has, the first of equals.
fn pairwise(all: &[Case]) -> Vec<Case> {
    let mut missing: BTreeSet<Pair> = all.iter().flat_map(pairs).collect();
    let mut taken = Vec::new();
    while !missing.is_empty() {
        let gain = |case: &Case| pairs(case).iter().filter(|pair| missing.contains(pair)).count();
        // The last of equals is what `max_by_key` finds.
        let Some(best) = all.iter().rev().max_by_key(|case| gain(case)) else { break };
        for pair in pairs(best) {
            missing.remove(&pair);
        }
        taken.push(*best);
    }
    taken
}

/// All pairs of a case's values: the other client, the side that we are on, and the rest.
fn pairs(case: &Case) -> Vec<Pair> {
    let Case { seed, download, encryption, form, layout, meeting } = case;
    let fetching = download.name() == Torrentedge.name();
    let values = [
        if fetching { seed.name() } else { download.name() }.to_owned(),
        if fetching { "fetching" } else { "seeding" }.to_owned(),
        encryption.to_string(),
        format!("{form:?}"),
        format!("{layout:?}"),
        format!("{meeting:?}"),
    ];
    let pair = |i: usize| values[i + 1..].iter().map(|b| (values[i].clone(), b.clone())).collect();
    (0..values.len()).flat_map(|i| -> Vec<Pair> { pair(i) }).collect()
}
