//! A process for a plan: started, given the plan, and asked for its outcome.
//!
//! The other end is [`super::one`]. A process that dies gives an outcome, too: a failed one (`panic`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use simulations::outcome::{Cost, Outcome, Series, Verdict};
use simulations::plan::Plan;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::batch::agreed;
use super::{Exit, Failure, LimitFlags};

/// The longest outcome that is read, in bytes.
const OUTCOME_MAX: u64 = 512 << 20;
/// So much of what a process says on standard error is kept, the last of it, in bytes.
const TAIL_MAX: usize = 64 << 10;
/// So many of its last lines are shown.
const LINES_SHOWN: usize = 12;

/// Starts processes, each with the same limits.
#[derive(Debug, Clone)]
pub(super) struct Launcher {
    program: PathBuf,
    limits: LimitFlags,
}

impl Launcher {
    /// Starts this program again, also when its file has been replaced in the meantime.
    ///
    /// # Errors
    ///
    /// The system does not say which program this is.
    pub(super) fn new(limits: &LimitFlags) -> Result<Self, Failure> {
        let itself = PathBuf::from("/proc/self/exe");
        let program = if itself.exists() { Ok(itself) } else { std::env::current_exe() };
        let program = program
            .map_err(|error| Failure::failed(format_args!("cannot find this program: {error}")))?;
        Ok(Self { program, limits: limits.clone() })
    }

    /// Runs a plan in a process of its own; in two that must agree if `twice`.
    ///
    /// # Errors
    ///
    /// No process can be started, or it refuses what it was told.
    pub(super) async fn judge(
        &self,
        plan: &Plan,
        twice: bool,
        trace: Option<&Path>,
    ) -> Result<Outcome, Failure> {
        let first = self.run(plan, trace).await?;
        if !twice {
            return Ok(first);
        }
        let trace = trace.map(second_trace);
        Ok(agreed(first, self.run(plan, trace.as_deref()).await?))
    }

    /// Runs a plan in a process of its own. The process is killed if this is dropped.
    ///
    /// # Errors
    ///
    /// The process cannot be started, or refuses what it was told.
    pub(super) async fn run(&self, plan: &Plan, trace: Option<&Path>) -> Result<Outcome, Failure> {
        let input = serde_json::to_vec(plan).map_err(Failure::failed)?;
        let refused = |error: std::io::Error| {
            Failure::failed(format_args!("cannot start a process for a seed: {error}"))
        };
        let mut child = self.command(trace).spawn().map_err(refused)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(Failure::failed("a process for a seed has no pipes"));
        };
        let give = async move {
            // Where it has died its exit says why.
            let _ = stdin.write_all(&input).await;
        };
        let ((), said, complained, status) =
            tokio::join!(give, all_of(stdout), tail_of(stderr), child.wait());
        let complained = String::from_utf8_lossy(&complained).into_owned();
        outcome_of(plan, status.map_err(refused)?, &said, &complained)
    }

    fn command(&self, trace: Option<&Path>) -> Command {
        let LimitFlags { cpu_limit, memory_limit } = self.limits;
        let mut command = Command::new(&self.program);
        command.arg("one").arg(format!("--cpu-limit={cpu_limit}"));
        command.arg(format!("--memory-limit={memory_limit}B"));
        if let Some(path) = trace {
            command.arg("--trace").arg(path);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C is for the parent, which then ends its children itself.
        #[cfg(unix)]
        command.process_group(0);
        command.kill_on_drop(true);
        command
    }
}

/// Where the trace of the second process of a seed goes.
pub(super) fn second_trace(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".2");
    name.into()
}

async fn all_of(pipe: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was read before an error is judged as it is: it is no outcome.
    let _ = pipe.take(OUTCOME_MAX).read_to_end(&mut bytes).await;
    bytes
}

async fn tail_of(mut pipe: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut tail = Vec::new();
    while let Ok(1..) = pipe.read_buf(&mut tail).await {
        let surplus = tail.len().saturating_sub(TAIL_MAX);
        tail.drain(..surplus);
    }
    tail
}

