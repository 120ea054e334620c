//! The side of an encrypted handshake that accepted the connection.

use std::mem;

use bytes::{Buf, BufMut, BytesMut};
use rand::Rng;

use super::dh::Secret;
use super::keys::{Shared, draw_pad, greeting, put_pad, skip_to, take};
use super::{
    Ciphers, Error, Established, INITIAL_PAYLOAD_MAX, Method, Methods, PAD_MAX, Progress, VC,
};
use crate::InfoHash;

/// Answers an encrypted connection.
#[derive(Debug)]
pub struct Responder {
    state: State,
    out: BytesMut,
    allowed: Methods,
    preferred: Method,
    /// Length of the padding behind the selection.
    pad: u16,
}

/// What is known once the torrent is.
#[derive(Debug)]
struct Known {
    info_hash: InfoHash,
    ciphers: Box<Ciphers>,
}

#[derive(Debug)]
enum State {
    /// Waits for the peer's key.
    Key(Secret),
    /// Waits for the end of the padding behind it.
    Mark {
        shared: Shared,
        dropped: usize,
    },
    /// Waits for the torrent's name.
    Name(Shared),
    /// Waits for the owner to say which torrent has this name.
    Torrent {
        shared: Shared,
        name: [u8; 20],
    },
    /// Waits for constant, methods and the padding's length.
    Offer(Known),
    /// Waits for the padding and the initial payload's length.
    Pad {
        known: Known,
        method: Method,
        pad: u16,
    },
    /// Waits for the initial payload.
    Payload {
        known: Known,
        method: Method,
        length: u16,
    },
    Over,
}

impl Responder {
    /// Begins to answer, with a key to send.
    ///
    /// Selects `preferred` where it is allowed and offered, and otherwise what is.
    #[must_use]
    pub fn new(allowed: Methods, preferred: Method, rng: &mut impl Rng) -> Self {
        let secret = Secret::draw(rng);
        let out = greeting(&secret, rng);
        let pad = draw_pad(rng);
        Self { state: State::Key(secret), out, allowed, preferred, pad }
    }

    /// The bytes to send; what was sent is to be taken off its front.
    pub const fn transmit(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Says which torrent has the name of [`Progress::NeedTorrent`]; ignored when not asked.
    pub fn set_torrent(&mut self, info_hash: InfoHash) {
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Torrent { shared, .. } => {
                State::Offer(Known { info_hash, ciphers: shared.responder(info_hash) })
            }
            other => other,
        };
    }

    /// Takes what the peer sent off `buf`, as far as it belongs to the handshake.
    ///
    /// When it completes, `buf` holds what follows in plain: the initial payload, which usually is a
    /// handshake (BEP 3), and what came behind. Bytes that are not yet of use stay in `buf`, at most
    /// [`INITIAL_PAYLOAD_MAX`] beside what was read at once.
    ///
    /// # Errors
    ///
    /// The peer's mistakes, see [`Error`]; also whenever it is called after the end.
    pub fn receive(&mut self, buf: &mut BytesMut) -> Result<Progress, Error> {
        loop {
            let progress = match mem::replace(&mut self.state, State::Over) {
                State::Key(secret) => self.on_key(secret, buf)?,
                State::Mark { shared, dropped } => self.on_mark(shared, dropped, buf)?,
                State::Name(shared) => self.on_name(shared, buf),
                State::Torrent { shared, name } => {
                    self.wait(State::Torrent { shared, name }, Progress::NeedTorrent(name))
                }
                State::Offer(known) => self.on_offer(known, buf)?,
                State::Pad { known, method, pad } => self.on_pad(known, method, pad, buf)?,
                State::Payload { known, method, length } => {
                    self.on_payload(known, method, length, buf)
                }
                State::Over => return Err(Error::Over),
            };
            if let Some(progress) = progress {
                return Ok(progress);
            }
        }
    }

    /// Sets the state to wait in, and what for.
    #[expect(clippy::unnecessary_wraps, reason = "the steps return it as their outcome")]
    fn wait(&mut self, state: State, progress: Progress) -> Option<Progress> {
        self.state = state;
        Some(progress)
    }

