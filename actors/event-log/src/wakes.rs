//! Wakes readers when something was appended to their topic.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// A bell for each topic that somebody waits for. It says only that it is worth to look.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    /// `None` when the log is closed.
    bells: Mutex<Option<BTreeMap<String, watch::Sender<()>>>>,
}

impl Wakes {
    pub(crate) fn new() -> Self {
        Self { bells: Mutex::new(Some(BTreeMap::new())) }
    }

    /// A receiver that changes at every append after now, and ends when the log is closed. The topic
    /// must be one that exists, which bounds the bells.
    pub(crate) fn listen(&self, topic: &str) -> Option<watch::Receiver<()>> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        let bells = bells.as_mut()?;
        if let Some(bell) = bells.get(topic) {
            return Some(bell.subscribe());
        }
        let (bell, receiver) = watch::channel(());
        bells.insert(topic.to_owned(), bell);
        Some(receiver)
    }

    /// Wakes all who wait for the topic.
    pub(crate) fn ring(&self, topic: &str) {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.as_ref().and_then(|bells| bells.get(topic)) {
            bell.send_replace(());
        }
    }

    /// Wakes all, for the last time.
    pub(crate) fn close(&self) {
        drop(self.bells.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Lets topics be listened to again.
    pub(crate) fn reopen(&self) {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.get_or_insert_default();
    }
}