/// What came of a process by its end, its standard output and the last of its standard error.
fn outcome_of(
    plan: &Plan,
    status: ExitStatus,
    said: &[u8],
    complained: &str,
) -> Result<Outcome, Failure> {
    if status.code() == Some(Exit::Usage as i32) {
        let last = complained.lines().last().unwrap_or("it does not say why");
        return Err(Failure::failed(format_args!("a process for a seed refuses: {last}")));
    }
    if !status.success() {
        return Ok(died(plan, &format!("its process ended with {}", ending(status)), complained));
    }
    match serde_json::from_slice(said) {
        Ok(outcome) => Ok(outcome),
        Err(error) => Ok(died(plan, &format!("its process wrote no outcome: {error}"), complained)),
    }
}

/// How a process ended.
fn ending(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let meaning = match signal {
            libc::SIGKILL => " (SIGKILL: someone or a lack of memory killed it)",
            libc::SIGXCPU => " (SIGXCPU: caught in a loop until its CPU limit)",
            libc::SIGABRT => " (SIGABRT)",
            libc::SIGSEGV => " (SIGSEGV: perhaps its stack was too small)",
            libc::SIGTERM => " (SIGTERM)",
            _ => "",
        };
        return format!("signal {signal}{meaning}");
    }
    match status.code() {
        Some(101) => "a panic".to_owned(),
        Some(code) => format!("exit code {code}"),
        None => "no exit code".to_owned(),
    }
}

/// The outcome of a seed whose process died.
fn died(plan: &Plan, how: &str, complained: &str) -> Outcome {
    let lines: Vec<&str> = complained.lines().collect();
    let last = lines.get(lines.len().saturating_sub(LINES_SHOWN)..).unwrap_or_default();
    let message = std::iter::once(how).chain(last.iter().copied()).collect::<Vec<_>>().join("\n");
    let invariant = "panic".to_owned();
    Outcome {
        scenario: plan.scenario.clone(),
        seed: plan.seed,
        verdict: Verdict::Failed { invariant, at_ms: 0, host: None, message },
        hash: String::new(),
        cost: Cost::default(),
        hosts: Vec::new(),
        sometimes: BTreeMap::new(),
        series: Series::default(),
        faults: plan.faults.clone(),
    }
}

#[cfg(all(test, unix))]
pub(super) mod tests {
    use std::os::unix::process::ExitStatusExt;

    use simulations::plan::{Expect, TorrentPlan};

    use super::*;

    pub(in crate::cli) fn plan() -> Plan {
        Plan {
            scenario: "churn".to_owned(),
            seed: 7,
            faults_end_ms: 0,
            expect: Expect { complete_within_ms: 1, not_complete: Vec::new(), sent_ratio_max: 0.0 },
            torrent: TorrentPlan { files: vec![1], piece_length: 16_384, private: false },
            datagrams: Default::default(),
            hosts: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Invariant and message of what comes of a process that ends so.
    #[expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
    fn failed(status: i32, said: &str, complained: &str) -> (String, String) {
        let outcome =
            outcome_of(&plan(), ExitStatus::from_raw(status), said.as_bytes(), complained).unwrap();
        assert_eq!((outcome.seed, outcome.hash.as_str()), (7, ""));
        match outcome.verdict {
            Verdict::Failed { invariant, message, .. } => (invariant, message),
            verdict => panic!("{verdict:?}"),
        }
    }

    #[test]
    fn a_process_that_dies_is_a_failed_seed_with_its_last_words() {
        let complained: String = (0..50).map(|line| format!("line {line}\n")).collect();
        let (invariant, message) = failed(101 << 8, "", &complained);
        assert_eq!(invariant, "panic");
        assert!(message.starts_with("its process ended with a panic\nline 38\n"), "{message}");
        assert!(message.ends_with("line 49"), "{message}");
        assert!(failed(9, "", "").1.contains("signal 9 (SIGKILL"));
        assert!(failed(24, "", "").1.contains("CPU limit"));
        assert!(failed(0, "not JSON", "").1.contains("wrote no outcome"));
    }

    #[test]
    fn a_process_that_refuses_is_no_seed() {
        let refused = outcome_of(&plan(), ExitStatus::from_raw(2 << 8), b"", "a\nbad plan\n");
        assert!(refused.unwrap_err().to_string().ends_with("refuses: bad plan"));
    }
}
