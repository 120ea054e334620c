//! A real tracker: Debian's opentracker, by HTTP and UDP.

use std::fs;
use std::net::SocketAddrV4;
use std::path::Path;

use anyhow::{Context, Result};

use crate::metainfo::escape;
use crate::{Deadline, Host, Process, Scene, http};

/// The port of every tracker, each being on a host of its own.
const PORT: u16 = 6969;

/// A running tracker on a host of its own.
#[derive(Debug)]
pub struct Tracker {
    host: Host,
    _process: Process,
}

impl Tracker {
    /// Starts a tracker that serves the torrents of these info-hashes.
    ///
    /// # Errors
    ///
    /// It does not listen within some seconds.
    pub fn start(scene: &Scene, info_hashes: &[String]) -> Result<Self> {
        let host = scene.host()?;
        let dir = scene.dir("tracker")?;
        // Debian builds it to serve listed torrents only. It changes its root to `dir`.
        fs::write(dir.join("whitelist"), info_hashes.join("\n") + "\n")?;
        let address = host.address().to_string();
        let port = PORT.to_string();
        let dir = dir.to_string_lossy();
        let arguments = [
            "-i",
            &address,
            "-p",
            &port,
            "-P",
            &port,
            "-d",
            &dir,
            "-w",
            "whitelist",
            "-u",
            "nobody",
        ];
        let program = Path::new("/usr/bin/opentracker");
        let process = Process::start(&host, &scene.logs(), "opentracker", program, arguments)?;
        host.wait_listening(PORT, &Deadline::seconds(10))?;
        Ok(Self { host, _process: process })
    }

    /// Where it listens, for both HTTP and UDP.
    pub fn address(&self) -> SocketAddrV4 {
        self.host.at(PORT)
    }

    /// The HTTP announce URL.
    pub fn http_url(&self) -> String {
        format!("http://{}/announce", self.address())
    }

    /// The UDP announce URL.
    pub fn udp_url(&self) -> String {
        format!("udp://{}/announce", self.address())
    }

    /// Waits until this many peers of a torrent have announced that they are complete.
    ///
    /// # Errors
    ///
    /// The deadline passed first.
    pub fn wait_seeds(&self, info_hash: &[u8; 20], seeds: u64, deadline: &Deadline) -> Result<()> {
        deadline.wait_for("the seed at the tracker", || {
            Ok((self.count(info_hash, "complete")? >= seeds).then_some(()))
        })
    }

    /// Waits until this many peers of a torrent have announced that they are not complete.
    ///
    /// # Errors
    ///
    /// The deadline passed first.
    pub fn wait_leeches(
        &self,
        info_hash: &[u8; 20],
        leeches: u64,
        deadline: &Deadline,
    ) -> Result<()> {
        deadline.wait_for("the leech at the tracker", || {
            Ok((self.count(info_hash, "incomplete")? >= leeches).then_some(()))
        })
    }

    /// Waits until no peer of a torrent is left.
    ///
    /// # Errors
    ///
    /// The deadline passed first.
    pub fn wait_no_peers(&self, info_hash: &[u8; 20], deadline: &Deadline) -> Result<()> {
        deadline.wait_for("a tracker without peers", || {
            let left = self.count(info_hash, "complete")? + self.count(info_hash, "incomplete")?;
            Ok((left == 0).then_some(()))
        })
    }

    /// A number of the tracker's scrape answer.
    fn count(&self, info_hash: &[u8; 20], key: &str) -> Result<u64> {
        let path = format!("/scrape?info_hash={}", escape(info_hash));
        let answer = http::request(&self.host, self.address(), "GET", &path, &[], b"")?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let needle = format!("{}:{key}i", key.len());
        let Some(at) = text.find(&needle) else { return Ok(0) };
        let digits: String =
            text[at + needle.len()..].chars().take_while(char::is_ascii_digit).collect();
        digits.parse().context("a count in the scrape answer")
    }
}
