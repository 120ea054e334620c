//! What is shown of a member.

use control::PeerSnapshot;

use super::{Member, MemberView, Phase};

impl Member {
    /// All that is shown.
    pub(super) fn view(&self) -> MemberView {
        let now = self.env.now();
        let transfer = match &self.phase {
            Phase::Checking(transfer) | Phase::Transfer(transfer) => Some(transfer),
            Phase::Opening(_) | Phase::Metadata(_) | Phase::Closing => None,
        };
        let count = transfer.map_or(0, |transfer| transfer.layout.piece_count);
        let connected = self.peers.values().filter(|slot| slot.is_connected());
        let peers: Vec<_> = connected
            .map(|slot| {
                let figures = slot.cell.figures();
                PeerSnapshot {
                    address: slot.address,
                    client: figures.client.clone().unwrap_or_else(|| slot.client_name()),
                    progress: f64::from(figures.pieces) / f64::from(count.max(1)),
                    down_bytes_per_s: figures.down.rate(now),
                    up_bytes_per_s: figures.up.rate(now),
                    downloaded_bytes: figures.down.total(),
                    uploaded_bytes: figures.up.total(),
                    incoming: slot.incoming,
                    encrypted: figures.encrypted,
                    choked: figures.choked,
                    choking: figures.choking,
                    interested: figures.interested,
                    wants: figures.wants,
                }
            })
            .collect();
        let sum = |rate: fn(&PeerSnapshot) -> u64| peers.iter().map(rate).sum();
        let seeds = self.peers.values().filter(|slot| slot.is_connected() && slot.upload_only);
        MemberView {
            progress: transfer.map(|transfer| transfer.progress()),
            have: transfer.map(|transfer| transfer.picker.have().clone()),
            down_bytes_per_s: self.down_rate.rate(now),
            up_bytes_per_s: sum(|peer| peer.up_bytes_per_s),
            seeds: u32::try_from(seeds.count()).unwrap_or(u32::MAX),
            content: transfer
                .map(|t| (std::sync::Arc::clone(&t.files), std::sync::Arc::clone(&t.have))),
            peers,
        }
    }
}
