//! Drives `torrentedge serve` and its HTTP interface.

use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::client::PORT;
use crate::http::{self, Answer};
use crate::{Deadline, Host, Metainfo, Process, Scene, torrentedge};

/// The port of the HTTP interface.
const API_PORT: u16 = 8080;
/// Where all torrents are.
const TORRENTS: &str = "/api/v1/torrents";

/// A node that can be ended and started again with what it has kept.
#[derive(Debug)]
pub struct Node {
    /// Where it runs.
    pub host: Host,
    /// Where it downloads to.
    pub downloads: PathBuf,
    /// Its process; a new one after each start.
    pub process: Process,
    config: PathBuf,
    logs: PathBuf,
    starts: u32,
}

impl Node {
    /// Starts a node on a host of its own, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// It does not become ready.
    pub fn start(scene: &Scene) -> Result<Self> {
        let (host, dir) = (scene.host()?, scene.dir("node")?);
        let config = write_config(&host, &dir)?;
        let logs = scene.logs();
        let process = serve(&host, &logs, "node-1", &config)?;
        let downloads = dir.join("downloads");
        let mut node = Self { host, downloads, process, config, logs, starts: 1 };
        node.wait_ready()?;
        Ok(node)
    }

    /// Starts the program again, after it has ended.
    ///
    /// # Errors
    ///
    /// It does not become ready.
    pub fn start_again(&mut self) -> Result<()> {
        self.starts += 1;
        let name = format!("node-{}", self.starts);
        self.process = serve(&self.host, &self.logs, &name, &self.config)?;
        self.wait_ready()
    }

    /// Starts a second program at the same address, with data of its own.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start_rival(&self, scene: &Scene) -> Result<Process> {
        let config = write_config(&self.host, &scene.dir("rival")?)?;
        serve(&self.host, &self.logs, "rival", &config)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let deadline = Deadline::seconds(20);
        deadline.wait_for("a ready node", || {
            self.process.ensure_running()?;
            if !self.host.listens(API_PORT) {
                return Ok(None);
            }
            let answer = self.get("/readyz")?;
            Ok((answer.status == 200).then_some(()))
        })
    }

    /// Where the HTTP interface is.
    pub fn api(&self) -> SocketAddrV4 {
        self.host.at(API_PORT)
    }

    /// Asks for a resource.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub fn get(&self, path: &str) -> Result<Answer> {
        http::request(&self.host, self.api(), "GET", path, &[], b"")
    }

    /// Adds a torrent by its `.torrent` file.
    ///
    /// # Errors
    ///
    /// It is refused.
    pub fn upload(&self, metainfo: &Metainfo) -> Result<Value> {
        let headers = [("Content-Type", "application/x-bittorrent")];
        let body = metainfo.encode();
        let answer = http::request(&self.host, self.api(), "POST", TORRENTS, &headers, &body)?;
        created(&answer)
    }

    /// Adds a torrent by a magnet link, with peers to dial.
    ///
    /// # Errors
    ///
    /// It is refused.
    pub fn add_magnet(&self, link: &str, peers: &[SocketAddrV4]) -> Result<Value> {
        created(&self.post_json(TORRENTS, &json!({ "magnet": link, "peers": peers }))?)
    }

    /// Posts JSON.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub fn post_json(&self, path: &str, body: &Value) -> Result<Answer> {
        let headers = [("Content-Type", "application/json")];
        let body = body.to_string();
        http::request(&self.host, self.api(), "POST", path, &headers, body.as_bytes())
    }

    /// What the list of torrents shows.
    ///
    /// # Errors
    ///
    /// There is no list.
    pub fn list(&self) -> Result<Vec<Value>> {
        let page = self.get(TORRENTS)?.json()?;
        page["torrents"].as_array().cloned().with_context(|| format!("no list: {page}"))
    }

    /// What is told of one torrent.
    ///
    /// # Errors
    ///
    /// It is not there.
    pub fn torrent(&self, hash: &str) -> Result<Value> {
        let answer = self.get(&format!("{TORRENTS}/{hash}"))?;
        ensure!(answer.status == 200, "{hash}: status {}", answer.status);
        answer.json()
    }

    /// Waits until a torrent is complete.
    ///
    /// # Errors
    ///
    /// It is not within the deadline.
    pub fn wait_seeding(&self, hash: &str, deadline: &Deadline) -> Result<()> {
        deadline.wait_for("a complete torrent", || {
            Ok((self.torrent(hash)?["state"] == "seeding").then_some(()))
        })
    }

    /// A part of a file, verified by the node; `range` is the value of the header, as in `bytes=0-9`.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub fn content(&self, hash: &str, file: usize, range: Option<&str>) -> Result<Answer> {
        let path = format!("{TORRENTS}/{hash}/files/{file}/content");
        let headers: Vec<(&str, &str)> = range.map(|range| ("Range", range)).into_iter().collect();
        http::request(&self.host, self.api(), "GET", &path, &headers, b"")
    }

    /// Removes a torrent, and its files if so.
    ///
    /// # Errors
    ///
    /// It is not there.
    pub fn remove(&self, hash: &str, with_data: bool) -> Result<()> {
        let path = format!("{TORRENTS}/{hash}?data={with_data}");
        let answer = http::request(&self.host, self.api(), "DELETE", &path, &[], b"")?;
        ensure!(answer.status == 204, "removing {hash}: status {}", answer.status);
        Ok(())
    }
}

fn created(answer: &Answer) -> Result<Value> {
    let told = answer.json()?;
    ensure!(answer.status == 201, "adding: status {}: {told}", answer.status);
    Ok(told)
}

fn write_config(host: &Host, dir: &Path) -> Result<PathBuf> {
    let (data, address) = (dir.display(), host.address());
    let path = dir.join("config.toml");
    let text = format!(
        "node.data_dir = \"{data}\"\n\
         gateway.listen = \"{address}:{API_PORT}\"\n\
         [engine.network]\n\
         listen_ip = \"{address}\"\n\
         listen_port = {PORT}\n\
         encryption = \"plain\"\n\
         allow_private_peers = true\n"
    );
    fs::write(&path, text)?;
    Ok(path)
}

fn serve(host: &Host, logs: &Path, name: &str, config: &Path) -> Result<Process> {
    let arguments = ["serve".to_owned(), format!("--config={}", config.display())];
    Process::start(host, logs, name, &torrentedge::program()?, arguments)
}
