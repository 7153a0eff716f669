//! The binary encoding, rule by rule of `docs/protocol.md`, and as a whole under a seeded simulation.

mod beginning;
mod blocks;
mod cancels;
mod control;
mod credit;
mod pair;
mod properties;
mod resume;
mod room;
mod save;
mod simulation;
mod streams;
mod turns;
mod vectors;
