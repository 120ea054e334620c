//! The member's peers: dialling, accepting, what their connections tell, the choker, peer exchange.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bittorrent::choke::{Changes, PeerFacts};
use bittorrent::peer::HaveUpdate;
use bittorrent::picker::PeerKey;
use bittorrent::wire::pex;
use bittorrent::{BLOCK_LEN, PeerId, PieceIndex, Time};
use env::supervision::Policy;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::metadata::Step;
use super::pool::{Outcome, Pace};
use super::{Child, Member, MemberEvent, MemberMsg, Phase, Wake};
use crate::bugs::{self, Bug};
use crate::node::Slot;
use crate::peer::{
    End, PeerActor, PeerArgs, PeerCell, PeerCommand, PeerNews, Run, Shaken, Start, handshake,
};

/// Addresses that are taken at once.
const ADDRESSES_MAX: usize = 200;
/// Peers tell each other of others so often (BEP 11).
const PEX_EVERY: Duration = Duration::from_secs(60);
/// No peer listens on a lower port: others would make us knock on services (BEP 11 lists).
const PEX_PORT_MIN: u16 = 1024;
/// While the node has no connection left, one is asked for again after this time.
const SLOT_RETRY: Duration = Duration::from_secs(1);
/// A seed does not stay awake for an address that is dialled later than this.
const SOON: Duration = Duration::from_secs(20);
/// A connection that lasted for less has failed.
const SHORT: Duration = Duration::from_secs(10);

/// A connection as the member sees it.
#[derive(Debug)]
pub(super) struct PeerSlot {
    commands: mpsc::UnboundedSender<PeerCommand>,
    pub(super) actor: ActorRef<Run>,
    pub(super) cell: Arc<PeerCell>,
    /// Where it is.
    pub(super) address: SocketAddr,
    /// Where it can be dialled.
    listen: Option<SocketAddr>,
    pub(super) incoming: bool,
    /// When it had shaken hands.
    pub(super) connected_at: Option<Time>,
    peer_id: Option<PeerId>,
    interested: bool,
    pub(super) wants: bool,
    pub(super) choking: bool,
    pub(super) upload_only: bool,
    snubbed: bool,
    /// Blocks that it could be asked for.
    pub(super) waiting: u32,
    /// Of these pieces alone, as it chokes us otherwise (BEP 6).
    pub(super) only: Option<Vec<PieceIndex>>,
    /// Pieces whose actors its connection knows.
    pub(super) known: BTreeSet<PieceIndex>,
    unchoked_at: Option<Time>,
    up_at_unchoke: u64,
    told_of: BTreeSet<SocketAddr>,
    /// Why we closed it, if we did.
    closing: Option<Outcome>,
    _connection: Slot,
    half_open: Option<Slot>,
}

impl PeerSlot {
    /// Tells the connection something.
    pub(super) fn tell(&self, command: PeerCommand) {
        // One that has ended is told of by supervision.
        let _ = self.commands.send(command);
    }

    /// The peer's program, as far as its name tells.
    pub(super) fn client_name(&self) -> String {
        self.peer_id.as_ref().map(bittorrent::peer_id::client_name).unwrap_or_default()
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.connected_at.is_some()
    }
}

impl Member {
    /// Takes addresses that a tracker, a peer or a user gave.
    pub(super) async fn on_addresses(
        &mut self,
        addresses: &[SocketAddr],
        named: bool,
    ) -> Result<(), ActorProcessingErr> {
        let now = self.env.now();
        for &address in addresses.iter().take(ADDRESSES_MAX) {
            if let Err(refused) = self.node.policy.judge_peer(address) {
                debug!(%address, %refused, "address not taken");
                if named {
                    self.tell(MemberEvent::Anomaly(format!("{address}: {refused}")));
                }
                continue;
            }
            self.pool.add(address, now, named);
        }
        self.dial().await
    }

    /// Dials as many as may be dialled now.
    pub(super) async fn dial(&mut self) -> Result<(), ActorProcessingErr> {
        if !matches!(self.phase, Phase::Metadata(_) | Phase::Transfer(_)) {
            return Ok(());
        }
        let now = self.env.now();
        let pace = self.pace();
        let mut wake_at = None;
        while self.peers.len() < self.settings.connections_max as usize {
            wake_at = self.pool.next_at(pace);
            if wake_at.is_none_or(|at| at > now) {
                break;
            }
            let slots = self.node.connections.take().zip(self.node.half_open.take());
            let Some((connection, half_open)) = slots else {
                wake_at = Some(now + SLOT_RETRY);
                break;
            };
            let Some(address) = self.pool.next(now, pace) else { break };
            self.start_peer(Start::Dial(address), address, connection, Some(half_open)).await?;
        }
        self.wake_dial(wake_at, now);
        Ok(())
    }

