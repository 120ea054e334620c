//! Drives libtorrent 2 through its Python binding, by `libtorrent_peer.py`.

use anyhow::Result;

use crate::client::{Client, Encryption, Job, PORT, Peer, Role, look_for_line};
use crate::{Process, scene};

/// libtorrent 2, the engine of qBittorrent and Deluge.
#[derive(Debug)]
pub struct Libtorrent;

impl Client for Libtorrent {
    fn name(&self) -> &'static str {
        "libtorrent"
    }

    fn start(&self, role: Role, job: &Job) -> Result<Peer> {
        let script = scene::root().join("tests/harness/libtorrent_peer.py");
        let mut arguments = vec![
            script.to_string_lossy().into_owned(),
            format!("--listen={}", job.host.at(PORT)),
            format!("--dir={}", job.dir.display()),
            format!("--encryption={}", job.encryption),
            format!("--upload-limit={}", job.upload_limit.unwrap_or(0)),
        ];
        if role == Role::Seed {
            arguments.push("--seed".to_owned());
        }
        arguments.extend(job.peers.iter().map(|peer| format!("--peer={peer}")));
        arguments.push(job.source.argument());
        let python = scene::cache().join("venv/bin/python");
        let name = format!("{}-libtorrent", job.label);
        let process = Process::start(&job.host, &job.logs, &name, &python, arguments)?;
        Ok(Peer::new(job, process, look_for_line()))
    }

    fn dials(&self) -> bool {
        true
    }

    fn can(&self, _role: Role, _dialling: bool, _encryption: Encryption) -> bool {
        true
    }
}
