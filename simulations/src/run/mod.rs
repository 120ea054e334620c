//! Runs a plan: starts its hosts, has its faults happen, and looks at what must hold.
//!
//! The world moves from one thing on the agenda to the next; in between, the observer sees every event.
//! After the last fault the network is whole and everybody must complete; then what engines say of
//! themselves is compared with what was seen, torrents are removed, and nothing may be left.

mod compare;
mod cost;
mod engine;
mod faults;
mod peer;
mod series;
mod trouble;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bittorrent::Time;
use control::{Command, Engine, EngineError, TorrentDetail, TorrentState};
use env::sim::{DatagramConfig, HostConfig, HostId, World};

use self::engine::{Machine, Shared, config_of};
use self::faults::{Active, link_of};
use self::peer::Peer;
use self::series::{Moment, Recorder};
use crate::check::{Bounds, Observer, Subject, has_piece};
use crate::content::Content;
use crate::outcome::{Cost, HostOutcome, Outcome, Verdict};
use crate::plan::{Plan, Role};

/// How often the harness looks at its hosts, in simulated milliseconds.
const LOOK_EVERY_MS: u64 = 500;
/// How often it looks at what it uses itself, in events.
const COST_EVERY: u64 = 8192;
/// At the end hosts rest for so long before their counts are compared,
const REST_MS: u64 = 3_000;
/// and have so long to answer,
const ANSWER_MS: u64 = 2_000;
/// and to end what belongs to a removed torrent (trackers may not answer).
const REMOVE_MS: u64 = 60_000;
/// A torrent in error is started again by its user after so long.
const USER_MS: u64 = 2_000;

/// What a run may use; it stops with what it has when it is passed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// CPU time of the process.
    pub cpu: Duration,
    /// Resident memory of the process, in bytes.
    pub rss_bytes: u64,
}

/// Something on the agenda.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Arrive(usize),
    Leave(usize),
    Begin(usize),
    End(usize),
    /// A host whose engine could not start is started again.
    Again(usize),
    Look,
}

/// Why a run ends before its end.
enum Stop {
    /// Something did not hold: the observer knows what.
    Violation,
    /// A limit was passed.
    Limit(String),
}

/// Runs a plan; the lines of its trace go to `trace`.
///
/// The hash of the outcome is the same in every process only if the process has run nothing before, on
/// a fresh thread whose chance is seeded: the program sees to that.
#[must_use]
pub fn run(plan: &Plan, limits: &Limits, trace: Option<Box<dyn Write + Send>>) -> Outcome {
    match Run::new(plan, limits, trace) {
        Ok(mut run) => {
            let end = run.go();
            run.finish(end)
        }
        Err(error) => Outcome {
            scenario: plan.scenario.clone(),
            seed: plan.seed,
            verdict: Verdict::Stopped { message: format!("the plan cannot be run: {error:#}") },
            hash: String::new(),
            cost: Cost::default(),
            hosts: Vec::new(),
            sometimes: BTreeMap::new(),
            series: crate::outcome::Series::default(),
            faults: plan.faults.clone(),
        },
    }
}

struct Run<'a> {
    plan: &'a Plan,
    limits: &'a Limits,
    content: Arc<Content>,
    world: World,
    observer: Observer,
    peers: Vec<Peer>,
    agenda: BTreeMap<(u64, u64), Act>,
    entries: u64,
    active: Active,
    recorder: Recorder,
    /// All must be complete by then, in milliseconds.
    deadline_ms: u64,
    healed_ms: u64,
    next_cost: u64,
}

impl<'a> Run<'a> {
    fn new(
        plan: &'a Plan,
        limits: &'a Limits,
        trace: Option<Box<dyn Write + Send>>,
    ) -> anyhow::Result<Self> {
        let content = Arc::new(Content::new(plan)?);
        let mut world = World::new(plan.seed);
        if let Some(trace) = trace {
            world.trace_to(trace);
        }
        world.watch();
        world.set_datagrams(DatagramConfig {
            loss: plan.datagrams.loss,
            duplicate: plan.datagrams.duplicate,
            reorder: plan.datagrams.reorder,
            ..DatagramConfig::default()
        });
        let (mut peers, mut subjects) = (Vec::new(), Vec::new());
        for of in &plan.hosts {
            let config = config_of(of)?;
            let host = world.add_host(HostConfig { name: of.name.clone(), link: link_of(of) });
            let engine = &config.engine;
            let fixed = engine.choker.mode == cluster_config::ChokerMode::Fixed;
            subjects.push(Subject {
                name: of.name.clone(),
                honest: of.role == Role::Engine,
                disk: world.disk(host).clone(),
                bounds: Bounds {
                    slots: fixed.then_some(engine.choker.upload_slots as usize),
                    up_bytes_per_s: engine.rates.up.limit_bytes_per_s().map_or(0, u64::from),
                    unwritten: engine.memory.unwritten.as_bytes(),
                    connections: engine.network.max_connections_per_torrent as usize,
                },
                knows: of.knows.iter().copied().collect(),
                has_tracker: of.tracker.is_some(),
            });
            peers.push(Peer::new(Machine::new(config)));
        }
        let observer = Observer::new(Arc::clone(&content), plan.torrent.private, subjects);
        let last_fault = plan.faults.iter().map(|fault| fault.at_ms + fault.for_ms).max();
        let last_arrival = plan.hosts.iter().map(|host| host.arrives_ms).max();
        let healed_ms =
            plan.faults_end_ms.max(last_fault.unwrap_or(0)).max(last_arrival.unwrap_or(0));
        let mut run = Self {
            plan,
            limits,
            content,
            world,
            observer,
            peers,
            agenda: BTreeMap::new(),
            entries: 0,
            active: Active::default(),
            recorder: Recorder::new(),
            deadline_ms: healed_ms + plan.expect.complete_within_ms,
            healed_ms,
            next_cost: COST_EVERY,
        };
        for (index, host) in plan.hosts.iter().enumerate() {
            run.plan_for(host.arrives_ms, Act::Arrive(index));
            if let Some(leaves_ms) = host.leaves_ms {
                run.plan_for(leaves_ms, Act::Leave(index));
            }
        }
        for (index, fault) in plan.faults.iter().enumerate() {
            run.plan_for(fault.at_ms, Act::Begin(index));
            run.plan_for(fault.at_ms + fault.for_ms, Act::End(index));
        }
        run.plan_for(LOOK_EVERY_MS, Act::Look);
        Ok(run)
    }

