//! The state of one stream: the data that waits to be sent, and how much of the peer's half was
//! received.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::{Bytes, BytesMut};

use crate::v1::frame::{MAX_PIECE, Part, Reset};

/// Bytes that a stream may send in one turn. The longest frame fits.
const TURN: usize = 16 << 10;

/// Bytes of a turn that a frame uses beside its piece: at most its type, length, stream and flags.
const FRAME: usize = TURN - MAX_PIECE;

/// Memory that a waiting item takes beside its bytes.
const ITEM_WEIGHT: usize = 256;

/// An item that waits for the stream's turn.
#[derive(Debug)]
pub(super) enum Item {
    Block { part: Part, end: bool, block: Bytes },
    Data(Bytes),
    End,
}

/// Progress of one half of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// The head has not been sent or received.
    Head,
    /// The head has been sent or received, the end has not.
    Body,
    /// Everything has been queued for sending, or has been received.
    Ended,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) send: Send,
    pub(super) receive: Receive,
    /// True if the stream is in the queue of streams with data to send.
    pub(super) scheduled: bool,
    /// True if the stream is in the queue of streams whose limit is to be sent.
    pub(super) limit_queued: bool,
    /// True once the stream has ended. It is kept only until all data received of it is consumed.
    pub(super) ended: bool,
}

#[derive(Debug)]
pub(super) struct Send {
    pub(super) half: Half,
    pub(super) items: VecDeque<Item>,
    /// Bytes of data in `items`, and bytes of blocks in `items`.
    pub(super) queued: usize,
    pub(super) blocks: usize,
    /// Bytes left of the current turn. Bytes that remain unused, because the next frame was too long,
    /// are added to the next turn.
    pub(super) turn: usize,
    /// Bytes of data sent, and the total that the peer allows.
    pub(super) sent: u64,
    pub(super) limit: u64,
    /// True if a STOP is to be sent.
    pub(super) stop: bool,
    /// The RESET to send. Nothing else is sent after it.
    pub(super) reset: Option<Reset>,
    /// The task that waits for room.
    pub(super) waker: Option<Waker>,
    /// True if the stream is in the queue of streams that wait for room in the session.
    pub(super) in_room_queue: bool,
}

#[derive(Debug)]
pub(super) struct Receive {
    pub(super) half: Half,
    /// The unfinished block: its kind, whether the half ends with it, and its pieces so far.
    pub(super) block: Option<(Part, bool, BytesMut)>,
    /// True if the peer was told to stop. Data that still arrives is dropped.
    pub(super) stopped: bool,
    /// Bytes of data received and consumed, and the total that the peer is allowed.
    pub(super) received: u64,
    pub(super) consumed: u64,
    pub(super) allowed: u64,
}

impl Stream {
    /// Creates a stream. `limit` is the peer's first limit for us, `allowed` ours for the peer.
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
                in_room_queue: false,
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
            limit_queued: false,
            ended: false,
        }
    }

    /// Adds the stream to the queue of streams with data to send, if any of its data may be sent.
    pub(super) fn schedule(&mut self, id: u64, ready: &mut VecDeque<u64>) {
        if !self.scheduled && self.can_send() {
            self.scheduled = true;
            self.send.turn = TURN;
            ready.push_back(id);
        }
    }

    /// Returns the stream to the queue after it has sent a piece, if more may be sent. It goes to the
    /// front while its turn lasts or a block is unfinished. `piece` is the length of the piece just
    /// sent.
    pub(super) fn reschedule(&mut self, id: u64, piece: usize, ready: &mut VecDeque<u64>) {
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

    /// Returns the number of bytes in the next frame, if the session's limit allows it.
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

    /// Returns true if the stream's own limit allows the next item.
    pub(super) fn can_send(&self) -> bool {
        match self.send.items.front() {
            None => false,
            Some(Item::Data(bytes)) => bytes.is_empty() || self.send.sent < self.send.limit,
            Some(_) => true,
        }
    }

    /// Returns true if nothing of the stream has been sent.
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

    /// Returns true if a block has been sent in part. No other frame of the stream may be sent before
    /// the block is complete.
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

    /// Returns the memory of the data that waits to be sent, in bytes. A piece of one byte takes many.
    pub(super) fn waiting(&self) -> u64 {
        (self.queue() + self.send.blocks) as u64
    }

    /// Returns [`Stream::waiting`] without the bytes of blocks, which decides whether there is room for
    /// more.
    pub(super) fn queue(&self) -> usize {
        self.send.queued + self.send.items.len() * ITEM_WEIGHT
    }

    /// Drops all data that waits to be sent.
    pub(super) fn clear(&mut self) {
        self.send.items.clear();
        (self.send.queued, self.send.blocks) = (0, 0);
        self.send.half = Half::Ended;
    }

    /// Drops the body that waits to be sent, but not a block that has been sent in part.
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

    /// Returns the number of bytes received and not consumed.
    pub(super) fn unread(&self) -> u64 {
        self.receive.received - self.receive.consumed
    }
}
