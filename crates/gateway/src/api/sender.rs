//! The way of one reactor's clients to the API: messages go over the reactor's own connections, everything
//! else through the engine, in a task.

use std::sync::Arc;

use fetchway_policy::FetchError;
use http::HeaderValue;
use mio::Registry;

use super::event::{ApiEvent, Finished, Notify};
use super::http1::Http1;
use super::http2::Http2;
use super::item::{Client, Item};
use super::pool::{Pool, TOKEN};
use super::reply::Reply;
use super::send::Api;
use crate::reactor::Readiness;

/// Sends items to the API. What has become of them is taken by [`Sender::next_finished`].
pub(crate) struct Sender<C: Client> {
    api: Arc<Api>,
    reactor: usize,
    notify: Notify<C>,
    connections: Connections<C>,
    /// Items that went through the engine.
    delivered: Vec<Finished<C>>,
}

/// The reactor's own connections. The protocol is chosen here, and only here.
enum Connections<C: Client> {
    /// None, as the API is reached over TLS.
    Engine,
    Http1(Pool<Http1<C>>),
    Http2(Pool<Http2<C>>),
}

/// Calls a method of the pool, if there is one.
macro_rules! each {
    ($sender:expr, $pool:ident => $call:expr, or $none:expr) => {
        match &mut $sender.connections {
            Connections::Engine => $none,
            Connections::Http1($pool) => $call,
            Connections::Http2($pool) => $call,
        }
    };
}

impl<C: Client> Sender<C> {
    /// Prepares the way of a reactor, whose sockets `registry` watches, and which `notify` reaches.
    ///
    /// # Errors
    /// The reason why the API's address is refused.
    pub(crate) fn new(
        api: Arc<Api>,
        reactor: usize,
        registry: Registry,
        notify: Notify<C>,
    ) -> Result<Self, FetchError> {
        let connections = match api.direct(reactor)? {
            None => Connections::Engine,
            Some(direct) if direct.is_h2c() => {
                Connections::Http2(Pool::new(&api, direct, registry, notify.clone()))
            }
            Some(direct) => Connections::Http1(Pool::new(&api, direct, registry, notify.clone())),
        };
        Ok(Self {
            api,
            reactor,
            notify,
            connections,
            delivered: Vec::new(),
        })
    }

    /// Sends an item. `attached`: the value of `Fetchway-State`.
    pub(crate) fn send(&mut self, client: &C, item: Item, attached: Option<HeaderValue>) {
        let sent = match item.is_delete() {
            true => Err(item),
            false => each!(self, pool => pool.send(client, item, attached), or Err(item)),
        };
        if let Err(item) = sent {
            self.send_by_engine(client.clone(), item, false);
        }
    }

    /// Sends an item through the engine. `tried`: only after a pause.
    fn send_by_engine(&self, client: C, item: Item, tried: bool) {
        let (api, reactor, notify) = (self.api.clone(), self.reactor, self.notify.clone());
        // Boxed, as tokio moves a task several times, and this one is some kilobytes.
        tokio::spawn(Box::pin(async move {
            let reply = api.deliver(reactor, &client, &item, tried).await;
            notify(ApiEvent::Finished(Finished {
                client,
                item,
                reply,
            }));
        }));
    }

    /// Takes the next item that has been delivered, or is lost.
    pub(crate) fn next_finished(&mut self) -> Option<Finished<C>> {
        if let Some(finished) = self.delivered.pop() {
            return Some(finished);
        }
        loop {
            let ended = each!(self, pool => pool.next_ended(), or None)?;
            let (client, item) = (ended.client, ended.item);
            let result = ended.result.map(Reply::from);
            if self.api.is_resent(&item, &result) {
                let tried = result.map_or_else(|unanswered| !unanswered.is_unsent, |_| true);
                self.send_by_engine(client, item, tried);
                continue;
            }
            return Some(Finished {
                reply: self.api.given_up(&client, result),
                client,
                item,
            });
        }
    }

    /// Handles what has happened to the socket with this token.
    pub(crate) fn ready(&mut self, token: usize, readiness: Readiness) {
        each!(self, pool => pool.ready((token & !TOKEN) as u32, readiness), or ());
    }

    /// Handles what a task has brought back.
    pub(crate) fn event(&mut self, event: ApiEvent<C>) {
        match event {
            ApiEvent::Dialled(opened) => each!(self, pool => pool.dialled(opened), or ()),
            ApiEvent::Granted(granted) => each!(self, pool => pool.granted(granted), or ()),
            ApiEvent::Finished(finished) => self.delivered.push(finished),
        }
    }

    /// Writes what has gathered in a turn of the reactor.
    pub(crate) fn flush(&mut self) {
        each!(self, pool => pool.flush(), or ());
    }

    /// Returns true if the reactor must not wait.
    pub(crate) fn is_busy(&mut self) -> bool {
        each!(self, pool => pool.is_busy(), or false)
    }

    /// Looks after timeouts.
    pub(crate) fn sweep(&mut self) {
        each!(self, pool => pool.sweep(), or ());
    }
}
