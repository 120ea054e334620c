//! The events to come, in the order in which they happen.
//!
//! A heap of small entries points into a table of events, so that an event is moved twice and a
//! cancelled one frees its place at once; its entry in the heap is passed over later. Events of the same
//! moment happen in the order in which they were added.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::task::Waker;

use bittorrent::Time;

use super::net::NetEvent;
use super::state::Life;

/// Entries of cancelled events that the heap holds at least before it is swept.
const STALE_MIN: usize = 1024;

/// What happens at a moment.
pub(super) enum Event {
    /// A timer of a host is due.
    Wake(Waker),
    /// The result of a disk or computing job arrives.
    Job(Box<dyn FnOnce() + Send>),
    /// Something arrives over the network.
    Net(NetEvent),
}

/// Finds an event again, as long as it has not happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventKey {
    number: u64,
    slot: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Time,
    number: u64,
    slot: usize,
}

struct Slot {
    number: u64,
    event: Option<(Life, Event)>,
}

/// The events to come.
#[derive(Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Due>>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    next: u64,
}

impl Queue {
    /// Adds an event.
    pub(super) fn push(&mut self, at: Time, life: Life, event: Event) -> EventKey {
        let number = self.next;
        self.next += 1;
        let filled = Slot { number, event: Some((life, event)) };
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.slots.get_mut(slot) {
                    *place = filled;
                }
                slot
            }
            None => {
                self.slots.push(filled);
                self.slots.len() - 1
            }
        };
        self.heap.push(Reverse(Due { at, number, slot }));
        EventKey { number, slot }
    }

    /// The event, if it has not happened and was not cancelled.
    pub(super) fn get_mut(&mut self, key: EventKey) -> Option<&mut Event> {
        let slot = self.slots.get_mut(key.slot).filter(|slot| slot.number == key.number)?;
        slot.event.as_mut().map(|(_, event)| event)
    }

    /// Takes an event out that has not happened.
    pub(super) fn cancel(&mut self, key: EventKey) -> Option<(Life, Event)> {
        let taken = self.take(key.slot, key.number)?;
        let live = self.slots.len() - self.free.len();
        if self.heap.len() > 2 * live + STALE_MIN {
            let slots = &self.slots;
            self.heap.retain(|Reverse(due)| {
                slots
                    .get(due.slot)
                    .is_some_and(|slot| slot.number == due.number && slot.event.is_some())
            });
        }
        Some(taken)
    }

    /// The next event, if it is due by `end`.
    pub(super) fn pop_due(&mut self, end: Time) -> Option<(Time, Life, Event)> {
        loop {
            let Reverse(due) = *self.heap.peek().filter(|Reverse(due)| due.at <= end)?;
            self.heap.pop();
            if let Some((life, event)) = self.take(due.slot, due.number) {
                return Some((due.at, life, event));
            }
        }
    }

    fn take(&mut self, slot: usize, number: u64) -> Option<(Life, Event)> {
        let place = self.slots.get_mut(slot).filter(|place| place.number == number)?;
        let taken = place.event.take()?;
        self.free.push(slot);
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIFE: Life = Life { host: 0, incarnation: 1 };

    fn job() -> Event {
        Event::Job(Box::new(|| {}))
    }

    proptest! {
        #[test]
        fn events_happen_in_order_and_cancelled_ones_do_not(
            steps in prop::collection::vec((0_u8..50, 0_u8..4), 1..400)
        ) {
            let mut queue = Queue::default();
            let mut expected: Vec<(u64, u64, EventKey)> = Vec::new();
            let mut now = 0;
            for (number, (wait, what)) in (0_u64..).zip(steps) {
                match what {
                    0 if !expected.is_empty() => {
                        let (.., key) = expected.swap_remove(usize::from(wait) % expected.len());
                        prop_assert!(queue.get_mut(key).is_some());
                        prop_assert!(queue.cancel(key).is_some());
                        prop_assert!(queue.cancel(key).is_none() && queue.get_mut(key).is_none());
                    }
                    1 => {
                        expected.sort_by_key(|&(at, number, _)| (at, number));
                        let end = now + u64::from(wait);
                        let due = expected.first().copied().filter(|&(at, ..)| at <= end);
                        let popped = queue.pop_due(Time::from_nanos(end));
                        prop_assert_eq!(popped.map(|(at, ..)| at.as_nanos()), due.map(|d| d.0));
                        if let Some((at, _, key)) = due {
                            expected.remove(0);
                            now = at;
                            prop_assert!(queue.cancel(key).is_none());
                        }
                    }
                    _ => {
                        let at = now + u64::from(wait);
                        expected.push((at, number, queue.push(Time::from_nanos(at), LIFE, job())));
                    }
                }
            }
        }
    }

    #[test]
    fn cancelled_events_leave_no_memory_behind() {
        let mut queue = Queue::default();
        for at in 0..100_000 {
            let key = queue.push(Time::from_secs(at), LIFE, job());
            queue.cancel(key);
        }
        assert_eq!(queue.slots.len(), 1);
        assert!(queue.heap.len() <= STALE_MIN + 1, "{}", queue.heap.len());
    }
}