    fn pace(&self) -> Pace {
        if self.has_all_wanted() { Pace::SEED } else { Pace::DOWNLOAD }
    }

    fn has_all_wanted(&self) -> bool {
        matches!(&self.phase, Phase::Transfer(transfer) if transfer.picker.wanted_left() == 0)
    }

    fn wake_dial(&mut self, at: Option<Time>, now: Time) {
        let Some(at) = at else { return };
        if self.timers.dial.as_ref().is_some_and(|(armed, _)| *armed <= at && *armed > now) {
            return;
        }
        let wake = MemberMsg::Wake(Wake::Dial);
        let timer = self.env.send_after(at.since(now), &self.myself, wake);
        self.timers.dial = Some((at, timer));
    }

    /// A peer came.
    pub(super) async fn on_incoming(
        &mut self,
        shaken: Box<Shaken>,
    ) -> Result<(), ActorProcessingErr> {
        let address = shaken.address;
        let full = self.peers.len() >= self.settings.connections_max as usize;
        let open = matches!(self.phase, Phase::Metadata(_) | Phase::Transfer(_));
        if full || !open || self.pool.is_banned(address.ip()) {
            debug!(%address, full, "incoming peer sent away");
            return Ok(());
        }
        let Some(connection) = self.node.connections.take() else { return Ok(()) };
        self.start_peer(Start::Accepted(shaken), address, connection, None).await
    }

    async fn start_peer(
        &mut self,
        start: Start,
        address: SocketAddr,
        connection: Slot,
        half_open: Option<Slot>,
    ) -> Result<(), ActorProcessingErr> {
        let key = PeerKey(self.next_key);
        self.next_key = self.next_key.wrapping_add(1);
        let incoming = matches!(start, Start::Accepted(_));
        let (commands, receiver) = mpsc::unbounded_channel();
        let cell = Arc::new(PeerCell::new(self.env.now()));
        let content = match &self.phase {
            Phase::Transfer(transfer) => Some(transfer.content(self.is_private)),
            _ => None,
        };
        let args = Box::new(PeerArgs {
            key,
            start,
            node: Arc::clone(&self.node),
            identity: self.identity,
            member: self.myself.clone(),
            commands: receiver,
            content,
            up: self.up_limits.clone(),
            cell: Arc::clone(&cell),
            tally: Arc::clone(&self.tally),
            _live: self.env.count("peer"),
        });
        let (actor, _) = Actor::spawn_linked(None, PeerActor, args, self.myself.get_cell()).await?;
        self.supervisor.started(actor.get_id(), Child::Peer(key), Policy::TEMPORARY);
        if let Phase::Transfer(transfer) = &mut self.phase {
            transfer.picker.peer_joined(key);
        }
        let slot = PeerSlot {
            commands,
            actor,
            cell,
            address,
            listen: (!incoming).then_some(address),
            incoming,
            connected_at: None,
            peer_id: None,
            interested: false,
            wants: false,
            choking: true,
            upload_only: false,
            snubbed: false,
            waiting: 0,
            only: None,
            known: BTreeSet::new(),
            unchoked_at: None,
            up_at_unchoke: 0,
            told_of: BTreeSet::new(),
            closing: None,
            _connection: connection,
            half_open,
        };
        self.peers.insert(key, slot);
        Ok(())
    }

    /// A connection has shaken hands.
    pub(super) fn on_connected(&mut self, key: PeerKey, address: SocketAddr, peer_id: PeerId) {
        if peer_id == self.identity.peer_id {
            return self.close_peer(key, Outcome::Never);
        }
        let Some(slot) = self.peers.get_mut(&key) else { return };
        slot.connected_at = Some(self.env.now());
        slot.peer_id = Some(peer_id);
        slot.half_open = None;
        debug!(info_hash = %self.identity.info_hash, peer = %address, "connected");
        let incoming = slot.incoming;
        let twin = self.peers.iter().find(|(other, slot)| {
            **other != key && slot.peer_id == Some(peer_id) && slot.closing.is_none()
        });
        if let Some((&other, twin)) = twin {
            // Both sides dialled at once: both keep the one that the higher name has dialled.
            let ours_is_kept = self.identity.peer_id > peer_id;
            let newer_goes = twin.incoming == incoming || incoming == ours_is_kept;
            self.close_peer(if newer_goes { key } else { other }, Outcome::Useless);
        }
        self.tell_peers();
    }

