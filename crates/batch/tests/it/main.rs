//! Runs with a performer that does what a test says, on a clock that stands still while all wait: what
//! takes seconds here takes none, and is the same each time.

mod adaptive;
mod fake;
mod flow;
mod follow;
mod pace;
