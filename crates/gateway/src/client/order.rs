//! The order in which one client's messages and its end reach the API: the pure machine.
//!
//! ```text
//!   message ──▶ queue ──next──▶ at the API (so many at once) ──done──▶
//!   end ──────▶ DELETE, behind all messages, when none is at the API any more
//! ```

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

use crate::api::{Content, Item};

/// Messages that wait. Boxed, and dropped while there are none.
#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Item>,
    bytes: usize,
}

/// Progress of the DELETE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Delete {
    #[default]
    NotYet,
    /// The DELETE waits for the messages before it.
    Waiting,
    /// The DELETE is at the API.
    Sent,
    /// The DELETE was answered, given up, or is not wanted.
    Done,
}

/// One client's order.
#[derive(Debug, Default)]
pub(crate) struct Order {
    queue: Option<Box<Queue>>,
    /// Boxed, as most clients have none.
    reason: Option<Box<(Bytes, Instant)>>,
    sequence: u64,
    at_api: u16,
    delete: Delete,
    /// The DELETE is to wait.
    held: bool,
    /// The messages are to wait.
    behind: bool,
}

impl Order {
    /// Adds a message. After the end none is taken.
    pub(crate) fn message(&mut self, text: bool, data: Bytes, now: Instant) {
        if self.has_ended() {
            return;
        }
        self.sequence += 1;
        let queue = self.queue.get_or_insert_default();
        queue.bytes += data.len();
        queue.messages.push_back(Item {
            content: Content::Message { text, data },
            sequence: self.sequence,
            since: now,
        });
    }

    /// Notes that the client is gone. `told`: the API is to hear of it. Only the first end counts.
    pub(crate) fn end(&mut self, reason: Bytes, told: bool, now: Instant) {
        if self.has_ended() {
            return;
        }
        if told {
            self.sequence += 1;
            self.reason = Some(Box::new((reason, now)));
            self.delete = Delete::Waiting;
        } else {
            self.delete = Delete::Done;
        }
    }

    /// Returns true if the client is gone.
    pub(crate) fn has_ended(&self) -> bool {
        self.delete != Delete::NotYet
    }

    /// Drops the DELETE if it was not sent yet, because another connection has taken over.
    pub(crate) fn forget_end(&mut self) {
        if self.delete == Delete::Waiting {
            self.delete = Delete::Done;
            self.reason = None;
        }
    }

    /// Has the DELETE wait, until the fate of another connection is known.
    pub(crate) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Has the messages wait for those of another connection.
    pub(crate) fn queue_behind(&mut self, behind: bool) {
        self.behind = behind;
    }

    /// Returns true if the client is gone and its DELETE has not been sent.
    pub(crate) fn owes_delete(&self) -> bool {
        self.delete == Delete::Waiting
    }

    /// Returns true while the DELETE is at the API.
    pub(crate) fn is_deleting(&self) -> bool {
        self.delete == Delete::Sent
    }

    /// Takes what goes to the API now, while at most `at_once` items of this client may be there. Each is
    /// to be followed by [`Order::done`].
    pub(crate) fn next(&mut self, at_once: u16) -> Option<Item> {
        if self.has_turn(at_once)
            && let Some(queue) = &mut self.queue
            && let Some(item) = queue.messages.pop_front()
        {
            if let Content::Message { data, .. } = &item.content {
                queue.bytes -= data.len();
            }
            if queue.messages.is_empty() {
                self.queue = None;
            }
            self.at_api += 1;
            return Some(item);
        }
        if self.is_delete_due() {
            let (reason, since) = *self.reason.take()?;
            self.delete = Delete::Sent;
            self.at_api = 1;
            return Some(Item {
                content: Content::Delete(reason),
                sequence: self.sequence,
                since,
            });
        }
        None
    }

    /// Returns true if [`Order::next`] would return something.
    pub(crate) fn has_next(&self, at_once: u16) -> bool {
        self.queue.is_some() && self.has_turn(at_once) || self.is_delete_due()
    }

