//! The JSON encoding: `request` and `answer` are the relay's side, `client` the other one, `escape`
//! turns bytes into the inside of a JSON string.

mod answer;
mod client;
mod escape;
mod id;
mod request;

pub use answer::{Answer, Encoder, Outcome, Timing};
pub use client::{ClientRequest, ClientResponse};
pub use id::Id;
pub use request::{FetchMessage, MAX_FIELDS, MAX_ID, Message, Refusal, decode_request};
