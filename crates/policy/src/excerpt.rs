//! Text from outside, as an error shows it: quoted, escaped and shortened.

use std::fmt;

/// Maximum number of characters of such text in an error. The rest is replaced by `…`.
const MAX_CHARS: usize = 64;

/// Shows `0` in backquotes, with control characters escaped, so that it cannot forge a log line.
pub(crate) struct Excerpt<'a>(pub(crate) &'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`")?;
        let mut rest = self.0.chars();
        for c in rest.by_ref().take(MAX_CHARS) {
            write!(f, "{}", c.escape_debug())?;
        }
        if rest.next().is_some() {
            f.write_str("…")?;
        }
        f.write_str("`")
    }
}
