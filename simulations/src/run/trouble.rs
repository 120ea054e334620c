//! Faults begin and end.

use control::Command;
use env::sim::{HostId, Kill};
use store::StoreError;

use super::Run;
use crate::plan::{FaultKind, Role};

impl Run<'_> {
    pub(super) fn begin(&mut self, number: usize) {
        let plan = self.plan;
        let Some(fault) = plan.faults.get(number) else { return };
        self.world.note(&format!("fault {number} {} begins", fault.kind.word()));
        match fault.kind {
            FaultKind::Crash { host } => self.kill(host, Kill::Process),
            FaultKind::PowerCut { host } => self.kill(host, Kill::Power),
            FaultKind::Reset { a, b } => self.world.reset(HostId(a), HostId(b)),
            FaultKind::BitFlip { host, bits } => self.flip_bits(number, host, bits),
            FaultKind::StoreFails { host } => {
                if let Some(peer) = self.peers.get(host) {
                    let error = StoreError::Unavailable("as the plan wants it".to_owned());
                    peer.machine.store.fail(Some(error));
                }
            }
            _ => {}
        }
        self.active.begin(number, &fault.kind, plan, &mut self.world);
        if let Some(host) = makes_ill(&fault.kind) {
            self.set_ill(host, 1);
        }
    }

    pub(super) fn end(&mut self, number: usize) {
        let plan = self.plan;
        let Some(fault) = plan.faults.get(number) else { return };
        self.world.note(&format!("fault {number} {} ends", fault.kind.word()));
        self.active.end(number, &fault.kind, plan, &mut self.world);
        if let Some(host) = makes_ill(&fault.kind) {
            self.set_ill(host, -1);
        }
        match fault.kind {
            FaultKind::Crash { host } | FaultKind::PowerCut { host } => self.start(host),
            FaultKind::BitFlip { host, .. } => self.verify(host),
            FaultKind::StoreFails { host } => {
                if let Some(peer) = self.peers.get(host) {
                    peer.machine.store.fail(None);
                }
            }
            _ => {}
        }
    }

    fn set_ill(&mut self, host: usize, by: i32) {
        if let Some(peer) = self.peers.get_mut(host) {
            peer.ill += by;
        }
    }

    fn flip_bits(&mut self, number: usize, host: usize, bits: u32) {
        let total = self.content.bytes.len() as u64 * 8;
        if total == 0 || self.plan.hosts.get(host).is_none_or(|of| of.role != Role::Engine) {
            return;
        }
        let mut damaged = Vec::new();
        for bit in 0..u64::from(bits) {
            // Far apart, the same in every run.
            let draw = self.plan.seed ^ (number as u64) << 32 ^ bit;
            let at = draw.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) % total;
            let byte = usize::try_from(at / 8).unwrap_or(0);
            let part = self.content.parts(byte..byte + 1).next();
            let Some((path, offset, _)) = part else { continue };
            if self.world.disk(HostId(host)).flip_bit(path, offset * 8 + at % 8) {
                damaged.push(u32::try_from(byte / self.content.piece_length).unwrap_or(0));
            }
        }
        self.observer.disk_changed(host, damaged);
    }

    fn verify(&mut self, host: usize) {
        let id = self.content.id;
        self.tell(host, Command::Verify(id));
        self.observer.reached("rechecked-after-bit-flip");
    }
}

/// The host whose torrent a fault may bring into error.
fn makes_ill(kind: &FaultKind) -> Option<usize> {
    match *kind {
        FaultKind::DiskFull { host }
        | FaultKind::DiskFails { host, .. }
        | FaultKind::StoreFails { host } => Some(host),
        _ => None,
    }
}
