//! The rules by which connections with one id follow each other at the API.
//!
//! A plain API knows ids only: a DELETE that came after the GET of a reconnect would unregister the
//! client that is there. So, unless the API knows epochs:
//! - the DELETE of a connection that has a successor is not sent;
//! - while a successor is being asked for, the DELETE waits for the answer;
//! - a successor is asked for only when no DELETE of its id is on its way;
//! - a DELETE waits until all messages of other connections that have ended are delivered.
//!
//! With `duplicate = "replace"` a successor's messages wait for those as well: it is the same client.

use std::sync::Arc;

use super::connection::Connection;
use crate::config::{Config, Duplicate};

/// The state of all connections with one id together.
#[derive(Default)]
struct Summary {
    /// The greatest epoch of those whose DELETE waits or is at the API.
    last_told: u64,
    /// The API has accepted one that is still there.
    stays: bool,
    /// The API is being asked for one.
    asks: bool,
    /// Number of connections that have ended before the API has heard all of their messages.
    owing: usize,
    /// The least epoch of those.
    oldest_owing: u64,
}

/// The parts that one connection owed the API when it was added to the summary.
#[derive(Clone, Copy)]
struct Owed {
    delete: bool,
    messages: bool,
}

impl Summary {
    fn add(&mut self, connection: &Connection) -> Owed {
        let state = connection.lock();
        let ended = state.order.has_ended();
        let owed = Owed {
            delete: state.order.owes_delete(),
            messages: ended && state.order.owes_messages(),
        };
        if owed.delete || state.order.is_deleting() {
            self.last_told = self.last_told.max(connection.epoch);
        }
        self.stays |= !ended && state.is_counted;
        self.asks |= !ended && !state.is_counted;
        if owed.messages {
            self.oldest_owing = match self.owing {
                0 => connection.epoch,
                _ => self.oldest_owing.min(connection.epoch),
            };
            self.owing += 1;
        }
        owed
    }
}

/// Decides what the API hears of the ends of all connections with one id, and which messages wait.
///
/// To be called again when one of them has ended, or has delivered its last message.
pub(crate) fn decide(connections: &[Arc<Connection>], config: &Config) {
    // One pass to see and one to decide: an id may have thousands.
    let mut all = Summary::default();
    let owed: Vec<Owed> = connections.iter().map(|c| all.add(c)).collect();
    for (connection, owed) in connections.iter().zip(owed) {
        let order = &mut connection.lock().order;
        if owed.delete && !config.epochs {
            if all.stays || all.last_told > connection.epoch {
                order.forget_end();
            }
            let others_owe = all.owing > usize::from(owed.messages);
            order.hold(all.asks || others_owe);
        }
        // To an API that knows ids only these are one client's messages.
        let is_behind = all.owing > 0 && all.oldest_owing < connection.epoch;
        order.queue_behind(is_behind && config.duplicate != Duplicate::Many);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use bytes::Bytes;
    use tokio::time::Instant;
    use url::Url;

    use super::*;

    fn accepted(epoch: u64) -> Arc<Connection> {
        let connection = Connection::new("alice", epoch, IpAddr::from([127, 0, 0, 1]), 0);
        connection.lock().is_counted = true;
        Arc::new(connection)
    }

    fn end(connection: &Connection) {
        let order = &mut connection.lock().order;
        order.hold(true);
        order.end(Bytes::new(), true, Instant::now());
    }

    #[test]
    fn the_delete_of_the_last_one_is_sent_when_all_have_ended() {
        let api = Url::parse("http://api/").expect("a URL");
        let config = Config::new("gateway", api);
        let (old, new) = (accepted(1), accepted(2));
        end(&new);
        let both = [old.clone(), new.clone()];
        decide(&both, &config);
        assert!(!new.lock().order.owes_delete(), "the old one has not ended");
        let newest = accepted(3);
        end(&old);
        end(&newest);
        decide(&[old.clone(), newest.clone()], &config);
        assert!(!old.lock().order.owes_delete(), "it has a successor");
        assert!(newest.lock().order.has_next(1));
    }
}
