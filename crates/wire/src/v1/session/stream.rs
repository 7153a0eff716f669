//! One stream: what waits to be sent on it, and how far the peer's half has come.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::{Bytes, BytesMut};

use crate::v1::frame::{MAX_PIECE, Part, Reset};

/// Bytes that a stream may send before it is the next one's turn. The longest frame fits.
const TURN: usize = 16 << 10;

/// What a frame takes of a turn beside its piece: at most its type, length, stream and flags.
const FRAME: usize = TURN - MAX_PIECE;

/// What something that waits takes in memory beside its bytes.
const ITEM_WEIGHT: usize = 256;

/// Something that waits for its turn.
#[derive(Debug)]
pub(super) enum Item {
    Block { part: Part, end: bool, block: Bytes },
    Data(Bytes),
    End,
}

/// Which half of a stream has come how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// Before its head.
    Head,
    /// Between head and end.
    Body,
    /// All has been given to be sent, or has been received.
    Ended,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) send: Send,
    pub(super) receive: Receive,
    /// It stands in the queue of those with something to send.
    pub(super) scheduled: bool,
    /// It stands in the queue of those whose limit is to be told.
    pub(super) telling: bool,
    /// It has ended; it is here only until what was received of it is consumed.
    pub(super) over: bool,
}

#[derive(Debug)]
pub(super) struct Send {
    pub(super) half: Half,
    pub(super) items: VecDeque<Item>,
    /// Bytes of data in `items`, and of blocks.
    pub(super) queued: usize,
    pub(super) blocks: usize,
    /// What is left of its turn. What it did not use, as its next frame was too long, is added to the
    /// turn after.
    pub(super) turn: usize,
    /// Data sent, and what the peer allows.
    pub(super) sent: u64,
    pub(super) limit: u64,
    /// STOP is to be sent.
    pub(super) stop: bool,
    /// RESET is to be sent, and nothing else.
    pub(super) reset: Option<Reset>,
    /// Who waits for room.
    pub(super) waker: Option<Waker>,
    /// It stands in the queue of those that wait for room in the session.
    pub(super) crowded: bool,
}

#[derive(Debug)]
pub(super) struct Receive {
    pub(super) half: Half,
    /// The block under way: what it begins, whether data will follow, and its pieces.
    pub(super) block: Option<(Part, bool, BytesMut)>,
    /// The peer was told to stop: what still comes is dropped.
    pub(super) stopped: bool,
    /// Data received and consumed, and what the peer has been allowed.
    pub(super) received: u64,
    pub(super) consumed: u64,
    pub(super) allowed: u64,
}

impl Stream {
    /// `limit` is what the peer allows at first, `allowed` what it is allowed.
    pub(super) fn new(limit: u64, allowed: u64) -> Self {
        Self {
            send: Send {
                half: Half::Head,
                items: VecDeque::new(),
                queued: 0,
                blocks: 0,
                turn: 0,
                sent: 0,
                limit,
                stop: false,
                reset: None,
                waker: None,
                crowded: false,
            },
            receive: Receive {
                half: Half::Head,
                block: None,
                stopped: false,
                received: 0,
                consumed: 0,
                allowed,
            },
            scheduled: false,
            telling: false,
            over: false,
        }
    }

    /// Puts it in the queue of those with something to send, if it has something that may go.
    pub(super) fn schedule(&mut self, id: u64, ready: &mut VecDeque<u64>) {
        if !self.scheduled && self.can_send() {
            self.scheduled = true;
            self.send.turn = TURN;
            ready.push_back(id);
        }
    }

    /// Puts it back in that queue, if it has more that may go: to its front, as long as its turn lasts
    /// or a block has to be ended. A `piece` of so many bytes has just been sent.
    pub(super) fn go_on(&mut self, id: u64, piece: usize, ready: &mut VecDeque<u64>) {
        if !self.can_send() {
            return;
        }
        self.scheduled = true;
        self.send.turn = self.send.turn.saturating_sub(piece + FRAME);
        if self.is_within_block() || self.next_piece() + FRAME <= self.send.turn {
            ready.push_front(id);
        } else {
            self.send.turn += TURN;
            ready.push_back(id);
        }
    }

    /// Bytes that the next frame carries, if the session lets it.
    fn next_piece(&self) -> usize {
        let send = &self.send;
        let bytes = match send.items.front() {
            None | Some(Item::End) => 0,
            Some(Item::Block { block, .. }) => block.len(),
            Some(Item::Data(bytes)) => {
                let own = usize::try_from(send.limit - send.sent).unwrap_or(usize::MAX);
                bytes.len().min(own)
            }
        };
        bytes.min(MAX_PIECE)
    }

    /// Whether its own limit lets the next item go.
    pub(super) fn can_send(&self) -> bool {
        match self.send.items.front() {
            None => false,
            Some(Item::Data(bytes)) => bytes.is_empty() || self.send.sent < self.send.limit,
            Some(_) => true,
        }
    }

    /// Whether nothing of it has been sent.
    pub(super) fn is_unsent(&self) -> bool {
        let first = self.send.items.front();
        matches!(
            first,
            Some(Item::Block {
                part: Part::Open,
                ..
            })
        )
    }

    /// Whether the pieces of a block are on their way: nothing else of the stream may go between.
    pub(super) fn is_within_block(&self) -> bool {
        let first = self.send.items.front();
        matches!(
            first,
            Some(Item::Block {
                part: Part::Open | Part::More,
                ..
            })
        )
    }

    /// What waits to be sent, in bytes of memory: a piece of one byte takes many.
    pub(super) fn waiting(&self) -> u64 {
        (self.queue() + self.send.blocks) as u64
    }

    /// The same without the bytes of blocks: what its room for more is measured by.
    pub(super) fn queue(&self) -> usize {
        self.send.queued + self.send.items.len() * ITEM_WEIGHT
    }

    /// Drops what waits to be sent.
    pub(super) fn clear(&mut self) {
        self.send.items.clear();
        (self.send.queued, self.send.blocks) = (0, 0);
        self.send.half = Half::Ended;
    }

    /// Drops the body that waits to be sent, and not a block before it that has begun.
    pub(super) fn clear_data(&mut self) {
        let block = self
            .send
            .items
            .pop_front()
            .filter(|item| matches!(item, Item::Block { .. }));
        self.clear();
        if let Some(Item::Block { block, .. }) = &block {
            self.send.blocks = block.len();
        }
        self.send.items.extend(block);
    }

    /// What was received and not consumed.
    pub(super) fn unread(&self) -> u64 {
        self.receive.received - self.receive.consumed
    }
}
