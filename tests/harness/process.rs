//! A program started by a test: its output kept for the report of a failure ([`crate::scene`]), its
//! end tied to the test's.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Deadline, Host};

/// A running program. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts `program` on `host`. Its output goes to `name.out` and `name.err` in `logs`.
    ///
    /// It runs below `setpriv --pdeathsig`, so that it cannot outlive the test's thread however that
    /// ends.
    ///
    /// # Errors
    ///
    /// The program cannot be started, for example because `make setup` has not installed it.
    pub fn start<A: AsRef<OsStr>>(
        host: &Host,
        logs: &Path,
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        let stdout = logs.join(format!("{name}.out"));
        let stderr = logs.join(format!("{name}.err"));
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        command.env("HOME", logs).current_dir(logs).process_group(0);
        command.stdin(Stdio::null()).stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        let child = host
            .enter(|| command.spawn())
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, stdout, stderr })
    }

    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the program has printed so far.
    pub fn stdout(&self) -> String {
        read_lossy(&self.stdout)
    }

    /// What the program has printed to standard error so far.
    pub fn stderr(&self) -> String {
        read_lossy(&self.stderr)
    }

    /// The exit status, if the program has ended.
    ///
    /// # Errors
    ///
    /// The kernel does not know the process.
    pub fn try_exit(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails if the program has ended, with what it said last.
    ///
    /// # Errors
    ///
    /// The program has ended.
    pub fn ensure_running(&mut self) -> Result<()> {
        match self.try_exit()? {
            None => Ok(()),
            Some(status) => bail!("{} ended early with {status}", self.name),
        }
    }

    /// Waits for the program's own end.
    ///
    /// # Errors
    ///
    /// The deadline passed first.
    pub fn wait_exit(&mut self, deadline: &Deadline) -> Result<ExitStatus> {
        let event = format!("the end of {}", self.name);
        deadline.wait_for(&event, || Ok(self.child.try_wait()?))
    }

    /// Asks the program to end, as Ctrl-C and `kill` do.
    ///
    /// # Errors
    ///
    /// The program has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).context("process id")?;
        kill(Pid::from_raw(pid), signal).with_context(|| format!("{signal} to {}", self.name))
    }

    /// Kills the program without warning, as `kill -9` does, and waits for its end.
    ///
    /// # Errors
    ///
    /// The kernel does not know the process.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The largest resident memory that the program has had, in bytes.
    ///
    /// # Errors
    ///
    /// The program has ended.
    pub fn peak_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next()).context("no VmHWM")?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    /// Waits for the program's own end, which must be with this exit code, and says what it printed to
    /// standard error.
    ///
    /// # Errors
    ///
    /// The deadline passed first, or the code is another.
    pub fn expect_exit(&mut self, code: i32, deadline: &Deadline) -> Result<String> {
        let status = self.wait_exit(deadline)?;
        let said = self.stderr();
        ensure!(status.code() == Some(code), "{} ended with {status}: {said}", self.name);
        Ok(said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the program has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
