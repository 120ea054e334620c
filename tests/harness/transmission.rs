//! Drives transmission-daemon 3.00 through its RPC. It takes peers from a tracker, and accepts them,
//! but cannot be told one.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::client::{Client, Encryption, Job, PORT, Peer, Progress, Role, Source, refuse_peers};
use crate::{Deadline, Host, Process, http};

/// The RPC port, on the loopback of the daemon's host.
const RPC_PORT: u16 = 9_091;

/// transmission-daemon.
#[derive(Debug)]
pub struct Transmission;

impl Client for Transmission {
    fn name(&self) -> &'static str {
        "transmission"
    }

    fn start(&self, role: Role, job: &Job) -> Result<Peer> {
        refuse_peers(self, job)?;
        let config = job.logs.join(format!("{}-transmission.d", job.label));
        fs::create_dir_all(&config)?;
        fs::write(config.join("settings.json"), settings(job).to_string())?;
        let config = config.to_string_lossy();
        let program = Path::new("/usr/bin/transmission-daemon");
        let name = format!("{}-transmission", job.label);
        let arguments = ["--foreground", "--log-debug", "--config-dir", &config];
        let process = Process::start(&job.host, &job.logs, &name, program, arguments)?;
        let deadline = Deadline::seconds(10);
        job.host.wait_listening(RPC_PORT, &deadline)?;
        job.host.wait_listening(PORT, &deadline)?;
        let mut rpc = Rpc { host: job.host.clone(), session: String::new() };
        let mut adding = json!({ "download-dir": job.dir, "paused": false });
        adding["filename"] = json!(match &job.source {
            Source::File(path) => path.to_string_lossy().into_owned(),
            Source::Magnet(link) => link.clone(),
        });
        rpc.call("torrent-add", adding)?;
        let look = move |process: &mut Process| {
            process.ensure_running()?;
            rpc.progress(role)
        };
        Ok(Peer::new(job, process, Box::new(look)))
    }

    fn dials(&self) -> bool {
        false
    }

    fn creates_empty_files(&self) -> bool {
        false
    }

    fn can(&self, _role: Role, dialling: bool, encryption: Encryption) -> bool {
        // It offers plaintext after MSE to nobody, but selects it when a peer that dials offers it.
        // Then it expects no bytes in the initial payload of the MSE handshake, and reads any that
        // are there undecrypted; libtorrent puts its handshake there.
        !(dialling && encryption == Encryption::MsePlaintext)
    }
}

fn settings(job: &Job) -> Value {
    // 0 takes what it is offered and prefers plaintext; 2 requires RC4.
    let encryption = if job.encryption == Encryption::MseRc4 { 2 } else { 0 };
    let limit = job.upload_limit.unwrap_or(0) / 1_000;
    json!({
        "bind-address-ipv4": job.host.address().to_string(),
        "bind-address-ipv6": "::1",
        "dht-enabled": false,
        "encryption": encryption,
        "lpd-enabled": false,
        "peer-port": PORT,
        "peer-port-random-on-start": false,
        "pex-enabled": false,
        "port-forwarding-enabled": false,
        "rename-partial-files": false,
        "rpc-authentication-required": false,
        "rpc-bind-address": "127.0.0.1",
        "rpc-port": RPC_PORT,
        "speed-limit-up": limit,
        "speed-limit-up-enabled": job.upload_limit.is_some(),
        "utp-enabled": false,
    })
}

/// A session with the daemon's RPC.
struct Rpc {
    host: Host,
    session: String,
}

impl Rpc {
    /// Calls a method and returns its arguments.
    fn call(&mut self, method: &str, arguments: Value) -> Result<Value> {
        let body = json!({ "method": method, "arguments": arguments }).to_string();
        let mut answer = self.post(&body)?;
        // It hands out a session id with a refusal, once.
        if answer.status == 409 {
            let id = answer.header("x-transmission-session-id").context("no session id")?;
            self.session = id.to_owned();
            answer = self.post(&body)?;
        }
        let reply = answer.json()?;
        ensure!(reply["result"] == "success", "{method}: {}", reply["result"]);
        Ok(reply["arguments"].clone())
    }

    fn post(&self, body: &str) -> Result<http::Answer> {
        let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, RPC_PORT);
        let headers = [("X-Transmission-Session-Id", self.session.as_str())];
        http::request(&self.host, to, "POST", "/transmission/rpc", &headers, body.as_bytes())
    }

    fn progress(&mut self, role: Role) -> Result<Progress> {
        const SEEDING: u64 = 6;
        let fields = ["errorString", "leftUntilDone", "metadataPercentComplete", "status"];
        let reply = self.call("torrent-get", json!({ "fields": fields }))?;
        let torrent = &reply["torrents"][0];
        // An error of the tracker or disk is only told here.
        let error = torrent["errorString"].as_str().unwrap_or_default();
        ensure!(error.is_empty(), "transmission: {error}");
        let whole = torrent["metadataPercentComplete"].as_f64() == Some(1.0)
            && torrent["leftUntilDone"].as_u64() == Some(0);
        let seeding = torrent["status"].as_u64() == Some(SEEDING);
        Ok(match role {
            Role::Seed | Role::Download if whole && seeding => Progress::Complete,
            Role::Seed | Role::Download => Progress::Working,
        })
    }
}