    /// Ends a connection; what follows is told by its end.
    fn close_peer(&mut self, key: PeerKey, outcome: Outcome) {
        let Some(slot) = self.peers.get_mut(&key) else { return };
        slot.closing = Some(outcome);
        // It ends when nobody can command it; one that still dials does not listen.
        slot.commands = mpsc::unbounded_channel().0;
        if slot.connected_at.is_none() {
            slot.actor.kill();
        }
    }

    /// Ends all connections.
    pub(super) fn close_peers(&mut self) {
        let keys: Vec<_> = self.peers.keys().copied().collect();
        keys.into_iter().for_each(|key| self.close_peer(key, Outcome::Ended));
        self.timers = super::Timers::default();
    }

    /// A connection has ended: by its own word, or (`end` is none) by its supervisor's.
    pub(super) async fn on_peer_ended(
        &mut self,
        key: PeerKey,
        end: Option<End>,
    ) -> Result<(), ActorProcessingErr> {
        let Some(slot) = self.peers.remove(&key) else { return Ok(()) };
        if end.is_some() {
            slot.actor.stop(None);
        }
        let now = self.env.now();
        let outcome = slot.closing.unwrap_or_else(|| outcome_of(end.as_ref(), &slot, now));
        if let Some(end) = &end {
            debug!(info_hash = %self.identity.info_hash, peer = %slot.address, %end, "disconnected");
        }
        self.pool.ended(slot.listen.unwrap_or(slot.address), outcome, now);
        self.choker.left(key);
        let was_connected = slot.is_connected();
        match &mut self.phase {
            Phase::Transfer(transfer) => transfer.peer_left(key),
            Phase::Metadata(fetch) => {
                let mut steps = Vec::new();
                fetch.left(key, now, &mut steps);
                self.take_steps(steps);
            }
            Phase::Opening(_) | Phase::Checking(_) | Phase::Closing => {}
        }
        if was_connected {
            self.refill().await?;
        }
        self.dial().await?;
        self.tell_peers();
        Ok(())
    }

    pub(super) fn tell_peers(&self) {
        let connected = self.peers.values().filter(|slot| slot.is_connected()).count();
        let pending = connected < self.peers.len() || self.expects_peers();
        let connected = u32::try_from(connected).unwrap_or(u32::MAX);
        self.tell(MemberEvent::Peers { connected, pending });
    }

    /// Whether an address is worth waiting for. To a seed, peers come; only who downloads needs those
    /// that were not there the last times.
    fn expects_peers(&self) -> bool {
        let Some(at) = self.pool.next_at(self.pace()) else { return false };
        !self.has_all_wanted() || at <= self.env.now() + SOON
    }

    /// What a connection tells.
    pub(super) async fn on_news(
        &mut self,
        key: PeerKey,
        news: Vec<PeerNews>,
    ) -> Result<(), ActorProcessingErr> {
        let mut changed = false;
        for one in news {
            changed |= self.on_one(key, one).await?;
        }
        if changed {
            self.update_interest(key);
        }
        self.pick(key).await
    }

