//! What keeps an owner's effects out that is one no more.

use super::Epoch;

/// The highest epoch that was seen of a torrent: everybody who takes in an owner's messages, writes, events or
/// assignments has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Fence {
    highest: Epoch,
}

/// Whoever spoke is not the owner any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("epoch {said} is over, the torrent's is {current}")]
pub struct StaleEpoch {
    /// The speaker's.
    pub said: Epoch,
    /// The highest that was seen.
    pub current: Epoch,
}

impl Fence {
    /// A fence that starts where one was left, as after a restart.
    #[must_use]
    pub const fn at(highest: Epoch) -> Self {
        Self { highest }
    }

    /// The highest epoch that passed.
    #[must_use]
    pub const fn highest(self) -> Epoch {
        self.highest
    }

    /// Lets an effect of this epoch pass, and none of a lower one from then on.
    ///
    /// # Errors
    ///
    /// A higher epoch has passed before.
    pub fn pass(&mut self, epoch: Epoch) -> Result<(), StaleEpoch> {
        if epoch < self.highest {
            return Err(StaleEpoch { said: epoch, current: self.highest });
        }
        self.highest = epoch;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_epoch_does_not_pass_a_higher_one() {
        let mut fence = Fence::default();
        assert!(fence.pass(Epoch(1)).is_ok() && fence.pass(Epoch(3)).is_ok());
        assert!(fence.pass(Epoch(3)).is_ok());
        let refused = fence.pass(Epoch(2)).unwrap_err();
        assert_eq!(refused.to_string(), "epoch 2 is over, the torrent's is 3");
        assert_eq!(fence.highest(), Epoch(3));
        assert!(Fence::at(Epoch(5)).pass(Epoch(4)).is_err());
    }
}
