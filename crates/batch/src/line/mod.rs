//! An outcome as a line of the output: `encode` writes it, `decode` reads back what is needed to resume.

mod decode;
mod encode;

pub(crate) use decode::{Record, decode, url_of};
pub(crate) use encode::{LineBody, encode};

#[cfg(test)]
mod tests;
