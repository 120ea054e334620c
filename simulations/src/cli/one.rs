//! `one`: runs the plan on standard input in this process, and writes the outcome to standard output.
//!
//! The other end of [`super::child`]. One process runs one plan: what is global in a process (ids,
//! registries) would otherwise make a run differ by what ran before it.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::thread;
use std::time::Duration;

use simulations::outcome::Outcome;
use simulations::plan::Plan;
use simulations::run::{Limits, run as run_plan};

use super::{Exit, Failure, OneFlags};

/// The longest plan that is read, in bytes: 1,000 hosts that all know each other take 10 MB.
const PLAN_MAX: u64 = 256 << 20;
/// After its limit a run has so many seconds of CPU time to stop by itself.
const GRACE_S: u64 = 10;
/// Of the thread that simulates, in bytes. Futures of a debug build are large.
const STACK: usize = 16 << 20;

/// Runs the plan.
///
/// # Errors
///
/// The plan cannot be read, the trace or the outcome cannot be written.
pub(super) fn run(flags: &OneFlags) -> Result<Exit, Failure> {
    end_with_parent();
    limit_cpu(flags.limits.cpu_limit.saturating_add(GRACE_S));
    #[cfg(feature = "seeded-bugs")]
    plant_bug()?;
    let plan = read_plan()?;
    let trace: Option<Box<dyn Write + Send>> = match &flags.trace {
        None => None,
        Some(path) => {
            let file = File::create(path).map_err(|error| {
                Failure::new(Exit::Usage, format_args!("{}: cannot write: {error}", path.display()))
            })?;
            Some(Box::new(BufWriter::new(file)))
        }
    };
    let limits = Limits {
        cpu: Duration::from_secs(flags.limits.cpu_limit),
        rss_bytes: flags.limits.memory_limit,
    };
    let outcome = on_a_fresh_thread(plan, limits, trace)?;
    let mut out = BufWriter::new(io::stdout().lock());
    serde_json::to_writer(&mut out, &outcome)
        .map_err(io::Error::from)
        .and_then(|()| out.flush())
        .map_err(|error| Failure::failed(format_args!("cannot write the outcome: {error}")))?;
    Ok(Exit::Passed)
}

/// Plants the mistake that the environment names, in a test build.
#[cfg(feature = "seeded-bugs")]
fn plant_bug() -> Result<(), Failure> {
    let Ok(name) = std::env::var("SEEDED_BUG") else { return Ok(()) };
    let bug = name.parse().map_err(|error| Failure::new(Exit::Usage, error))?;
    swarm::bugs::plant(Some(bug));
    Ok(())
}

fn read_plan() -> Result<Plan, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, format_args!("standard input is no plan: {error}"))
    };
    let mut bytes = Vec::new();
    io::stdin().lock().take(PLAN_MAX).read_to_end(&mut bytes).map_err(|error| wrong(&error))?;
    serde_json::from_slice(&bytes).map_err(|error| wrong(&error))
}

/// The order of hash maps in libraries follows from keys that each thread draws once: the thread is
/// fresh and its chance is seeded before anything draws.
fn on_a_fresh_thread(
    plan: Plan,
    limits: Limits,
    trace: Option<Box<dyn Write + Send>>,
) -> Result<Outcome, Failure> {
    let simulate = move || {
        crate::det::seed(plan.seed);
        run_plan(&plan, &limits, trace)
    };
    let thread = thread::Builder::new().name("simulation".to_owned()).stack_size(STACK);
    let thread = thread
        .spawn(simulate)
        .map_err(|error| Failure::failed(format_args!("cannot start a thread: {error}")))?;
    match thread.join() {
        Ok(outcome) => Ok(outcome),
        // The message is on standard error already; the exit code must be that of a panic.
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Nobody would read the outcome after the parent's end.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the standard library has no such call")]
fn end_with_parent() {
    // SAFETY: PR_SET_PDEATHSIG takes a number and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent() {}

/// Ends a run that does not look at its own limit any more, because it is caught in a loop.
#[cfg(unix)]
#[expect(unsafe_code, reason = "the standard library has no such call")]
fn limit_cpu(seconds: u64) {
    let limit = libc::rlimit { rlim_cur: seconds, rlim_max: seconds.saturating_add(GRACE_S) };
    // SAFETY: the pointer is to a value that outlives the call.
    unsafe { libc::setrlimit(libc::RLIMIT_CPU, &raw const limit) };
}

#[cfg(not(unix))]
fn limit_cpu(_seconds: u64) {}
