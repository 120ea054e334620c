//! A network in front of the simulated one: names with any addresses, and public addresses for hosts.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use bittorrent::Time;
use env::disk::{Disk, DiskJob, DiskLane};
use env::net::{Datagrams, Listener, Net, NetFuture, Stream};
use env::sim::{HostId, World};
use env::{Clock, Compute, NodeEnv, Parts, Sleep};

/// What resolves to what, and which public address is whose.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    names: BTreeMap<String, Vec<IpAddr>>,
    routes: BTreeMap<IpAddr, IpAddr>,
    /// Names that were looked up, in turn.
    pub(super) lookups: Arc<Mutex<Vec<String>>>,
}

impl Names {
    /// Lets `name` have these addresses.
    pub(super) fn name(&mut self, name: &str, ips: &[&str]) {
        let ips = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        self.names.insert(name.to_owned(), ips);
    }

    /// Lets `public` lead to `host`.
    pub(super) fn route(&mut self, public: &str, host: HostId) {
        self.routes.insert(public.parse().unwrap(), World::ip_of(host));
    }

    /// The world of `inner` with these names.
    pub(super) fn wrap(self, inner: NodeEnv) -> NodeEnv {
        let net = NamedNet { inner: Arc::clone(inner.net()), names: self };
        let rest = Arc::new(Rest(inner));
        NodeEnv::new(Parts {
            clock: Arc::<Rest>::clone(&rest),
            net: Arc::new(net),
            disk: Arc::<Rest>::clone(&rest),
            compute: rest,
            seed: 1,
            seeded_secrets: true,
        })
    }
}

#[derive(Debug)]
struct NamedNet {
    inner: Arc<dyn Net>,
    names: Names,
}

impl Net for NamedNet {
    fn connect(&self, to: SocketAddr, from: Option<IpAddr>) -> NetFuture<'_, Stream> {
        let ip = self.names.routes.get(&to.ip()).copied().unwrap_or(to.ip());
        self.inner.connect(SocketAddr::new(ip, to.port()), from)
    }

    fn listen(&self, at: SocketAddr) -> NetFuture<'_, Arc<dyn Listener>> {
        self.inner.listen(at)
    }

    fn datagrams(&self, at: SocketAddr) -> NetFuture<'_, Arc<dyn Datagrams>> {
        self.inner.datagrams(at)
    }

    fn resolve(&self, host: &str, port: u16) -> NetFuture<'_, Vec<SocketAddr>> {
        self.names.lookups.lock().unwrap().push(host.to_owned());
        let Some(ips) = self.names.names.get(host) else { return self.inner.resolve(host, port) };
        let found = ips.iter().map(|&ip| SocketAddr::new(ip, port)).collect();
        Box::pin(async move { Ok(found) })
    }
}

/// What is not the network: the clock of the world, computing at once, no disk.
#[derive(Debug)]
struct Rest(NodeEnv);

impl Clock for Rest {
    fn now(&self) -> Time {
        self.0.now()
    }

    fn unix_ms(&self) -> u64 {
        self.0.unix_ms()
    }

    fn sleep_until(&self, deadline: Time) -> Sleep {
        self.0.sleep_until(deadline)
    }
}

impl Compute for Rest {
    fn parallelism(&self) -> usize {
        1
    }

    fn submit(&self, job: Box<dyn FnOnce() + Send>) {
        job();
    }
}

impl Disk for Rest {
    fn submit(&self, _: DiskLane, _: DiskJob) {}
}
