//! What each client has sent and got. Whatever comes is verified here: to the byte, and to its place.

use anyhow::{Context as _, ensure};

use super::stamp::{Mark, Stamp, Stamps};
use crate::swarm::Seen;

/// One client.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// Messages sent, and of them those that came back and those of which the gateway said that they
    /// are lost; each in its place.
    pub(super) sent: u32,
    pub(super) echoed: u32,
    pub(super) lost: u32,
    /// Messages it has still to send.
    pub(super) quota: u32,
    /// Pushes to it that were tried, and the ordinal of the last that it got.
    pub(super) tried: u32,
    pub(super) last_push: u32,
    pub(super) accepted: Pushes,
    pub(super) got: Pushes,
    /// It reads nothing now, so nobody waits until it has got what was accepted.
    pub(super) slow: bool,
}

/// A set of pushes to one client, in so many bytes: how many, and a sum that is another one for other
/// ordinals. Since ordinals come in rising order, none is in it twice.
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

/// What has become of a client's next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It came back.
    Back(Stamp),
    /// The gateway says that it is lost.
    Lost,
}

/// The members, and what verifies their messages.
pub(super) struct Roll {
    pub(super) members: Vec<Member>,
    pub(super) stamps: Stamps,
    /// Messages travel as text.
    text: bool,
    /// What the gateway sends in the place of an echo when a message is lost; none may be without.
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

    /// Messages may be lost from now on, if the gateway says so by this text (`on-loss-message`).
    pub(super) fn allow_losses(&mut self, notice: &str) {
        self.notice = Some(notice.as_bytes().into());
    }

    /// Takes in what a client has seen. Gives what has become of its message, if that is what it saw.
    pub(super) fn seen(&mut self, member: usize, seen: &Seen<'_>) -> anyhow::Result<Option<Came>> {
        let taken = match seen {
            Seen::Message { text, payload } => self.message(member, *text, payload),
            Seen::Opened => Ok(None),
            Seen::Answer { .. } => Err(anyhow::anyhow!("an HTTP answer came over a WebSocket")),
            Seen::Refused(status) => Err(anyhow::anyhow!("it was refused with {status}")),
            Seen::Closed(code) => Err(anyhow::anyhow!("it was closed with {code:?}")),
            Seen::Lost(why) => Err(anyhow::anyhow!("its connection was lost: {why}")),
        };
        taken.with_context(|| format!("client {member}"))
    }

    fn message(
        &mut self,
        number: usize,
        text: bool,
        payload: &[u8],
    ) -> anyhow::Result<Option<Came>> {
        let member = self.members.get_mut(number).context("an unknown client")?;
        if self.notice.as_deref() == Some(payload) {
            ensure!(
                member.answered() < member.sent,
                "a message is said to be lost, and all {} were answered",
                member.sent
            );
            member.lost += 1;
            return Ok(Some(Came::Lost));
        }
        let stamp = self.stamps.read(payload).context("what it got is wrong")?;
        ensure!(
            stamp.member as usize == number,
            "it got what is client {}'s",
            stamp.member
        );
        match stamp.mark {
            Mark::Message => {
                ensure!(
                    stamp.ordinal == member.answered() && stamp.ordinal < member.sent,
                    "message {} came back after {} of {}: out of order, lost or twice",
                    stamp.ordinal,
                    member.answered(),
                    member.sent
                );
                ensure!(
                    text == self.text,
                    "a message came back in the other kind of frame"
                );
                member.echoed += 1;
                Ok(Some(Came::Back(stamp)))
            }
            Mark::Push => {
                ensure!(
                    stamp.ordinal > member.last_push,
                    "push {} came after {}",
                    stamp.ordinal,
                    member.last_push
                );
                member.last_push = stamp.ordinal;
                member.got.add(stamp.ordinal);
                Ok(None)
            }
        }
    }

    /// Whether everyone but the slow has got what was accepted for it.
    pub(super) fn has_all_pushes(&self) -> bool {
        self.members
            .iter()
            .all(|member| member.slow || member.got.count >= member.accepted.count)
    }

    /// The next message of a client.
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

    /// Nothing is under way, nothing is missing, and nothing came that was not accepted.
    pub(super) fn ensure_complete(&self) -> anyhow::Result<()> {
        for (number, member) in self.members.iter().enumerate() {
            ensure!(
                member.sent == member.answered(),
                "client {number} sent {}; {} came back, {} were lost",
                member.sent,
                member.echoed,
                member.lost
            );
            ensure!(
                member.got == member.accepted,
                "{} pushes to client {number} were accepted, and it got {}, or other ones",
                member.accepted.count,
                member.got.count
            );
        }
        Ok(())
    }
}

impl Member {
    /// Messages whose fate is known.
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
        assert!(message(b"lost", &mut roll).is_err(), "none may be lost yet");
        roll.allow_losses("lost");
        assert!(matches!(
            message(&sent[0], &mut roll),
            Ok(Some(Came::Back(_)))
        ));
        assert!(message(&sent[2], &mut roll).is_err(), "one was passed over");
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
