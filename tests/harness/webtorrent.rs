//! Drives webtorrent 1.9 under Node, by `webtorrent_peer/peer.js`.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::client::{Client, Encryption, Job, PORT, Peer, Role, look_for_line};
use crate::{Process, scene};

/// webtorrent over TCP, without its WebRTC part.
#[derive(Debug)]
pub struct Webtorrent;

impl Client for Webtorrent {
    fn name(&self) -> &'static str {
        "webtorrent"
    }

    fn start(&self, _role: Role, job: &Job) -> Result<Peer> {
        ensure!(job.encryption == Encryption::Plain, "webtorrent is tested in plain only");
        let script = scene::root().join("tests/harness/webtorrent_peer/peer.js");
        let mut arguments = vec![
            script.to_string_lossy().into_owned(),
            scene::cache().join("node/node_modules").to_string_lossy().into_owned(),
            job.source.argument(),
            job.dir.to_string_lossy().into_owned(),
            PORT.to_string(),
            job.upload_limit.map_or(-1, |limit| limit as i64).to_string(),
        ];
        arguments.extend(job.peers.iter().map(ToString::to_string));
        let name = format!("{}-webtorrent", job.label);
        let process = Process::start(&job.host, &job.logs, &name, &node(), arguments)?;
        Ok(Peer::new(job, process, look_for_line()))
    }

    fn dials(&self) -> bool {
        true
    }

    fn can(&self, _role: Role, _dialling: bool, encryption: Encryption) -> bool {
        encryption == Encryption::Plain
    }
}

fn node() -> PathBuf {
    PathBuf::from("node")
}
