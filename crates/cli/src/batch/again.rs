//! The command that goes on with a run: the one that began it, and `--resume` or `--retry-failed`.

use std::ffi::OsString;

/// `args` as they were given, for a shell, and `how` to go on; how the run itself went on goes.
pub(super) fn command(args: impl Iterator<Item = OsString>, how: &str) -> String {
    let args = args.map(|arg| arg.to_string_lossy().into_owned());
    let mut words: Vec<String> = args
        .filter(|arg| arg != "--resume" && arg != "--retry-failed")
        .map(|arg| quoted(&arg))
        .collect();
    words.push(how.to_owned());
    words.join(" ")
}

/// One word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
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
}