    fn plan_for(&mut self, at_ms: u64, act: Act) {
        self.entries += 1;
        self.agenda.insert((at_ms, self.entries), act);
    }

    fn now_ms(&self) -> u64 {
        self.world.now().as_nanos() / 1_000_000
    }

    fn go(&mut self) -> Result<(), Stop> {
        while let Some(((at_ms, _), act)) = self.agenda.pop_first() {
            self.advance_to(at_ms)?;
            match act {
                Act::Arrive(host) => self.arrive(host),
                Act::Leave(host) => self.leave(host),
                Act::Begin(fault) => self.begin(fault),
                Act::End(fault) => self.end(fault),
                Act::Again(host) => self.start(host),
                Act::Look => {
                    self.look()?;
                    if at_ms >= self.healed_ms && self.all_complete() {
                        break;
                    }
                    self.plan_for(at_ms + LOOK_EVERY_MS, Act::Look);
                }
            }
        }
        self.compare()?;
        self.remove_all()
    }

    /// Lets the world run to a moment, the observer looking on.
    fn advance_to(&mut self, at_ms: u64) -> Result<(), Stop> {
        let end = Time::from_millis(at_ms);
        while self.world.step(end) {
            self.observer.set_now(self.world.now().as_nanos());
            for seen in self.world.take_seen() {
                self.observer.see(seen);
            }
            if self.observer.violation().is_some() {
                return Err(Stop::Violation);
            }
            if self.world.events() >= self.next_cost {
                self.next_cost = self.world.events() + COST_EVERY;
                self.within_limits()?;
            }
        }
        self.observer.set_now(self.world.now().as_nanos());
        Ok(())
    }

    fn within_limits(&self) -> Result<(), Stop> {
        let (cpu, limit) = (cost::cpu_s(), self.limits.cpu.as_secs_f64());
        if cpu > limit {
            return Err(Stop::Limit(format!("{cpu:.1} CPU-seconds were used, {limit:.1} may be")));
        }
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let limit = self.limits.rss_bytes as f64 / (1024.0 * 1024.0);
        let (rss, _) = cost::rss_mib();
        if rss > limit {
            return Err(Stop::Limit(format!("{rss:.0} MiB of memory are used, {limit:.0} may be")));
        }
        Ok(())
    }

    /// Gives a host's engine a command; what it answers is seen by what it does.
    fn tell(&mut self, host: usize, command: Command) {
        let Some(peer) = self.peers.get(host).filter(|peer| peer.runs) else { return };
        peer.machine.send(Box::new(move |swarm| {
            Box::pin(async move {
                // One that is refused is seen by what does not happen.
                let _ = swarm.command(command).await;
            })
        }));
        self.world.poke(HostId(host));
    }

    fn ask(&mut self, host: usize) -> Option<Shared<Option<Result<TorrentDetail, EngineError>>>> {
        let id = self.content.id;
        let peer = self.peers.get(host).filter(|peer| peer.runs)?;
        let answer = peer.machine.ask(move |swarm| async move { swarm.torrent(id).await });
        self.world.poke(HostId(host));
        Some(answer)
    }

    /// Looks at all hosts: what they told, whether they are done, and what must hold over time.
    fn look(&mut self) -> Result<(), Stop> {
        let now_ms = self.now_ms();
        for index in 0..self.peers.len() {
            self.listen(index);
            self.inspect(index);
            self.care_for(index, now_ms);
        }
        self.observer.look();
        self.record(now_ms);
        if now_ms > self.deadline_ms {
            self.miss_deadline();
        }
        if self.observer.violation().is_some() { Err(Stop::Violation) } else { Ok(()) }
    }

