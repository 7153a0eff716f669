//! The client against a real node, over sockets that are cut.

mod cuts;
mod fetches;
mod killed;
mod proxy;
