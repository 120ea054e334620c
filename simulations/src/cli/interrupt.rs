//! Someone asks the program to end: SIGINT (Ctrl-C) or SIGTERM.

use std::future::poll_fn;
use std::path::Path;
use std::task::Poll;

use simulations::outcome::Outcome;
use simulations::plan::Plan;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use super::child::Launcher;

/// Listens for the signals; from its making on they do not end the program by themselves.
#[derive(Debug)]
pub(super) struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// Begins to listen. Must be called inside a runtime.
    ///
    /// # Errors
    ///
    /// The system does not let us.
    pub(super) fn listen() -> Result<Self, Failure> {
        let refused = |error| Failure::failed(format_args!("cannot listen for signals: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(refused)?,
            terminate: signal(SignalKind::terminate()).map_err(refused)?,
        })
    }

    /// Ends at the next signal.
    pub(super) async fn next(&mut self) {
        poll_fn(|cx| {
            let is_asked = self.interrupt.poll_recv(cx).is_ready();
            if self.terminate.poll_recv(cx).is_ready() || is_asked {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }
}

/// Runs a plan as [`Launcher::judge`] does; nothing if someone asked the program to end first, or
/// before.
///
/// # Errors
///
/// No process can be started, or it refuses what it was told.
pub(super) async fn judged(
    launcher: &Launcher,
    plan: &Plan,
    twice: bool,
    trace: Option<&Path>,
    interrupt: &mut Interrupt,
) -> Result<Option<Outcome>, Failure> {
    tokio::select! {
        biased;
        () = interrupt.next() => Ok(None),
        outcome = launcher.judge(plan, twice, trace) => outcome.map(Some),
    }
}

/// The runtime of the parent, which waits for processes and signals.
///
/// # Errors
///
/// The system gives us none.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| Failure::failed(format_args!("cannot start: {error}")))
}
