//! Drives aria2 1.36 by its command line. It takes peers from a tracker only.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::Process;
use crate::client::{Client, Encryption, Job, PORT, Peer, Progress, Role, refuse_peers};

/// aria2, the command-line download tool.
#[derive(Debug)]
pub struct Aria2;

impl Client for Aria2 {
    fn name(&self) -> &'static str {
        "aria2"
    }

    fn start(&self, role: Role, job: &Job) -> Result<Peer> {
        refuse_peers(self, job)?;
        let mut arguments = vec![
            "--no-conf=true".to_owned(),
            format!("--dir={}", job.dir.display()),
            format!("--listen-port={PORT}"),
            // Its UDP tracker client exists only beside its DHT, which finds nobody here.
            "--enable-dht=true".to_owned(),
            format!("--dht-listen-port={PORT}"),
            format!(
                "--dht-file-path={}",
                job.logs.join(&job.label).with_extension("dht").display()
            ),
            "--enable-dht6=false".to_owned(),
            "--disable-ipv6=true".to_owned(),
            "--bt-enable-lpd=false".to_owned(),
            "--enable-color=false".to_owned(),
            "--console-log-level=info".to_owned(),
            "--summary-interval=0".to_owned(),
            "--file-allocation=none".to_owned(),
            "--allow-overwrite=true".to_owned(),
            "--bt-save-metadata=false".to_owned(),
            format!("--max-overall-upload-limit={}", job.upload_limit.unwrap_or(0)),
        ];
        arguments.extend(encryption(job.encryption).map(str::to_owned));
        arguments.extend(
            match role {
                Role::Seed => ["--check-integrity=true", "--seed-ratio=0.0"],
                Role::Download => ["--seed-time=0", "--bt-stop-timeout=0"],
            }
            .map(str::to_owned),
        );
        arguments.push(job.source.argument());
        let program = Path::new("/usr/bin/aria2c");
        let name = format!("{}-aria2", job.label);
        let process = Process::start(&job.host, &job.logs, &name, program, arguments)?;
        let host = job.host.clone();
        let look = move |process: &mut Process| match role {
            // It listens only after it has checked the files.
            Role::Seed => {
                process.ensure_running()?;
                Ok(if host.listens(PORT) { Progress::Complete } else { Progress::Working })
            }
            Role::Download => match process.try_exit()? {
                None => Ok(Progress::Working),
                Some(status) => {
                    ensure!(status.success(), "aria2 ended with {status}");
                    Ok(Progress::Complete)
                }
            },
        };
        Ok(Peer::new(job, process, Box::new(look)))
    }

    fn dials(&self) -> bool {
        false
    }

    fn can(&self, _role: Role, dialling: bool, encryption: Encryption) -> bool {
        // When it dials it offers RC4 as well, and the peer decides.
        !(dialling && encryption == Encryption::MsePlaintext)
    }
}

/// The options that leave nothing but `encryption`. A plain aria2 tries MSE first when it dials, and
/// falls back when that is refused.
fn encryption(encryption: Encryption) -> [&'static str; 2] {
    match encryption {
        Encryption::Plain => ["--bt-require-crypto=false", "--bt-min-crypto-level=plain"],
        Encryption::MsePlaintext => ["--bt-require-crypto=true", "--bt-min-crypto-level=plain"],
        Encryption::MseRc4 => ["--bt-require-crypto=true", "--bt-min-crypto-level=arc4"],
    }
}
