//! POSTs in lockstep over HTTP/1.1, directly to an API or through a proxy. The load costs as little as that of
//! the crowd's messages, so that the programs in between can be compared.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{bail, ensure};

use super::crowd::Patience;
use super::stamp::{Mark, Stamps, id};
use super::work::checked;
use crate::Volume;
use crate::load::{Recorder, Run};
use crate::swarm::{Out, Seen, Speaks, Stop, Swarm};

/// Sends POSTs of `size` bytes to `/<id>` on `server`, with one id per connection; each answer must repeat the
/// body.
pub(crate) fn post(
    server: SocketAddr,
    volume: Volume,
    size: usize,
    seed: u64,
    stop: &Stop,
) -> anyhow::Result<Run> {
    ensure!(
        volume.concurrency > 0 && volume.total >= volume.concurrency,
        "each connection must have a request to send"
    );
    let size = checked(size)?;
    let mut swarm = Swarm::new(None, stop)?;
    let mut stamps = Stamps::new();
    let mut patience = Patience::new("opening connections");
    let mut open = 0;
    for place in 0..volume.concurrency {
        swarm.connect(place, server, Speaks::Http, "")?;
    }
    while open < volume.concurrency {
        let before = open;
        swarm.turn(Duration::from_millis(100), |_, seen, _| match seen {
            Seen::Opened => {
                open += 1;
                Ok(())
            }
            other => bail!("{server} cannot be reached: {other:?}"),
        })?;
        patience.check(open > before, || format!("{open} are open"))?;
    }

    let heads: Vec<String> = (0..volume.concurrency)
        .map(|place| {
            format!(
                "POST /{} HTTP/1.1\r\nHost: {server}\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 Content-Length: {size}\r\n\r\n",
                id(seed, place)
            )
        })
        .collect();
    // Number of requests sent on each connection, and number to send.
    let mut sent = vec![0; volume.concurrency];
    let share = |place: usize| ((volume.total + place) / volume.concurrency) as u32;
    let send = |place: usize, ordinal: u32, stamps: &mut Stamps, out: &mut Out| {
        out.raw(heads[place].as_bytes());
        out.raw(stamps.write(Mark::Message, place as u32, ordinal, size));
    };
    let mut recorder = Recorder::start()?;
    let mut patience = Patience::new("sending requests");
    let mut done = 0;
    for place in 0..volume.concurrency {
        swarm.send(place, |out| send(place, 0, &mut stamps, out));
    }
    while done < volume.total {
        let before = done;
        swarm.turn(Duration::from_millis(100), |place, seen, out| {
            let Seen::Answer { status: 200, body } = seen else {
                bail!("a request failed: {seen:?}");
            };
            let stamp = stamps.read(body)?;
            ensure!(
                stamp.member as usize == place && stamp.ordinal == sent[place],
                "an answer belongs to another request"
            );
            recorder.record(stamps.moment(&stamp));
            done += 1;
            sent[place] += 1;
            if sent[place] < share(place) {
                send(place, sent[place], &mut stamps, out);
            }
            Ok(())
        })?;
        patience.check(done > before, || format!("{done} were answered"))?;
    }
    recorder.finish(volume.total)
}
