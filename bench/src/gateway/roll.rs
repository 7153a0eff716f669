//! Records of each client's messages and pushes. Everything that a client receives is verified here: every byte,
//! and the order.

use anyhow::{Context as _, ensure};

use super::stamp::{Mark, Stamp, Stamps};
use crate::swarm::Seen;

/// One client.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// Number of messages sent; of these, the numbers of messages echoed and of messages reported as lost.
    pub(super) sent: u32,
    pub(super) echoed: u32,
    pub(super) lost: u32,
    /// Number of messages still to be sent.
    pub(super) quota: u32,
    /// Number of pushes that were tried, and the ordinal of the last one received.
    pub(super) tried: u32,
    pub(super) last_push: u32,
    pub(super) accepted: Pushes,
    pub(super) got: Pushes,
    /// True while the client does not read, so that its accepted pushes are not waited for.
    pub(super) slow: bool,
}

/// A set of pushes to one client, in constant space: the number of pushes, and a sum that depends on their
/// ordinals. Ordinals arrive in rising order, so none is counted twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pushes {
    pub(super) count: u32,
    sum: u64,
}

impl Pushes {
    pub(super) fn add(&mut self, ordinal: u32) {
        self.count += 1;
        let mixed = u64::from(ordinal).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        self.sum = self.sum.wrapping_add(mixed ^ mixed >> 29);
    }
}

/// Result of a client's oldest outstanding message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// The message was echoed.
    Back(Stamp),
    /// The gateway reported the message as lost.
    Lost,
}

/// Records of all clients, and the code that verifies their messages.
pub(super) struct Roll {
    pub(super) members: Vec<Member>,
    pub(super) stamps: Stamps,
    /// True if messages are text, not binary.
    text: bool,
    /// Text that the gateway sends in place of an echo when a message is lost; without it, no loss is allowed.
    notice: Option<Box<[u8]>>,
}

impl Roll {
    pub(super) fn new(text: bool) -> Self {
        Self {
            members: Vec::new(),
            stamps: Stamps::new(),
            text,
            notice: None,
        }
    }

    /// Allows lost messages from now on, if the gateway reports them with this text (`on-loss-message`).
    pub(super) fn allow_losses(&mut self, notice: &str) {
        self.notice = Some(notice.as_bytes().into());
    }

    /// Handles an event of a client; returns the result of its message if the event is one.
    pub(super) fn seen(&mut self, member: usize, seen: &Seen<'_>) -> anyhow::Result<Option<Came>> {
        let taken = match seen {
            Seen::Message { text, payload } => self.message(member, *text, payload),
            Seen::Opened => Ok(None),
            Seen::Answer { .. } => Err(anyhow::anyhow!("an HTTP answer arrived on a WebSocket")),
            Seen::Refused(status) => {
                Err(anyhow::anyhow!("the handshake was refused with {status}"))
            }
            Seen::Closed(code) => Err(anyhow::anyhow!("the connection was closed with {code:?}")),
            Seen::Lost(why) => Err(anyhow::anyhow!("the connection was lost: {why}")),
        };
        taken.with_context(|| format!("client {member}"))
    }

    fn message(
        &mut self,
        number: usize,
        text: bool,
        payload: &[u8],
    ) -> anyhow::Result<Option<Came>> {
        let member = self.members.get_mut(number).context("unknown client")?;
        if self.notice.as_deref() == Some(payload) {
            ensure!(
                member.answered() < member.sent,
                "a message was reported as lost, but all {} were already answered",
                member.sent
            );
            member.lost += 1;
            return Ok(Some(Came::Lost));
        }
        let stamp = self
            .stamps
            .read(payload)
            .context("the received payload is wrong")?;
        ensure!(
            stamp.member as usize == number,
            "the payload belongs to client {}",
            stamp.member
        );
        match stamp.mark {
            Mark::Message => {
                ensure!(
                    stamp.ordinal == member.answered() && stamp.ordinal < member.sent,
                    "message {} was echoed after {} of {}: out of order, lost or twice",
                    stamp.ordinal,
                    member.answered(),
                    member.sent
                );
                ensure!(
                    text == self.text,
                    "a message was echoed in the other type of frame"
                );
                member.echoed += 1;
                Ok(Some(Came::Back(stamp)))
            }
            Mark::Push => {
                ensure!(
                    stamp.ordinal > member.last_push,
                    "push {} arrived after push {}",
                    stamp.ordinal,
                    member.last_push
                );
                member.last_push = stamp.ordinal;
                member.got.add(stamp.ordinal);
                Ok(None)
            }
        }
    }

    /// Returns true once every client, except slow ones, has received the pushes that were accepted for it.
    pub(super) fn has_all_pushes(&self) -> bool {
        self.members
            .iter()
            .all(|member| member.slow || member.got.count >= member.accepted.count)
    }

    /// Writes the next message of a client; returns whether it is text, and the payload.
    pub(super) fn next(&mut self, number: usize, size: usize) -> (bool, &[u8]) {
        let member = &mut self.members[number];
        let ordinal = member.sent;
        member.sent += 1;
        let text = self.text;
        let payload = self
            .stamps
            .write(Mark::Message, number as u32, ordinal, size);
        (text, payload)
    }

    /// Fails unless every message was answered, and every client has received exactly the pushes that were accepted.
    pub(super) fn ensure_complete(&self) -> anyhow::Result<()> {
        for (number, member) in self.members.iter().enumerate() {
            ensure!(
                member.sent == member.answered(),
                "client {number} sent {} messages; {} were echoed, {} were lost",
                member.sent,
                member.echoed,
                member.lost
            );
            ensure!(
                member.got == member.accepted,
                "{} pushes to client {number} were accepted, but it received {}, or other ones",
                member.accepted.count,
                member.got.count
            );
        }
        Ok(())
    }
}

impl Member {
    /// Number of messages with a known result.
    fn answered(&self) -> u32 {
        self.echoed + self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_pushes_tells_which_they_were() {
        let of = |ordinals: &[u32]| {
            let mut pushes = Pushes::default();
            ordinals.iter().for_each(|ordinal| pushes.add(*ordinal));
            pushes
        };
        assert_eq!(of(&[1, 2, 9]), of(&[9, 1, 2]));
        for other in [&[1, 2][..], &[1, 2, 8], &[1, 3, 8], &[2, 3, 7], &[1, 1, 10]] {
            assert_ne!(of(&[1, 2, 9]), of(other));
        }
    }

    #[test]
    fn a_loss_counts_in_its_place_and_only_where_it_may_be() {
        let mut roll = Roll::new(true);
        roll.members.push(Member::default());
        let message = |payload: &[u8], roll: &mut Roll| {
            let text = true;
            roll.seen(0, &Seen::Message { text, payload })
        };
        let sent: Vec<Vec<u8>> = (0..3).map(|_| roll.next(0, 64).1.to_vec()).collect();
        assert!(
            message(b"lost", &mut roll).is_err(),
            "losses are not allowed yet"
        );
        roll.allow_losses("lost");
        assert!(matches!(
            message(&sent[0], &mut roll),
            Ok(Some(Came::Back(_)))
        ));
        assert!(message(&sent[2], &mut roll).is_err(), "one was skipped");
        assert_eq!(
            message(b"lost", &mut roll).expect("allowed"),
            Some(Came::Lost)
        );
        assert!(matches!(
            message(&sent[2], &mut roll),
            Ok(Some(Came::Back(_)))
        ));
        assert!(message(b"lost", &mut roll).is_err(), "all were answered");
        roll.ensure_complete().expect("all were answered");
    }
}
