//! Connecting: attempts, listeners and answers.
//!
//! An attempt travels to the listener's host and its answer back. Where nobody would answer (a cut, a NAT,
//! a host without power) it is held, and goes on when that has changed: the dialler waits as long as it
//! likes.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;

use super::NetEvent;
use super::handle::SimStream;
use super::stream::{Side, StreamKey};
use crate::net::{Listener, Stream};
use crate::sim::queue::Event;
use crate::sim::state::{Life, Shared, State};

/// Streams that wait to be accepted.
const BACKLOG: usize = 1024;
/// So many attempts are held before those that nobody waits for any more are looked for.
const HELD_MIN: usize = 64;

/// A listener.
pub(super) struct Accepting {
    life: Life,
    waiting: VecDeque<StreamKey>,
    waker: Option<Waker>,
}

/// An attempt to connect, on its way or on its way back.
pub(in crate::sim) struct Attempt {
    to: SocketAddr,
    from: SocketAddr,
    acceptor: usize,
    dialler: Life,
    reply: oneshot::Sender<io::Result<StreamKey>>,
    /// The answer, on the way back.
    answer: Option<io::Result<StreamKey>>,
}

impl State {
    /// Sends an attempt or its answer on its way, or holds it.
    fn send_attempt(&mut self, attempt: Attempt) {
        let (acceptor, dialler) = (attempt.acceptor, attempt.dialler);
        if !self.passes(&attempt) {
            self.hold_attempt(attempt);
            return;
        }
        let at = self.now + self.net.latency(acceptor, dialler.host);
        let to = if attempt.answer.is_some() {
            dialler
        } else {
            Life { host: acceptor, incarnation: 0 }
        };
        self.schedule(at, to, Event::Net(NetEvent::Attempt(Box::new(attempt))));
    }

    fn passes(&self, attempt: &Attempt) -> bool {
        let (acceptor, dialler) = (attempt.acceptor, attempt.dialler.host);
        let there = attempt.answer.is_some()
            || self.net.hosts.get(acceptor).is_some_and(|host| {
                !host.dark
                    && (host.link.accepts || acceptor == dialler)
                    && !self.net.paths.blocked(dialler, acceptor)
            });
        there && !self.net.paths.blocked(acceptor, dialler)
    }

    fn hold_attempt(&mut self, attempt: Attempt) {
        self.net.held.push(attempt);
        if self.net.held.len() >= self.net.held_swept_at.max(HELD_MIN) {
            let held = std::mem::take(&mut self.net.held);
            for attempt in held {
                if attempt.reply.is_closed() {
                    self.give_up(&attempt);
                } else {
                    self.net.held.push(attempt);
                }
            }
            self.net.held_swept_at = 2 * self.net.held.len();
        }
    }

    /// Something has changed: whoever waits tries again.
    pub(super) fn retry_attempts(&mut self) {
        for attempt in std::mem::take(&mut self.net.held) {
            if attempt.reply.is_closed() {
                self.give_up(&attempt);
            } else {
                self.send_attempt(attempt);
            }
        }
    }

    /// The dialler does not wait any more.
    fn give_up(&mut self, attempt: &Attempt) {
        if let Some(Ok(key)) = attempt.answer {
            self.end_abruptly(key, 0, !self.net.is_dark(attempt.dialler.host));
        }
    }

    pub(super) fn on_attempt(&mut self, mut attempt: Attempt) -> bool {
        if !self.passes(&attempt) {
            self.hold_attempt(attempt);
            return false;
        }
        if let Some(answer) = &attempt.answer {
            self.trace(format_args!("answer ok={}", answer.is_ok()));
            return self.on_answer(attempt);
        }
        let (to, from) = (attempt.to, attempt.from);
        let listener = self.net.listeners.get(&(attempt.acceptor, to.port()));
        let acceptor = listener.filter(|it| it.waiting.len() < BACKLOG).map(|it| it.life);
        self.trace(format_args!("connect {from} {to} ok={}", acceptor.is_some()));
        let answer: io::Result<StreamKey> = match acceptor {
            Some(acceptor) => {
                Ok(self.open([Side::new(attempt.dialler, from), Side::new(acceptor, to)]))
            }
            None => Err(io::ErrorKind::ConnectionRefused.into()),
        };
        let mut wakes = false;
        let listener = self.net.listeners.get_mut(&(attempt.acceptor, to.port()));
        if let (Ok(key), Some(listener)) = (&answer, listener) {
            listener.waiting.push_back(*key);
            let woken = listener.waker.take();
            wakes = woken.is_some();
            self.woken.extend(woken);
        }
        attempt.answer = Some(answer);
        self.send_attempt(attempt);
        wakes
    }