    /// Sets the state to go on in at once.
    fn proceed(&mut self, state: State) -> Option<Progress> {
        self.state = state;
        None
    }

    fn on_key(&mut self, secret: Secret, buf: &mut BytesMut) -> Result<Option<Progress>, Error> {
        let Some(key) = take(buf) else {
            return Ok(self.wait(State::Key(secret), Progress::NeedMore));
        };
        let shared = Shared(secret.agree(&key).ok_or(Error::UnfitKey)?);
        Ok(self.proceed(State::Mark { shared, dropped: 0 }))
    }

    fn on_mark(
        &mut self,
        shared: Shared,
        mut dropped: usize,
        buf: &mut BytesMut,
    ) -> Result<Option<Progress>, Error> {
        if !skip_to(&shared.mark(), buf, &mut dropped)? {
            return Ok(self.wait(State::Mark { shared, dropped }, Progress::NeedMore));
        }
        Ok(self.proceed(State::Name(shared)))
    }

    fn on_name(&mut self, shared: Shared, buf: &mut BytesMut) -> Option<Progress> {
        match take(buf) {
            None => self.wait(State::Name(shared), Progress::NeedMore),
            Some(masked) => {
                let name = shared.mask(masked);
                self.proceed(State::Torrent { shared, name })
            }
        }
    }

    fn on_offer(
        &mut self,
        mut known: Known,
        buf: &mut BytesMut,
    ) -> Result<Option<Progress>, Error> {
        let Some(mut bytes) = take::<14>(buf) else {
            return Ok(self.wait(State::Offer(known), Progress::NeedMore));
        };
        known.ciphers.receive.apply(&mut bytes);
        let (constant, mut bytes) = bytes.split_at(VC.len());
        if constant != VC {
            return Err(Error::WrongConstant);
        }
        let method = self.select(bytes.get_u32())?;
        let pad = bytes.get_u16();
        if pad > PAD_MAX {
            return Err(Error::PadTooLong(pad));
        }
        Ok(self.proceed(State::Pad { known, method, pad }))
    }

    /// Bits without a meaning are ignored: they leave room for later methods.
    fn select(&self, provided: u32) -> Result<Method, Error> {
        [self.preferred, Method::Plaintext, Method::Rc4]
            .into_iter()
            .find(|method| self.allowed.contains(*method) && provided & method.bit() != 0)
            .ok_or(Error::NothingAllowed(provided))
    }

    fn on_pad(
        &mut self,
        mut known: Known,
        method: Method,
        pad: u16,
        buf: &mut BytesMut,
    ) -> Result<Option<Progress>, Error> {
        let end = usize::from(pad) + size_of::<u16>();
        if buf.len() < end {
            return Ok(self.wait(State::Pad { known, method, pad }, Progress::NeedMore));
        }
        let mut bytes = buf.split_to(end);
        known.ciphers.receive.apply(&mut bytes);
        bytes.advance(usize::from(pad));
        let length = bytes.get_u16();
        if length > INITIAL_PAYLOAD_MAX {
            return Err(Error::PayloadTooLong(length));
        }
        self.send_selection(method, &mut known.ciphers);
        Ok(self.proceed(State::Payload { known, method, length }))
    }

    /// Constant, method and padding, all in RC4.
    fn send_selection(&mut self, method: Method, ciphers: &mut Ciphers) {
        let mut selection = BytesMut::new();
        selection.put_slice(&VC);
        selection.put_u32(method.bit());
        put_pad(self.pad, &mut selection);
        ciphers.send.apply(&mut selection);
        self.out.extend_from_slice(&selection);
    }

    fn on_payload(
        &mut self,
        known: Known,
        method: Method,
        length: u16,
        buf: &mut BytesMut,
    ) -> Option<Progress> {
        if buf.len() < usize::from(length) {
            return self.wait(State::Payload { known, method, length }, Progress::NeedMore);
        }
        let Known { info_hash, ciphers } = known;
        Some(Progress::Complete(Established::new(info_hash, ciphers, method, length, buf)))
    }
}