    /// Says whether what the peer has changed.
    async fn on_one(&mut self, key: PeerKey, news: PeerNews) -> Result<bool, ActorProcessingErr> {
        match news {
            PeerNews::Received(piece, begins) => self.on_received(key, piece, &begins),
            PeerNews::Released(blocks) => self.on_released(key, &blocks).await?,
            PeerNews::Has(update) => return Ok(self.on_has(key, &update)),
            PeerNews::Bitfield(bits) => {
                let Phase::Transfer(transfer) = &mut self.phase else { return Ok(false) };
                transfer.picker.peer_bitfield(key, &bits);
                return Ok(true);
            }
            PeerNews::Interested(wants) => self.on_interested(key, wants),
            PeerNews::Wants { count, only } => {
                if let Some(slot) = self.peers.get_mut(&key) {
                    slot.waiting = count;
                    slot.only = only;
                }
            }
            PeerNews::Snubbed(snubbed) => {
                if let Some(slot) = self.peers.get_mut(&key) {
                    slot.snubbed = snubbed;
                }
            }
            PeerNews::Extended { port, metadata_size } => {
                self.on_extended(key, port, metadata_size);
            }
            PeerNews::UploadOnly(only) => {
                if let Some(slot) = self.peers.get_mut(&key) {
                    slot.upload_only = only;
                }
                self.close_if_useless(key);
            }
            PeerNews::Metadata { piece, total_size, data } => {
                let now = self.env.now();
                let Phase::Metadata(fetch) = &mut self.phase else { return Ok(false) };
                let mut steps = Vec::new();
                fetch.received(key, (piece, total_size, data), now, &mut steps);
                self.take_steps(steps);
            }
            PeerNews::MetadataRefused => {
                let now = self.env.now();
                let Phase::Metadata(fetch) = &mut self.phase else { return Ok(false) };
                let mut steps = Vec::new();
                fetch.left(key, now, &mut steps);
                self.take_steps(steps);
            }
            PeerNews::Pex(message) => self.on_pex(&message).await?,
        }
        Ok(false)
    }

    fn on_has(&mut self, key: PeerKey, update: &HaveUpdate) -> bool {
        let Phase::Transfer(transfer) = &mut self.phase else { return false };
        match update {
            HaveUpdate::All => transfer.picker.peer_has_all(key),
            HaveUpdate::Pieces(pieces) => {
                pieces.iter().for_each(|&piece| transfer.picker.peer_has(key, piece));
            }
            HaveUpdate::Lost(piece) => transfer.picker.peer_lost(key, *piece),
            // Comes with its bits, as news of its own.
            HaveUpdate::Bitfield => {}
        }
        if matches!(update, HaveUpdate::All)
            && let Some(slot) = self.peers.get_mut(&key)
        {
            slot.upload_only = true;
            self.close_if_useless(key);
        }
        true
    }

    fn on_extended(&mut self, key: PeerKey, port: Option<u16>, metadata_size: Option<u32>) {
        let now = self.env.now();
        if let Some(slot) = self.peers.get_mut(&key)
            && let Some(port) = port.filter(|&port| port != 0)
            && slot.incoming
            && slot.listen.is_none()
        {
            let listen = SocketAddr::new(slot.address.ip(), port);
            slot.listen = Some(listen);
            if self.node.policy.judge_peer(listen).is_ok() {
                self.pool.connected(listen, now);
            }
        }
        if let (Phase::Metadata(fetch), Some(size)) = (&mut self.phase, metadata_size) {
            let mut steps = Vec::new();
            fetch.offered(key, size, now, &mut steps);
            self.take_steps(steps);
        }
    }

    /// Two seeds have nothing to say to each other.
    pub(super) fn close_if_useless(&mut self, key: PeerKey) {
        if self.has_all_wanted() && self.peers.get(&key).is_some_and(|slot| slot.upload_only) {
            self.close_peer(key, Outcome::Useless);
        }
    }

    /// Tells the peer whether we want something of it, if that changed.
    pub(super) fn update_interest(&mut self, key: PeerKey) {
        let Phase::Transfer(transfer) = &self.phase else { return };
        let interesting = transfer.picker.is_interesting(key);
        let Some(slot) = self.peers.get_mut(&key) else { return };
        if std::mem::replace(&mut slot.interested, interesting) != interesting {
            slot.tell(PeerCommand::Interested(interesting));
            if !interesting {
                slot.waiting = 0;
            }
        }
    }

    fn on_interested(&mut self, key: PeerKey, wants: bool) {
        let Some(slot) = self.peers.get_mut(&key) else { return };
        slot.wants = wants;
        let now = self.env.now();
        if wants {
            let facts = self.facts(now);
            let changes = self.choker.interested(now, key, &facts);
            self.apply(&changes, now);
            if bugs::has(Bug::UnchokesTooMany) {
                self.set_choking(key, false, now);
            }
        } else {
            self.choker.left(key);
            self.set_choking(key, true, now);
        }
        self.arm_choke();
    }

    pub(super) fn on_choke_round(&mut self) {
        self.timers.choke = None;
        let now = self.env.now();
        let Phase::Transfer(transfer) = &self.phase else { return };
        let seeding = transfer.picker.wanted_left() == 0;
        let facts = self.facts(now);
        let changes = self.choker.round(now, seeding, &facts);
        self.apply(&changes, now);
        self.arm_choke();
    }

