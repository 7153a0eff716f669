//! The client against a real node, over sockets that are cut.

#![expect(clippy::print_stdout, reason = "seeds and counts are told")]

mod batches;
mod counting;
mod cuts;
mod fetches;
mod killed;
mod proxy;
