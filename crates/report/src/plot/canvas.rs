//! A plot in SVG: a frame with two axes, and the drawing within.
//!
//! Sizes are in units of the drawing, 440 wide, which is about the width of a phone: text stays readable there,
//! and a wider screen shows two plots side by side.

use std::fmt::Write as _;

use super::scale::Scale;
use crate::html::escape;

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 258.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 32.0;
const BOTTOM: f64 = 46.0;

/// A plot that is being drawn.
pub struct Plot {
    svg: String,
    x: Scale,
    y: Scale,
}

/// An axis of a plot.
pub struct Axis<'a> {
    /// Scale of the axis.
    pub scale: Scale,
    /// Label of the axis.
    pub label: &'a str,
    /// Writes the number of a tick.
    pub write: &'a dyn Fn(f64) -> String,
}

impl Plot {
    /// A frame with axes; `says` describes the plot for readers who do not see it.
    #[must_use]
    pub fn new(says: &str, x: &Axis<'_>, y: &Axis<'_>) -> Self {
        let mut plot = Self {
            svg: format!(
                "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><title>{}</title>",
                escape(says)
            ),
            x: x.scale,
            y: y.scale,
        };
        for n in y.scale.ticks() {
            let at = plot.y(n);
            plot.line("grid", LEFT, at, WIDTH - RIGHT, at);
            plot.text("end", LEFT - 6.0, at + 4.0, &(y.write)(n));
        }
        for n in x.scale.ticks() {
            let at = plot.x(n);
            plot.line("tick", at, HEIGHT - BOTTOM, at, HEIGHT - BOTTOM + 4.0);
            plot.text("middle", at, HEIGHT - BOTTOM + 19.0, &(x.write)(n));
        }
        plot.text("start", 2.0, 13.0, y.label);
        plot.text(
            "middle",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 6.0,
            x.label,
        );
        plot
    }

    fn x(&self, n: f64) -> f64 {
        LEFT + self.x.at(n) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, n: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.at(n) * (HEIGHT - TOP - BOTTOM)
    }

    /// Writes into the drawing, a string, which cannot fail.
    fn put(&mut self, what: std::fmt::Arguments<'_>) {
        let written = self.svg.write_fmt(what);
        debug_assert!(written.is_ok());
    }

    fn line(&mut self, class: &str, x1: f64, y1: f64, x2: f64, y2: f64) {
        self.put(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    fn text(&mut self, anchor: &str, x: f64, y: f64, text: &str) {
        let text = escape(text);
        self.put(format_args!(
            "<text text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
        ));
    }

    /// Draws steps, each from `from` to `to` at the height of `n`; a gap where `n` is none.
    pub fn steps(&mut self, class: &str, steps: &[(f64, f64, Option<f64>)]) {
        let mut path = String::new();
        let mut drawn = false;
        for (from, to, n) in steps {
            let Some(n) = n else {
                drawn = false;
                continue;
            };
            let (from, to, at) = (self.x(*from), self.x(*to), self.y(*n));
            path += &match drawn {
                true => format!("V{at:.1}H{to:.1}"),
                false => format!("M{from:.1} {at:.1}H{to:.1}"),
            };
            drawn = true;
        }
        self.put(format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
    }

    /// Draws a bar from the bottom up to `n`, which shows `says` when pointed at.
    pub fn bar(&mut self, class: &str, from: f64, to: f64, n: f64, says: &str) {
        if n <= 0.0 {
            return;
        }
        let (from, to, bottom) = (self.x(from), self.x(to), HEIGHT - BOTTOM);
        // Even the smallest bar can be seen.
        let height = (bottom - self.y(n)).max(1.5);
        // A gap between bars that have room for one.
        let gap = if to - from > 4.0 { 1.0 } else { 0.0 };
        let (width, top) = ((to - from - gap).max(0.8), bottom - height);
        let says = escape(says);
        self.put(format_args!(
            "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\"><title>{says}</title></rect>"
        ));
    }

    /// Draws a horizontal line at `n`.
    pub fn level(&mut self, class: &str, n: f64) {
        let at = self.y(n);
        self.line(class, LEFT, at, WIDTH - RIGHT, at);
    }

    /// Draws a vertical line at `n`, with a label in the `row`th row from the top.
    pub fn mark(&mut self, n: f64, row: u8, label: &str) {
        let (at, top) = (self.x(n), TOP + 15.0 * f64::from(row));
        self.line("mark", at, top - 10.0, at, HEIGHT - BOTTOM);
        // Placed where there is room. The label may cross other lines, so it has a rim of the background.
        let left = at < WIDTH - RIGHT - 40.0;
        let (anchor, beside) = if left { ("start", 4.0) } else { ("end", -4.0) };
        self.text(anchor, at + beside, top, label);
    }

    /// Returns the drawing.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.line(
            "axis",
            LEFT,
            HEIGHT - BOTTOM,
            WIDTH - RIGHT,
            HEIGHT - BOTTOM,
        );
        self.svg += "</svg>";
        self.svg
    }
}
