//! The command that resumes a run, and the message about the run that is resumed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use fetchway_batch::Found;
use fetchway_report::{counted, grouped};

/// Returns the command line `args` for a shell, with `how` (`--resume` or `--retry-failed`) in place of the flag
/// with which the run itself was resumed.
pub(super) fn command(args: impl Iterator<Item = OsString>, how: &str) -> String {
    let mut args: Vec<OsString> = args
        .filter(|arg| arg != "--resume" && arg != "--retry-failed")
        .collect();
    // Behind this there are no flags.
    let flags = args.iter().position(|arg| arg == "--");
    args.insert(flags.unwrap_or(args.len()), how.into());
    let words: Vec<String> = args.iter().map(|arg| quoted(arg)).collect();
    words.join(" ")
}

/// Quotes one word for a shell.
fn quoted(word: &OsStr) -> String {
    let Some(word) = word.to_str() else {
        // POSIX has this since 2024, and bash and zsh had it long before.
        let byte = |byte: &u8| match byte {
            b'\'' | b'\\' | 0..=0x1f | 0x7f.. => format!("\\{byte:03o}"),
            byte => char::from(*byte).to_string(),
        };
        return format!(
            "$'{}'",
            word.as_bytes().iter().map(byte).collect::<String>()
        );
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Describes the output of an earlier run, and what happens to it.
pub(super) fn found(found: &Found) -> String {
    let done = found.lines - found.again;
    let (are, pages) = match (done, found.pages) {
        (1, 0) => ("is", ""),
        (_, 0) => ("are", ""),
        _ => ("are", " and pages"),
    };
    let done = counted(done, "item");
    let mut says = format!("resuming after {done}{pages} that {are} done");
    if found.again > 0 {
        let are = if found.again == 1 { "is" } else { "are" };
        let again = grouped(found.again);
        says += &format!("; {again} that failed {are} fetched again");
    }
    if found.to_come > 0 {
        let items = counted(found.to_come, "item");
        says += &format!("; pages of {items} are to come");
    }
    let torn = counted(found.torn, "byte");
    if found.open > 0 {
        let lines = counted(found.open, "whole line");
        says += &format!("; the last {torn} were not finished, and {lines} of them written again");
    } else if found.torn > 0 {
        says += &format!("; the last {torn}, from where a line is not whole, are cut off");
    }
    says
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_it_as_it_was_given() {
        let args = [
            "fetchway",
            "batch",
            "--url",
            "https://h/{}?a=1&b",
            "--output",
            "it's.jsonl",
            "--resume",
        ];
        let command = command(args.into_iter().map(OsString::from), "--resume");
        let expected =
            r"fetchway batch --url 'https://h/{}?a=1&b' --output 'it'\''s.jsonl' --resume";
        assert_eq!(command, expected);
    }
    #[test]
    fn flags_stay_flags_and_names_are_those_of_the_files() {
        let args = [b"fetchway".as_slice(), b"batch", b"--", b"-it's\xff\\.txt"];
        let args = args.map(|arg| OsStr::from_bytes(arg).to_owned());
        let expected = r"fetchway batch --resume -- $'-it\047s\377\134.txt'";
        assert_eq!(command(args.into_iter(), "--resume"), expected);
    }

    #[test]
    fn what_is_lost_is_told() {
        let found = Found {
            lines: 1,
            torn: 12_345,
            ..Found::default()
        };
        assert_eq!(
            super::found(&found),
            "resuming after 1 item that is done; the last 12,345 bytes, from where a line is not whole, \
             are cut off"
        );
        let found = Found {
            lines: 1_000,
            again: 1,
            pages: 3,
            to_come: 1,
            torn: 400,
            open: 12,
            ..Found::default()
        };
        assert_eq!(
            super::found(&found),
            "resuming after 999 items and pages that are done; 1 that failed is fetched again; pages of \
             1 item are to come; the last 400 bytes were not finished, and 12 whole lines of them written \
             again"
        );
    }
}
