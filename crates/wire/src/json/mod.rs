//! The JSON encoding. `request` and `answer` are the relay's side, `client` is the client's side, and
//! `text` writes the JSON values that both use.

mod answer;
mod client;
mod id;
mod request;
pub mod text;

pub use answer::{Answer, Encoder, Outcome, Timing};
pub use client::{ClientLine, ClientOutcome, ClientRequest, ClientResponse, ClientTiming};
pub use id::Id;
pub use request::{
    FetchMessage, MAX_FIELDS, MAX_ID, Message, Refusal, decode_item, decode_request,
};
