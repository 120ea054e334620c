//! Paths between hosts: cuts, unplugged hosts, deaths, and what goes on when they heal.
//!
//! Nothing waits in a list for a path: each stream knows what it holds back, and is looked at again when
//! something near it has changed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::stream::{Parcel, StreamKey};
use super::{DatagramConfig, LinkConfig, NetEvent};
use crate::sim::queue::Event;
use crate::sim::state::{Life, State};

/// Which hosts cannot reach which.
#[derive(Default)]
pub(super) struct Paths {
    /// From whom to whom nothing goes.
    cuts: BTreeSet<(usize, usize)>,
    unplugged: BTreeSet<usize>,
}

impl Paths {
    /// Whether nothing goes from one host to another. A host always reaches itself.
    pub(super) fn blocked(&self, from: usize, to: usize) -> bool {
        from != to
            && (self.cuts.contains(&(from, to))
                || self.unplugged.contains(&from)
                || self.unplugged.contains(&to))
    }
}

impl State {
    /// Cuts or heals the way from one host to another.
    pub(in crate::sim) fn set_cut(&mut self, from: usize, to: usize, cut: bool) {
        self.trace(format_args!("path {from}>{to} cut: {cut}"));
        if cut {
            self.net.paths.cuts.insert((from, to));
        } else if self.net.paths.cuts.remove(&(from, to)) {
            self.revive_between(from, to);
            self.retry_attempts();
        }
    }

    /// Unplugs a host or plugs it in again.
    pub(in crate::sim) fn unplug(&mut self, host: usize, unplugged: bool) {
        self.trace(format_args!("host {host} unplugged: {unplugged}"));
        if unplugged {
            self.net.paths.unplugged.insert(host);
        } else if self.net.paths.unplugged.remove(&host) {
            self.streams_of(host).into_iter().for_each(|key| self.revive(key));
            self.retry_attempts();
        }
    }

    /// Gives a host another link.
    pub(in crate::sim) fn set_link(&mut self, host: usize, link: LinkConfig) {
        self.trace(format_args!("host {host} link: {link:?}"));
        let now = self.now;
        if let Some(one) = self.net.hosts.get_mut(host) {
            one.set_link(now, link);
        }
        self.pump(host);
        self.retry_attempts();
    }

    /// Says what happens to datagrams from now on.
    pub(in crate::sim) fn set_datagrams(&mut self, config: DatagramConfig) {
        self.trace(format_args!("datagrams: {config:?}"));
        self.net.datagrams = config;
    }

    /// Resets all streams between two hosts, whatever their path is like.
    pub(in crate::sim) fn reset(&mut self, a: usize, b: usize) {
        self.trace(format_args!("path {a}-{b} resets"));
        for key in self.streams_between(a, b) {
            self.tell_reset(key, 0);
            self.tell_reset(key, 1);
        }
    }

    /// A host has (again) a process.
    pub(in crate::sim) fn host_started(&mut self, life: Life) {
        if let Some(host) = self.net.hosts.get_mut(life.host) {
            host.life = Some(life);
            host.dark = false;
        }
        // What peers sent while it was without power they send again, and are told that nobody knows them.
        for key in self.streams_of(life.host) {
            for side in [0, 1] {
                let Some(pair) = self.net.streams.get_mut(key) else { break };
                let (mine, theirs) = pair.ends(side);
                if mine.life.host == life.host
                    && mine.is_dead()
                    && std::mem::take(&mut theirs.out.lost)
                {
                    self.tell_reset(key, 1 - side);
                }
            }
        }
        self.retry_attempts();
    }

    /// The process of a host is gone; its peers learn of it if the system still `tells`.
    pub(in crate::sim) fn host_killed(&mut self, life: Life, tells: bool) {
        if let Some(host) = self.net.hosts.get_mut(life.host) {
            host.life = None;
            host.dark = !tells;
        }
        self.close_listeners(life.host, tells);
        self.close_sockets(life.host);
        for key in self.streams_of(life.host) {
            for side in [0, 1] {
                let Some(pair) = self.net.streams.get_mut(key) else { break };
                let (mine, _) = pair.ends(side);
                if mine.life != life {
                    continue;
                }
                if !tells {
                    mine.out.cut_unsent();
                }
                self.end_abruptly(key, side, tells);
            }
        }
    }

    fn streams_of(&self, host: usize) -> Vec<StreamKey> {
        self.net
            .hosts
            .get(host)
            .map(|one| one.streams.iter().copied().collect())
            .unwrap_or_default()
    }

    fn streams_between(&mut self, a: usize, b: usize) -> Vec<StreamKey> {
        let mut keys = self.streams_of(a);
        keys.retain(|&key| {
            let hosts = self.net.streams.get_mut(key).map(|pair| pair.hosts());
            hosts == Some([a, b]) || hosts == Some([b, a])
        });
        keys
    }

    fn revive_between(&mut self, a: usize, b: usize) {
        self.streams_between(a, b).into_iter().for_each(|key| self.revive(key));
    }

    /// Lets a stream go on where its path is open again.
    fn revive(&mut self, key: StreamKey) {
        for side in [0, 1] {
            let net = &mut self.net;
            let Some(pair) = net.streams.get_mut(key) else { return };
            let (mine, theirs) = pair.ends(side);
            let (from, to) = (mine.life.host, theirs.life);
            if net.paths.blocked(from, to.host) {
                continue;
            }
            let length = mine.out.take_held();
            let other = 1 - side;
            let room = theirs.writer.is_some() && theirs.out.has_room();
            // The news that this end died did not get through.
            let died = mine.is_dead() && !mine.silent && theirs.open && !theirs.reset;
            let at = self.now + net.latency(from, to.host);
            if length > 0 {
                let (took, fin, admitted) = (Duration::ZERO, false, false);
                let parcel = Parcel { key, side: other, length, took, fin, admitted };
                self.schedule(at, to, Event::Net(NetEvent::Parcel(parcel)));
            }
            if room {
                self.schedule(at, to, Event::Net(NetEvent::Room { key, side: other }));
            }
            if died {
                self.tell_reset(key, other);
            }
            self.offer(key, side);
        }
    }
}
