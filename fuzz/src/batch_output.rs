//! The output file of a batch, after a crash or other damage.

use std::path::Path;

use fetchway_batch::{Format, Found, BatchError};

/// For any bytes, the complete part is a valid output by itself. It has the same lines, except for
/// those of an unfinished frame, and no line of it is incomplete.
///
/// The first byte selects the format.
pub fn batch_output(input: &[u8]) {
    let Some((choice, output)) = input.split_first() else {
        return;
    };
    let format = [Format::Plain, Format::Gzip, Format::Zstd][usize::from(choice % 3)];
    let Ok(found) = read(output, format) else {
        return;
    };
    assert_eq!(found.whole + found.torn, output.len() as u64);
    assert!(found.failed <= found.lines);
    let whole = usize::try_from(found.whole).expect("it is in memory");
    let again = read(&output[..whole], format).expect("what is whole can be read");
    assert_eq!(again.torn, 0, "what was cut off is still there");
    assert_eq!((again.lines + found.open, again.open), (found.lines, 0));
    assert!(found.pages + found.to_come <= found.lines);
    if found.open == 0 {
        assert_eq!(again.failed, found.failed);
        assert_eq!((again.pages, again.to_come), (found.pages, found.to_come));
    }
}

fn read(output: &[u8], format: Format) -> Result<Found, BatchError> {
    Found::of(output, output.len() as u64, format, Path::new("output"))
}