    fn arm_choke(&mut self) {
        let Some(at) = self.choker.poll_timeout() else {
            self.timers.choke = None;
            return;
        };
        if self.timers.choke.is_none() {
            let wake = MemberMsg::Wake(Wake::Choke);
            let delay = at.since(self.env.now());
            self.timers.choke = Some(self.env.send_after(delay, &self.myself, wake));
        }
    }

    fn apply(&mut self, changes: &Changes, now: Time) {
        changes.choke.iter().for_each(|&key| self.set_choking(key, true, now));
        changes.unchoke.iter().for_each(|&key| self.set_choking(key, false, now));
    }

    fn set_choking(&mut self, key: PeerKey, choking: bool, now: Time) {
        let Some(slot) = self.peers.get_mut(&key) else { return };
        if std::mem::replace(&mut slot.choking, choking) == choking {
            return;
        }
        if !choking {
            slot.unchoked_at = Some(now);
            slot.up_at_unchoke = slot.cell.change(|figures| figures.up.total());
        }
        slot.tell(PeerCommand::Choke(choking));
    }

    /// What the choker wants to know.
    fn facts(&self, now: Time) -> Vec<PeerFacts> {
        let count = match &self.phase {
            Phase::Transfer(transfer) => transfer.layout.piece_count.max(1),
            _ => 1,
        };
        let connected = self.peers.iter().filter(|(_, slot)| slot.is_connected());
        let facts = connected.map(|(&key, slot)| {
            slot.cell.change(|figures| PeerFacts {
                key,
                interested: slot.wants,
                snubbed: slot.snubbed,
                down_bytes_per_s: figures.down.rate(now),
                up_bytes_per_s: figures.up.rate(now),
                up_since_unchoke: figures.up.total().saturating_sub(slot.up_at_unchoke),
                unchoked_at: slot.unchoked_at,
                progress: thousandths(figures.pieces, count),
            })
        });
        facts.collect()
    }

