//! Someone asks the program to end: SIGINT (Ctrl-C) or SIGTERM.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::failure::{Exit, Failure};

/// Listens for the signals; from its making on they no longer kill the program.
#[derive(Debug)]
pub(crate) struct Requests {
    interrupt: Signal,
    terminate: Signal,
}

impl Requests {
    /// Begins to listen. Must be called inside a tokio runtime with I/O.
    ///
    /// # Errors
    ///
    /// The system does not let us.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Ends at the next signal.
    pub(crate) async fn next(&mut self) {
        std::future::poll_fn(|cx| {
            let is_asked = self.interrupt.poll_recv(cx).is_ready();
            if self.terminate.poll_recv(cx).is_ready() || is_asked {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }
}

/// Does `work` on a thread of its own and sets the flag that is handed to it at the first signal, so
/// that it ends soon; at the second signal the program ends at once.
///
/// # Errors
///
/// It was interrupted, `work` failed, or the system gives us no thread.
pub(crate) fn interruptible<T: Send>(
    work: impl FnOnce(&AtomicBool) -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    let refused = |error: io::Error| Failure::failed(format_args!("cannot start: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(refused)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (done, ended) = oneshot::channel::<()>();
        let worker = thread::Builder::new().name("command".to_owned());
        let worker = worker
            .spawn_scoped(scope, || {
                let result = work(&stop);
                drop(done);
                result
            })
            .map_err(refused)?;
        runtime.block_on(watch(ended, &stop)).map_err(refused)?;
        match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Waits for the end of the work, and asks it to stop when a signal comes first.
async fn watch(ended: oneshot::Receiver<()>, stop: &AtomicBool) -> io::Result<()> {
    let mut requests = Requests::listen()?;
    let mut ended = pin!(ended);
    loop {
        let has_ended = {
            let mut request = pin!(requests.next());
            std::future::poll_fn(|cx| match ended.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(true),
                Poll::Pending => request.as_mut().poll(cx).map(|()| false),
            })
            .await
        };
        if has_ended {
            return Ok(());
        }
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(Exit::Interrupted as i32);
        }
    }
}
