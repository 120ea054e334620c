//! The side of an encrypted handshake that opened the connection.

use std::mem;

use bytes::{Buf, BufMut, BytesMut};
use rand::Rng;

use super::dh::Secret;
use super::keys::{Shared, draw_pad, greeting, put_pad, skip_to, take};
use super::{Ciphers, Error, Established, Method, Methods, PAD_MAX, Progress, VC, obfuscated};
use crate::wire::Handshake;
use crate::wire::handshake::HANDSHAKE_LEN;

#[expect(clippy::cast_possible_truncation, reason = "it is 68")]
const PAYLOAD_LEN: u16 = HANDSHAKE_LEN as u16;

/// Opens an encrypted connection and sends a handshake (BEP 3) over it.
///
/// Where only RC4 is offered, the handshake goes along as the initial payload. Where plaintext is,
/// it waits for the selection, which costs a round trip: Transmission, having selected plaintext,
/// does not decrypt an initial payload.
#[derive(Debug)]
pub struct Initiator {
    state: State,
    out: BytesMut,
    handshake: Handshake,
    offer: Methods,
    /// Length of the padding behind the offer.
    pad: u16,
}

#[derive(Debug)]
enum State {
    /// Waits for the peer's key.
    Key(Secret),
    /// Waits for the end of the padding: what the verification constant is encrypted to.
    Mark {
        ciphers: Box<Ciphers>,
        mark: [u8; VC.len()],
        dropped: usize,
    },
    /// Waits for the selection.
    Selection(Box<Ciphers>),
    /// Waits for the padding behind it.
    Pad {
        ciphers: Box<Ciphers>,
        method: Method,
        pad: u16,
    },
    Over,
}

impl Initiator {
    /// Begins a handshake, with a key to send.
    #[must_use]
    pub fn new(handshake: &Handshake, offer: Methods, rng: &mut impl Rng) -> Self {
        let secret = Secret::draw(rng);
        let out = greeting(&secret, rng);
        let pad = draw_pad(rng);
        Self { state: State::Key(secret), out, handshake: *handshake, offer, pad }
    }

    /// The bytes to send; what was sent is to be taken off its front.
    pub const fn transmit(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Takes what the peer sent off `buf`, as far as it belongs to the handshake.
    ///
    /// When it completes, the rest of `buf` is decrypted. The handshake (BEP 3) that the machine was
    /// given is then sent or in `transmit`.
    ///
    /// # Errors
    ///
    /// The peer's mistakes, see [`Error`]; also whenever it is called after the end.
    pub fn receive(&mut self, buf: &mut BytesMut) -> Result<Progress, Error> {
        loop {
            let progress = match mem::replace(&mut self.state, State::Over) {
                State::Key(secret) => self.on_key(secret, buf)?,
                State::Mark { ciphers, mark, dropped } => {
                    self.on_mark(ciphers, mark, dropped, buf)?
                }
                State::Selection(ciphers) => self.on_selection(ciphers, buf)?,
                State::Pad { ciphers, method, pad } => self.on_pad(ciphers, method, pad, buf),
                State::Over => return Err(Error::Over),
            };
            if let Some(progress) = progress {
                return Ok(progress);
            }
        }
    }

    /// Sets the state to wait in.
    #[expect(clippy::unnecessary_wraps, reason = "the steps return it as their outcome")]
    fn wait(&mut self, state: State) -> Option<Progress> {
        self.state = state;
        Some(Progress::NeedMore)
    }

    fn on_key(&mut self, secret: Secret, buf: &mut BytesMut) -> Result<Option<Progress>, Error> {
        let Some(key) = take(buf) else { return Ok(self.wait(State::Key(secret))) };
        let shared = Shared(secret.agree(&key).ok_or(Error::UnfitKey)?);
        let mut ciphers = shared.initiator(self.handshake.info_hash);
        self.out.extend_from_slice(&shared.mark());
        self.out.extend_from_slice(&shared.mask(obfuscated(self.handshake.info_hash)));
        self.send_offer(&mut ciphers);
        let mut mark = VC;
        ciphers.receive.apply(&mut mark);
        self.state = State::Mark { ciphers, mark, dropped: 0 };
        Ok(None)
    }

    /// Constant, methods, padding and initial payload, all in RC4.
    fn send_offer(&mut self, ciphers: &mut Ciphers) {
        let is_early = self.offer == Methods::Rc4;
        let mut offer = BytesMut::new();
        offer.put_slice(&VC);
        offer.put_u32(self.offer.bits());
        put_pad(self.pad, &mut offer);
        offer.put_u16(if is_early { PAYLOAD_LEN } else { 0 });
        if is_early {
            offer.put_slice(&self.handshake.encode());
        }
        ciphers.send.apply(&mut offer);
        self.out.extend_from_slice(&offer);
    }

    fn on_mark(
        &mut self,
        ciphers: Box<Ciphers>,
        mark: [u8; VC.len()],
        mut dropped: usize,
        buf: &mut BytesMut,
    ) -> Result<Option<Progress>, Error> {
        if !skip_to(&mark, buf, &mut dropped)? {
            return Ok(self.wait(State::Mark { ciphers, mark, dropped }));
        }
        self.state = State::Selection(ciphers);
        Ok(None)
    }

    fn on_selection(
        &mut self,
        mut ciphers: Box<Ciphers>,
        buf: &mut BytesMut,
    ) -> Result<Option<Progress>, Error> {
        let Some(mut bytes) = take::<6>(buf) else {
            return Ok(self.wait(State::Selection(ciphers)));
        };
        ciphers.receive.apply(&mut bytes);
        let mut bytes = &bytes[..];
        let (selected, pad) = (bytes.get_u32(), bytes.get_u16());
        let method = [Method::Plaintext, Method::Rc4]
            .into_iter()
            .find(|method| self.offer.contains(*method) && method.bit() == selected)
            .ok_or(Error::NotOffered(selected))?;
        if pad > PAD_MAX {
            return Err(Error::PadTooLong(pad));
        }
        self.send_late(method, &mut ciphers);
        self.state = State::Pad { ciphers, method, pad };
        Ok(None)
    }

    /// Sends the handshake, unless it went along with the offer.
    fn send_late(&mut self, method: Method, ciphers: &mut Ciphers) {
        if self.offer == Methods::Rc4 {
            return;
        }
        let mut bytes = self.handshake.encode();
        match method {
            Method::Plaintext => {}
            Method::Rc4 => ciphers.send.apply(&mut bytes),
        }
        self.out.extend_from_slice(&bytes);
    }

    fn on_pad(
        &mut self,
        mut ciphers: Box<Ciphers>,
        method: Method,
        pad: u16,
        buf: &mut BytesMut,
    ) -> Option<Progress> {
        let length = usize::from(pad);
        if buf.len() < length {
            return self.wait(State::Pad { ciphers, method, pad });
        }
        ciphers.receive.apply(&mut buf.split_to(length));
        let info_hash = self.handshake.info_hash;
        Some(Progress::Complete(Established::new(info_hash, ciphers, method, 0, buf)))
    }
}