    fn on_answer(&mut self, mut attempt: Attempt) -> bool {
        let Some(answer) = attempt.answer.take() else { return false };
        let key = answer.as_ref().ok().copied();
        let heard = attempt.reply.send(answer).is_ok();
        // Nobody waits any more: as a system does, it refuses the stream that it never had.
        if let Some(key) = key.filter(|_| !heard) {
            self.end_abruptly(key, 0, !self.net.is_dark(attempt.dialler.host));
        }
        heard
    }

    /// The listeners of a host are gone, and with them the streams that nobody accepted.
    pub(super) fn close_listeners(&mut self, host: usize, tells: bool) {
        let ports = self.net.listeners.range((host, 0)..=(host, u16::MAX));
        let ports: Vec<_> = ports.map(|(&(_, port), _)| port).collect();
        for port in ports {
            self.close_listener(host, port, tells);
        }
    }

    fn close_listener(&mut self, host: usize, port: u16, tells: bool) {
        let Some(listener) = self.net.listeners.remove(&(host, port)) else { return };
        for key in listener.waiting {
            self.end_abruptly(key, 1, tells);
        }
    }
}

/// An attempt that is being waited for.
struct Dialling {
    shared: Arc<Shared>,
    answer: oneshot::Receiver<io::Result<StreamKey>>,
}

impl Drop for Dialling {
    fn drop(&mut self) {
        // The answer came at the moment at which the dialler gave up.
        if let Ok(Ok(key)) = self.answer.try_recv() {
            self.shared.lock().end_abruptly(key, 0, true);
        }
    }
}

/// Connects to `to`; waits for ever where nobody answers.
pub(super) async fn connect(
    shared: &Arc<Shared>,
    life: Life,
    to: SocketAddr,
) -> io::Result<Stream> {
    let (reply, answer) = oneshot::channel();
    let from = {
        let mut state = shared.lock();
        let from = state.net.bind(life.host, SocketAddr::from(([0, 0, 0, 0], 0)))?;
        let acceptor = state.net.host_at(to.ip()).ok_or(io::ErrorKind::HostUnreachable)?;
        let attempt = Attempt { to, from, acceptor, dialler: life, reply, answer: None };
        state.send_attempt(attempt);
        from
    };
    let mut dialling = Dialling { shared: Arc::clone(shared), answer };
    let answer = (&mut dialling.answer).await.map_err(|_| io::ErrorKind::ConnectionAborted)?;
    let (key, shared) = (answer?, Arc::clone(shared));
    Ok(Arc::new(SimStream { shared, key, side: 0, local: from, peer: to }))
}

/// Listens.
pub(super) fn listen(
    shared: &Arc<Shared>,
    life: Life,
    at: SocketAddr,
) -> io::Result<Arc<dyn Listener>> {
    let mut state = shared.lock();
    let local = state.net.bind(life.host, at)?;
    let accepting = Accepting { life, waiting: VecDeque::new(), waker: None };
    state.net.listeners.insert((life.host, local.port()), accepting);
    Ok(Arc::new(SimListener { shared: Arc::clone(shared), local, life }))
}

#[derive(Debug)]
struct SimListener {
    shared: Arc<Shared>,
    local: SocketAddr,
    life: Life,
}

impl Listener for SimListener {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let mut state = self.shared.lock();
        let Some(accepting) = state.net.listeners.get_mut(&(self.life.host, self.local.port()))
        else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let Some(key) = accepting.waiting.pop_front() else {
            accepting.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let Some(pair) = state.net.streams.get_mut(key) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        };
        let peer = pair.ends(0).0.addr;
        let shared = Arc::clone(&self.shared);
        Poll::Ready(Ok(Arc::new(SimStream { shared, key, side: 1, local: self.local, peer })))
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let (host, port) = (self.life.host, self.local.port());
        if state.net.listeners.get(&(host, port)).is_some_and(|it| it.life == self.life) {
            state.close_listener(host, port, true);
        }
    }
}
