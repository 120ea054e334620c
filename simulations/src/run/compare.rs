//! The end of a run: what engines say is compared with what was seen, and nothing may be left.

use control::{Command, RemoveTorrent, TorrentDetail, TrackerStatus};

use super::{ANSWER_MS, REMOVE_MS, REST_MS, Run, Stop};
use crate::plan::Role;

impl Run<'_> {
    /// What engines say of themselves is what was seen.
    pub(super) fn compare(&mut self) -> Result<(), Stop> {
        self.advance_to(self.now_ms() + REST_MS)?;
        let hosts = 0..self.peers.len();
        let answers: Vec<_> = hosts.map(|host| (host, self.ask(host))).collect();
        self.advance_to(self.now_ms() + ANSWER_MS)?;
        let all_read = !self.observer.sometimes.contains_key("encrypted-connection");
        for (host, answer) in answers {
            let Some(Ok(detail)) = answer.and_then(|answer| answer.lock().take()) else { continue };
            let is_engine = self.plan.hosts.get(host).is_some_and(|of| of.role == Role::Engine);
            if !is_engine {
                continue;
            }
            self.compare_pieces(host, &detail);
            for tracker in &detail.trackers {
                match tracker.status {
                    TrackerStatus::Working => self.observer.reached("tracker-answered"),
                    TrackerStatus::Failed => self.observer.reached("tracker-failed"),
                    TrackerStatus::Idle | TrackerStatus::Announcing => {}
                }
            }
            if all_read && self.peers.get(host).is_some_and(|peer| peer.lives == 1) {
                self.compare_totals(host, &detail);
            }
        }
        self.compare_ratio();
        if self.observer.violation().is_some() { Err(Stop::Violation) } else { Ok(()) }
    }

    /// Honest hosts sent no more than the plan lets them, as a multiple of what those who completed lacked.
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    fn compare_ratio(&mut self) {
        let limit = self.plan.expect.sent_ratio_max;
        let (mut sent, mut lacked) = (0.0, 0.0);
        for (host, (of, peer)) in self.plan.hosts.iter().zip(&self.peers).enumerate() {
            if of.role == Role::Engine {
                sent += self.observer.payload(host).0 as f64;
                lacked += if peer.whole { 1.0 - of.has } else { 0.0 };
            }
        }
        let needed = lacked * self.content.bytes.len() as f64;
        if limit > 0.0 && sent > limit * needed {
            let message = format!("{sent} bytes were sent, {limit} times {needed} may be");
            self.observer.fail("expect", None, message);
        }
    }

    fn compare_totals(&mut self, host: usize, detail: &TorrentDetail) {
        let torrent = &detail.torrent;
        let (sent, received) = self.observer.payload(host);
        let (up, down) = (torrent.uploaded_bytes, torrent.downloaded_bytes);
        let unsure = self.observer.unsure(host);
        if up > sent || up + unsure < sent {
            let message = format!("says that it sent {up} bytes, {sent} were seen");
            self.observer.fail("I5", Some(host), message);
        }
        if down > received || down + torrent.wasted_bytes + unsure < received {
            let wasted = torrent.wasted_bytes;
            let message = format!(
                "says that it received {down} bytes and {wasted} in vain, {received} were seen"
            );
            self.observer.fail("I5", Some(host), message);
        }
    }

    /// Removes the torrent everywhere: nothing may be left of it.
    pub(super) fn remove_all(&mut self) -> Result<(), Stop> {
        let id = self.content.id;
        for host in 0..self.peers.len() {
            self.tell(host, Command::Remove(RemoveTorrent { id, with_data: true }));
        }
        self.advance_to(self.now_ms() + REMOVE_MS)?;
        for host in 0..self.peers.len() {
            let Some(peer) = self.peers.get(host).filter(|peer| peer.runs) else { continue };
            let told = peer.machine.told.lock();
            let (Some(env), Some(before)) = (&told.env, &told.baseline) else { continue };
            let live = env.live();
            let more = |(kind, count): (&&str, &usize)| before.get(*kind).is_none_or(|b| b < count);
            let is_left = live.iter().any(more);
            let message = is_left
                .then(|| format!("{live:?} are left of its torrent, {before:?} were there before"));
            drop(told);
            if let Some(message) = message {
                self.observer.fail("I6", Some(host), message);
            }
        }
        if self.observer.violation().is_some() { Err(Stop::Violation) } else { Ok(()) }
    }
}
