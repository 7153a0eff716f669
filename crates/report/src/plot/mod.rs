//! Plots in SVG: `scale` is an axis, `canvas` the drawing.

mod canvas;
mod scale;

pub use canvas::{Axis, Plot};
pub use scale::Scale;