    fn has_turn(&self, at_once: u16) -> bool {
        self.at_api < at_once && !self.behind
    }

    fn is_delete_due(&self) -> bool {
        self.delete == Delete::Waiting && self.is_quiet() && !self.held
    }

    /// Notes that an item of [`Order::next`] has been answered, or is lost.
    pub(crate) fn done(&mut self) {
        self.at_api -= 1;
        if self.delete == Delete::Sent {
            self.delete = Delete::Done;
        }
    }

    /// Returns true if nothing waits for the API, nor for its response.
    pub(crate) fn is_quiet(&self) -> bool {
        self.at_api == 0 && self.queue.is_none()
    }

    /// Returns true if messages wait for the API, or for its response.
    pub(crate) fn owes_messages(&self) -> bool {
        self.queue.is_some() || self.at_api > 0 && self.delete != Delete::Sent
    }

    /// Returns the number of messages that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.messages.len())
    }

    /// Returns the bytes of the messages that wait.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.bytes)
    }

    /// Returns true if the client is gone and nothing more of it will reach the API.
    pub(crate) fn is_complete(&self) -> bool {
        self.delete == Delete::Done && self.is_quiet()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Message,
        Next,
        Done,
        End(bool),
        Forget,
        Hold(bool),
        Behind(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => Just(Step::Message),
            5 => Just(Step::Next),
            5 => Just(Step::Done),
            1 => any::<bool>().prop_map(Step::End),
            1 => Just(Step::Forget),
            1 => any::<bool>().prop_map(Step::Hold),
            1 => any::<bool>().prop_map(Step::Behind),
        ]
    }

    proptest! {
        /// Messages always go out in their order, at most so many at once, each once. A
        /// DELETE goes last, alone, and once.
        #[test]
        fn messages_keep_their_order_and_delete_comes_last(
            steps in proptest::collection::vec(step(), 0..200),
            at_once in 1u16..5,
        ) {
            let now = Instant::now();
            let mut order = Order::default();
            let (mut put, mut out, mut at_api) = (0u64, 0u64, 0u16);
            let (mut ended, mut deleted, mut is_held, mut is_behind) = (false, false, false, false);
            let mut steps = steps;
            // In the end everything is answered.
            steps.extend([Step::End(true), Step::Hold(false), Step::Behind(false)]);
            for _ in 0..300 {
                steps.extend([Step::Next, Step::Done]);
            }
            for step in steps {
                match step {
                    Step::Message => {
                        order.message(true, Bytes::new(), now);
                        put += u64::from(!ended);
                    }
                    Step::End(told) => {
                        order.end(Bytes::new(), told, now);
                        ended = true;
                    }
                    Step::Forget => order.forget_end(),
                    Step::Hold(held) => {
                        order.hold(held);
                        is_held = held;
                    }
                    Step::Behind(behind) => {
                        order.queue_behind(behind);
                        is_behind = behind;
                    }
                    Step::Done if at_api > 0 => {
                        order.done();
                        at_api -= 1;
                    }
                    Step::Next => {
                        let has_next = order.has_next(at_once);
                        let next = order.next(at_once);
                        prop_assert_eq!(next.is_some(), has_next);
                        if let Some(item) = next {
                            at_api += 1;
                            prop_assert!(at_api <= at_once && !deleted);
                            match item.content {
                                Content::Message { .. } => {
                                    prop_assert!(!is_behind);
                                    out += 1;
                                    prop_assert_eq!(item.sequence, out);
                                }
                                Content::Delete(_) => {
                                    prop_assert!(out == put && at_api == 1 && ended && !is_held);
                                    prop_assert_eq!(item.sequence, put + 1);
                                    deleted = true;
                                }
                            }
                        }
                        prop_assert_eq!(order.owes_messages(), at_api > 0 && !deleted || out < put);
                    }
                    Step::Done => {}
                }
            }
            prop_assert_eq!(out, put);
            prop_assert!(order.is_complete());
        }
    }
}