    /// A user whose torrent is in error mends what is wrong and starts it again.
    fn care_for(&mut self, index: usize, now_ms: u64) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        let is_in_error = peer.state == Some(TorrentState::Error) && peer.ill == 0;
        if !is_in_error || now_ms < peer.cared_ms + USER_MS {
            return;
        }
        peer.cared_ms = now_ms;
        self.tell(index, Command::Start(self.content.id));
    }

    fn miss_deadline(&mut self) {
        let (content, plan) = (Arc::clone(&self.content), self.plan);
        let waiting = (0..self.peers.len()).find(|&index| self.is_waited_for(index));
        let Some(index) = waiting else { return };
        let disk = self.world.disk(HostId(index));
        let there = content.pieces().filter(|&piece| has_piece(disk, &content, piece)).count();
        let state = self.peers.get(index).and_then(|peer| peer.state);
        let within = plan.expect.complete_within_ms / 1000;
        let message = format!(
            "has {there} of {} pieces {within} s after the last fault and arrival, in state {state:?}",
            content.piece_count
        );
        self.observer.fail("I4", Some(index), message);
    }

    /// Whether a host is to complete, and has not.
    fn is_waited_for(&self, index: usize) -> bool {
        let (Some(of), Some(peer)) = (self.plan.hosts.get(index), self.peers.get(index)) else {
            return false;
        };
        let excused = self.plan.expect.not_complete.iter().any(|name| of.name.starts_with(name));
        of.role == Role::Engine && !excused && !peer.leaving && !peer.whole
    }

    fn all_complete(&self) -> bool {
        (0..self.peers.len()).all(|index| !self.is_waited_for(index))
    }

    fn record(&mut self, now_ms: u64) {
        if !self.recorder.wants() {
            return;
        }
        let runs = |index: usize| self.peers.get(index).is_some_and(|peer| peer.runs);
        let engines = self
            .plan
            .hosts
            .iter()
            .enumerate()
            .filter(|(index, of)| of.role == Role::Engine && runs(*index));
        let uplinks = engines.map(|(_, of)| of.up).sum();
        let wanting = |index: &usize| {
            let of = self.plan.hosts.get(*index);
            of.is_some_and(|of| of.role == Role::Engine && of.has < 1.0) && runs(*index)
        };
        let wanting: Vec<_> = (0..self.peers.len()).filter(wanting).collect();
        let complete =
            wanting.iter().filter(|&&index| self.peers.get(index).is_some_and(|p| p.whole));
        let (mut sent, mut arrived) = (0, 0);
        for index in 0..self.peers.len() {
            let (out, into) = self.observer.payload(index);
            (sent, arrived) = (sent + out, arrived + into);
        }
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let moment = Moment {
            at_ms: now_ms,
            present: count(wanting.len()),
            complete: count(complete.count()),
            arrived,
            sent,
            uplinks,
            copies: self.observer.copies(|index| {
                runs(index) && self.plan.hosts.get(index).is_some_and(|of| of.role == Role::Engine)
            }),
        };
        self.recorder.add(moment);
    }

    fn finish(self, end: Result<(), Stop>) -> Outcome {
        let name = |host: usize| self.plan.hosts.get(host).map(|of| of.name.clone());
        let verdict = match (end, self.observer.violation()) {
            (Err(Stop::Limit(message)), _) => Verdict::Stopped { message },
            (_, None) => Verdict::Passed,
            (_, Some(violation)) => Verdict::Failed {
                invariant: violation.invariant.to_owned(),
                at_ms: violation.at_ns / 1_000_000,
                host: violation.host.and_then(name),
                message: violation.message.clone(),
            },
        };
        let hosts =
            self.plan.hosts.iter().zip(&self.peers).enumerate().map(|(index, (of, peer))| {
                let (sent_bytes, received_bytes) = self.observer.payload(index);
                HostOutcome {
                    name: of.name.clone(),
                    class: of
                        .name
                        .trim_end_matches(|c: char| c.is_ascii_digit() || c == '-')
                        .to_owned(),
                    arrived_ms: of.arrives_ms,
                    completed_ms: peer.completed_ms.filter(|_| of.has < 1.0),
                    sent_bytes,
                    received_bytes,
                    lives: peer.lives,
                }
            });
        let hosts: Vec<_> = hosts.collect();
        let mut sometimes: BTreeMap<String, u64> =
            crate::scenario::SOMETIMES.iter().map(|&name| (name.to_owned(), 0)).collect();
        for (&name, &count) in &self.observer.sometimes {
            sometimes.insert(name.to_owned(), count);
        }
        let hash = self.world.trace_hash().iter().map(|byte| format!("{byte:02x}")).collect();
        let cost = Cost {
            simulated_s: self.world.now().since_start().as_secs_f64(),
            cpu_s: cost::cpu_s(),
            rss_mib: cost::rss_mib().1,
            events: self.world.events(),
            wire_messages: self.observer.messages,
            payload_bytes: hosts.iter().map(|host| host.received_bytes).sum(),
        };
        Outcome {
            scenario: self.plan.scenario.clone(),
            seed: self.plan.seed,
            verdict,
            hash,
            cost,
            hosts,
            sometimes,
            series: self.recorder.finish(),
            faults: self.plan.faults.clone(),
        }
    }
}