    /// Does what the fetch of the info dictionary says.
    fn take_steps(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Ask(key, pieces) => {
                    if let Some(slot) = self.peers.get(&key) {
                        slot.tell(PeerCommand::RequestMetadata(pieces));
                    }
                }
                Step::Complete(key, bytes) => {
                    if self.on_metadata(key, bytes) {
                        return;
                    }
                }
            }
        }
        self.arm_metadata();
    }

    /// A peer sent a whole info dictionary; says whether it is right.
    fn on_metadata(&mut self, key: PeerKey, bytes: bytes::Bytes) -> bool {
        let parsed = bittorrent::metainfo::Info::parse(&bytes);
        let parsed = parsed.ok().filter(|info| self.settings_accept(info));
        let Some(info) = parsed else {
            self.tell(MemberEvent::Anomaly("a peer sent false metadata".to_owned()));
            self.ban(key);
            return false;
        };
        let info = Arc::new(info);
        self.is_private = info.is_private();
        self.timers.metadata = None;
        self.tell(MemberEvent::Metadata(Arc::clone(&info)));
        self.open(info, None, false);
        true
    }

    fn settings_accept(&self, info: &bittorrent::metainfo::Info) -> bool {
        info.v1().is_some_and(|hash| hash == self.identity.info_hash)
    }

    pub(super) fn on_metadata_timeout(&mut self) {
        self.timers.metadata = None;
        let now = self.env.now();
        let Phase::Metadata(fetch) = &mut self.phase else { return };
        let mut steps = Vec::new();
        fetch.handle_timeout(now, &mut steps);
        for step in steps {
            if let Step::Ask(key, pieces) = step
                && let Some(slot) = self.peers.get(&key)
            {
                slot.tell(PeerCommand::RequestMetadata(pieces));
            }
        }
        self.arm_metadata();
    }

    fn arm_metadata(&mut self) {
        let Phase::Metadata(fetch) = &self.phase else { return };
        let (Some(at), None) = (fetch.poll_timeout(), &self.timers.metadata) else { return };
        let delay = at.since(self.env.now());
        let wake = MemberMsg::Wake(Wake::Metadata);
        self.timers.metadata = Some(self.env.send_after(delay, &self.myself, wake));
    }

    /// Sends a peer away for good.
    pub(super) fn ban(&mut self, key: PeerKey) {
        let Some(slot) = self.peers.get(&key) else { return };
        let (ip, address) = (slot.address.ip(), slot.address);
        if self.pool.is_banned(ip) {
            // What it sent before is still being judged.
            return;
        }
        info!(info_hash = %self.identity.info_hash, peer = %address, "banned");
        self.tell(MemberEvent::Anomaly(format!("banned {address}")));
        self.pool.ban(ip);
        let of_host = self.peers.iter().filter(|(_, slot)| slot.address.ip() == ip);
        let keys: Vec<_> = of_host.map(|(&key, _)| key).collect();
        keys.into_iter().for_each(|key| self.close_peer(key, Outcome::Never));
    }

    pub(super) fn start_pex(&mut self) {
        if self.is_private || self.timers.pex.is_some() {
            return;
        }
        let wake = MemberMsg::Wake(Wake::Pex);
        self.timers.pex = Some(self.env.send_after(PEX_EVERY, &self.myself, wake));
    }

    /// Tells every peer which others came and went since it was told last.
    pub(super) fn on_pex_due(&mut self) {
        self.timers.pex = None;
        let now_there: BTreeSet<_> = self
            .peers
            .values()
            .filter(|slot| slot.is_connected())
            .filter_map(|slot| Some((slot.listen?, slot.upload_only)))
            .collect();
        let addresses: BTreeSet<_> = now_there.iter().map(|(address, _)| *address).collect();
        for slot in self.peers.values_mut().filter(|slot| slot.is_connected()) {
            let new = now_there.iter().filter(|(address, _)| {
                !slot.told_of.contains(address) && Some(*address) != slot.listen
            });
            let new: Vec<_> = new.take(pex::ADDED_MAX).copied().collect();
            let gone: Vec<_> =
                slot.told_of.difference(&addresses).take(pex::ADDED_MAX).copied().collect();
            if new.is_empty() && gone.is_empty() {
                continue;
            }
            gone.iter().for_each(|address| _ = slot.told_of.remove(address));
            slot.told_of.extend(new.iter().map(|(address, _)| *address));
            let flags = |seed| pex::Flags(if seed { pex::Flags::SEED } else { 0 });
            let added = new.into_iter().map(|(address, seed)| (address, flags(seed))).collect();
            slot.tell(PeerCommand::Pex(Box::new(pex::Message { added, dropped: gone })));
        }
        if !self.peers.is_empty() || matches!(self.phase, Phase::Metadata(_)) {
            self.start_pex();
        }
    }

    async fn on_pex(&mut self, message: &pex::Message) -> Result<(), ActorProcessingErr> {
        if self.is_private {
            return Ok(());
        }
        let added = message.added.iter().map(|(address, _)| *address);
        let added: Vec<_> = added.filter(|address| address.port() >= PEX_PORT_MIN).collect();
        self.on_addresses(&added, false).await
    }

    pub(super) async fn on_settings(
        &mut self,
        settings: super::MemberSettings,
    ) -> Result<(), ActorProcessingErr> {
        self.settings = settings;
        let Phase::Transfer(transfer) = &mut self.phase else { return Ok(()) };
        transfer.apply(&self.settings);
        let progress = transfer.progress();
        let keys: Vec<_> = self.peers.keys().copied().collect();
        keys.into_iter().for_each(|key| self.update_interest(key));
        self.tell(MemberEvent::Changed(progress));
        self.dial().await?;
        self.refill().await
    }
}

/// What becomes of an address whose connection ended by itself.
fn outcome_of(end: Option<&End>, slot: &PeerSlot, now: Time) -> Outcome {
    use bittorrent::peer::Violation;
    let lasted = slot.connected_at.map(|at| now.since(at));
    match end {
        Some(End::Dial(handshake::Error::Refused(_))) => Outcome::Never,
        Some(End::Violation(Violation::Silence | Violation::Unread)) => Outcome::Failed,
        Some(End::Violation(_)) => Outcome::Never,
        _ if lasted.is_some_and(|lasted| lasted >= SHORT) => Outcome::Ended,
        _ if slot.cell.change(|figures| figures.down.total()) >= u64::from(BLOCK_LEN) => {
            Outcome::Ended
        }
        _ => Outcome::Failed,
    }
}

fn thousandths(part: u32, of: u32) -> u16 {
    u16::try_from(u64::from(part) * 1000 / u64::from(of.max(1))).unwrap_or(1000)
}
