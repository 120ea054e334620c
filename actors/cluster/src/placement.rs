//! Where a torrent should be: weighted rendezvous hashing.
//!
//! Each node gets a score for each torrent, from a hash of both and its weight; the highest score owns it.
//! So a node that comes or goes moves only its own torrents, and shares follow the weights. Source:
//! Schindelhauer and Schomaker, "Weighted Distributed Hash Tables" (SPAA 2005): score = -w / ln(h).
//!
//! Ranks are advice: two nodes that compute different ones make a detour, never two owners.

use std::cmp::Ordering;

use bittorrent::InfoHash;
use cluster_config::NodeName;
use sha1::{Digest, Sha1};

/// A node that holds data of the torrent counts so many times.
const STICKY: f64 = 4.0;

/// A node that may own a torrent.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Who.
    pub node: NodeName,
    /// Its share beside others' shares; not above zero is none.
    pub weight: f64,
    /// Whether it holds pieces of the torrent.
    pub has_data: bool,
    /// Whether the torrent fits on its disk.
    pub has_room: bool,
    /// Whether it is being emptied.
    pub drains: bool,
}

/// The candidates that can own the torrent, the best first.
#[must_use]
pub fn rank(torrent: InfoHash, candidates: &[Candidate]) -> Vec<&NodeName> {
    let able = candidates.iter().filter(|one| one.has_room && !one.drains);
    let scored = able.filter_map(|one| {
        let weight = one.weight * if one.has_data { STICKY } else { 1.0 };
        score(&torrent.0, &one.node, weight).map(|score| (score, &one.node))
    });
    best_first(scored.collect())
}

/// The judges of a suspect, who acts first first: alike in weight, as judging costs nothing.
#[must_use]
pub fn rank_judges<'a>(
    suspect: &NodeName,
    judges: impl Iterator<Item = &'a NodeName>,
) -> Vec<&'a NodeName> {
    let scored =
        judges.filter_map(|judge| Some((score(suspect.as_str().as_bytes(), judge, 1.0)?, judge)));
    best_first(scored.collect())
}

fn best_first(mut scored: Vec<(f64, &NodeName)>) -> Vec<&NodeName> {
    scored.sort_by(|(score, node), (other, name)| {
        other.partial_cmp(score).unwrap_or(Ordering::Equal).then_with(|| node.cmp(name))
    });
    scored.into_iter().map(|(_, node)| node).collect()
}

fn score(key: &[u8], node: &NodeName, weight: f64) -> Option<f64> {
    (weight > 0.0 && weight.is_finite()).then(|| {
        let mut hash = Sha1::new();
        hash.update(key);
        hash.update(node.as_str());
        let [a, b, c, d, e, f, g, ..] = <[u8; 20]>::from(hash.finalize());
        // 53 bits, the middle of each step: never 0 and never 1.
        let bits = u64::from_be_bytes([0, a, b, c, d, e, f, g]) >> 3;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let uniform = (bits as f64 + 0.5) / (1_u64 << 53) as f64;
        -weight / uniform.ln()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn candidate(number: usize, weight: f64) -> Candidate {
        let node = NodeName::new(&format!("node-{number}")).unwrap();
        Candidate { node, weight, has_data: false, has_room: true, drains: false }
    }

    fn torrent(number: u32) -> InfoHash {
        InfoHash(Sha1::digest(number.to_be_bytes()).into())
    }

    fn owners(candidates: &[Candidate], torrents: u32) -> Vec<NodeName> {
        (0..torrents).map(|number| rank(torrent(number), candidates)[0].clone()).collect()
    }

    #[test]
    fn shares_follow_the_weights() {
        let candidates = [candidate(1, 1.0), candidate(2, 1.0), candidate(3, 2.0)];
        let mut shares: BTreeMap<NodeName, f64> = BTreeMap::new();
        owners(&candidates, 20_000)
            .into_iter()
            .for_each(|owner| *shares.entry(owner).or_default() += 1.0);
        for one in &candidates {
            let share = shares[&one.node] / 20_000.0;
            assert!((share - one.weight / 4.0).abs() < 0.015, "{} has {share}", one.node);
        }
    }

    #[test]
    fn a_node_that_goes_moves_its_own_torrents_alone() {
        let all: Vec<_> = (0..5).map(|number| candidate(number, 1.0)).collect();
        let before = owners(&all, 2_000);
        let after = owners(&all[1..], 2_000);
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || *before == all[0].node);
        }
        assert!(before.contains(&all[0].node) && !after.contains(&all[0].node));
    }

    #[test]
    fn data_attracts_and_who_drains_or_is_full_is_passed_over() {
        let mut all: Vec<_> = (0..4).map(|number| candidate(number, 1.0)).collect();
        all[2].has_data = true;
        let share = owners(&all, 4_000).iter().filter(|owner| **owner == all[2].node).count();
        // Four of seven shares.
        assert!((2_150..2_420).contains(&share), "{share}");
        all[2].drains = true;
        all[1].has_room = false;
        all[0].weight = 0.0;
        assert_eq!(rank(torrent(7), &all), [&all[3].node]);
        assert!(rank(torrent(7), &[]).is_empty());
    }

    #[test]
    fn judges_are_ranked_alike_by_all_of_them() {
        let names: Vec<NodeName> =
            (0..5).map(|n| NodeName::new(&format!("node-{n}")).unwrap()).collect();
        let ranked = rank_judges(&names[0], names[1..].iter());
        assert_eq!(rank_judges(&names[0], names[1..].iter().rev()), ranked);
        assert_eq!(ranked.len(), 4);
    }
}
