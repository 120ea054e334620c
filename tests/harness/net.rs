//! A network of hosts for one test: Linux network namespaces joined by a bridge.
//!
//! A namespace belongs to the thread that makes it, so the test's thread moves into a fresh one (the
//! hub) and makes one more for each host. They have no device but the bridge between them: nothing
//! sent in a test can leave the machine, and all of it ends with the last process and thread that
//! hold it, so there is nothing to clean up. Each host has an address of its own in 10.77.0.0/24;
//! Transmission refuses to dial 127/8, and others allow one connection per address.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns, unshare};

use crate::Deadline;

/// The namespace of the calling thread.
const CURRENT: &str = "/proc/thread-self/ns/net";

/// The hub of a test's network. The thread that made it stays in it.
#[derive(Debug)]
pub struct Network {
    hub: Arc<File>,
    hosts: Cell<u8>,
}

impl Network {
    /// Moves the calling thread into a new network with no hosts.
    ///
    /// # Errors
    ///
    /// The caller may not make namespaces: it is not root.
    pub fn new() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).context("only root can make a network namespace")?;
        ip("link set lo up\nlink add hub type bridge\nlink set hub up\n")?;
        Ok(Self { hub: Arc::new(File::open(CURRENT)?), hosts: Cell::new(0) })
    }

    /// Adds a host with the next free address, joined to all the others.
    ///
    /// # Errors
    ///
    /// The kernel refused a device, or there are 250 hosts already.
    pub fn host(&self) -> Result<Host> {
        let number = self.hosts.get() + 1;
        ensure!(number <= 250, "a test network has at most 250 hosts");
        self.hosts.set(number);
        let address = Ipv4Addr::new(10, 77, 0, number);
        let hub = self.hub.as_raw_fd();
        let hub = format!("/proc/{}/fd/{hub}", std::process::id());
        unshare(CloneFlags::CLONE_NEWNET)?;
        let namespace = Arc::new(File::open(CURRENT)?);
        let made = ip(&format!(
            "link set lo up\n\
             link add eth0 type veth peer name port{number} netns {hub}\n\
             addr add {address}/24 dev eth0\n\
             link set eth0 up\n"
        ));
        setns(&*self.hub, CloneFlags::CLONE_NEWNET)?;
        made?;
        ip(&format!("link set port{number} master hub\nlink set port{number} up\n"))?;
        Ok(Host { namespace, address })
    }
}

/// One host of a test's network.
#[derive(Debug, Clone)]
pub struct Host {
    namespace: Arc<File>,
    address: Ipv4Addr,
}

impl Host {
    /// The host's only address beside loopback.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// This host's address with a port.
    pub fn at(&self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, port)
    }

    /// Does something as this host: sockets opened and programs started by `act` are on it.
    pub fn enter<T>(&self, act: impl FnOnce() -> T) -> T {
        let _back = Back::remember();
        setns(&*self.namespace, CloneFlags::CLONE_NEWNET)
            .expect("a namespace we made can be entered");
        act()
    }

    /// Waits until a program on this host accepts TCP connections on `port`.
    ///
    /// # Errors
    ///
    /// The deadline passed first.
    pub fn wait_listening(&self, port: u16, deadline: &Deadline) -> Result<()> {
        let event = format!("a listener on {}", self.at(port));
        deadline.wait_for(&event, || Ok(self.listens(port).then_some(())))
    }

    /// Bytes that this host has sent to the others, with all headers.
    ///
    /// # Errors
    ///
    /// The kernel does not know the host's device.
    pub fn sent_bytes(&self) -> Result<u64> {
        let table = self.enter(|| fs::read_to_string("/proc/thread-self/net/dev"))?;
        let line = table.lines().find_map(|line| line.trim_start().strip_prefix("eth0:"));
        // Eight columns of what was received come first.
        let sent = line.and_then(|columns| columns.split_whitespace().nth(8));
        sent.context("no eth0")?.parse().context("bytes sent")
    }

    /// Whether a program on this host accepts TCP connections on `port`.
    pub fn listens(&self, port: u16) -> bool {
        // Columns: slot, local address:port in hexadecimal, remote, state (0A is LISTEN).
        let suffix = format!(":{port:04X}");
        let listening = |table: String| {
            table.lines().skip(1).any(|line| {
                let mut columns = line.split_whitespace().skip(1);
                let local = columns.next().unwrap_or_default();
                local.ends_with(&suffix) && columns.nth(1) == Some("0A")
            })
        };
        self.enter(|| {
            ["tcp", "tcp6"].iter().any(|family| {
                fs::read_to_string(format!("/proc/thread-self/net/{family}")).is_ok_and(listening)
            })
        })
    }
}

/// Returns the thread to the namespace it was in, also when a test fails inside another.
struct Back(File);

impl Back {
    fn remember() -> Self {
        Self(File::open(CURRENT).expect("a thread has a namespace"))
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        setns(&self.0, CloneFlags::CLONE_NEWNET).expect("a namespace we came from can be entered");
    }
}

/// Runs lines of `ip` in the thread's current namespace.
fn ip(lines: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("`ip` of iproute2 is missing: run `make setup`")?;
    child.stdin.take().context("no standard input")?.write_all(lines.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "ip: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
