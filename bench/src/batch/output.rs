//! Reading a batch's output: each item must occur once, with the correct body; and its times.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use hdrhistogram::Histogram;
use serde::Deserialize;

/// Figures from all lines of an output.
pub(crate) struct Output {
    /// Microseconds by which each item was sent late.
    pub(crate) late: Histogram<u64>,
    /// Microseconds from the scheduled time of an item to the end of its answer.
    pub(crate) latency: Histogram<u64>,
    /// Microseconds from the sending of the last request to the end of the last answer.
    pub(crate) last_answer: u64,
    /// Total number of attempts.
    pub(crate) attempts: u64,
    /// Indexes of the items, in the order of the lines.
    pub(crate) order: Vec<u32>,
}

#[derive(Deserialize)]
struct Line<'a> {
    index: u32,
    #[serde(borrow)]
    url: Cow<'a, str>,
    status: u16,
    #[serde(borrow, default)]
    body: Cow<'a, str>,
    attempts: u64,
    timing: Timing,
}

/// Times of an item in milliseconds since the Unix epoch, exact to three decimals. The first two are missing
/// for an item that was never sent.
#[derive(Deserialize)]
struct Timing {
    #[serde(default)]
    scheduled: f64,
    #[serde(default)]
    sent: f64,
    end: f64,
}

impl Output {
    /// Reads the lines of `path`, plain, .gz or .zst. Fails unless it contains `items` items, each once and
    /// with the body for the number at the end of its URL.
    pub(crate) fn read(path: &Path, items: u32) -> anyhow::Result<Self> {
        let mut lines = Lines::new(items)?;
        for_each_line(path, |line| lines.add(line))?;
        lines.end().with_context(|| path.display().to_string())
    }
}

/// Collects the lines of an output.
pub(super) struct Lines {
    output: Output,
    seen: Vec<bool>,
    last_sent: u64,
    last_end: u64,
}

impl Lines {
    pub(super) fn new(items: u32) -> anyhow::Result<Self> {
        Ok(Self {
            output: Output {
                late: Histogram::new(3)?,
                latency: Histogram::new(3)?,
                last_answer: 0,
                attempts: 0,
                order: Vec::with_capacity(items as usize),
            },
            seen: vec![false; items as usize],
            last_sent: 0,
            last_end: 0,
        })
    }

    /// Adds a line; fails if it is not a correct outcome.
    pub(super) fn add(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let line: Line<'_> = serde_json::from_slice(line).context("not an outcome")?;
        check(&line)?;
        let timing = &line.timing;
        let times = [timing.scheduled, timing.sent, timing.end].map(micros);
        self.count(line.index, line.attempts, times)
    }

    /// Counts an item whose answer has been verified; the times are microseconds since the Unix epoch.
    pub(super) fn count(
        &mut self,
        index: u32,
        attempts: u64,
        [scheduled, sent, end]: [u64; 3],
    ) -> anyhow::Result<()> {
        let seen = self.seen.get_mut(index as usize);
        let seen = seen.with_context(|| format!("unknown item {index}"))?;
        ensure!(!std::mem::replace(seen, true), "item {index} occurs twice");
        let output = &mut self.output;
        output.late.record(sent.saturating_sub(scheduled))?;
        output.latency.record(end.saturating_sub(scheduled))?;
        self.last_sent = self.last_sent.max(sent);
        self.last_end = self.last_end.max(end);
        output.attempts += attempts;
        output.order.push(index);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.output.order.len()
    }

    /// Returns the figures; fails unless every item has occurred.
    pub(super) fn end(mut self) -> anyhow::Result<Output> {
        let (lines, items) = (self.len(), self.seen.len());
        ensure!(lines == items, "{lines} lines for {items} items");
        self.output.last_answer = self.last_end - self.last_sent;
        Ok(self.output)
    }
}

fn check(line: &Line<'_>) -> anyhow::Result<()> {
    let (index, status) = (line.index, line.status);
    ensure!(status == 200, "item {index} has status {status}");
    let number = line.url.rsplit('/').next().and_then(|it| it.parse().ok());
    let number = number.with_context(|| format!("{} does not end with a number", line.url))?;
    fetchway_test_origins::verify(number, line.body.as_bytes()).map_err(anyhow::Error::msg)
}

fn micros(millis: f64) -> u64 {
    (millis * 1_000.0).round() as u64
}

fn for_each_line(
    path: &Path,
    mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("{shown} cannot be read"))?;
    let mut lines: Box<dyn BufRead> = match path.extension().and_then(|it| it.to_str()) {
        Some("gz") => Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(file))),
        Some("zst") => Box::new(BufReader::new(zstd::Decoder::new(file)?)),
        _ => Box::new(BufReader::with_capacity(1 << 20, file)),
    };
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = lines.read_until(b'\n', &mut line);
        if read.with_context(|| format!("{shown} is damaged"))? == 0 {
            break;
        }
        if line.pop() != Some(b'\n') {
            bail!("the last line of {shown}, {number}, is incomplete");
        }
        each(&line).with_context(|| format!("line {number} of {shown}"))?;
    }
    Ok(())
}

/// Times of a dispatch log, sorted.
pub(crate) fn dispatches(path: &Path) -> anyhow::Result<Vec<u64>> {
    let mut times = Vec::new();
    for_each_line(path, |line| {
        let time = std::str::from_utf8(line)?.parse();
        times.push(time.context("not a time")?);
        Ok(())
    })?;
    times.sort_unstable();
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Folder;

    fn line(index: u32, body: &[u8]) -> String {
        let body = String::from_utf8(body.to_vec())
            .expect("text")
            .replace('\n', "\\n");
        format!(
            "{{\"index\":{index},\"url\":\"http://h/item/{index}\",\"status\":200,\"body\":\"{body}\",\
             \"attempts\":1,\"timing\":{{\"scheduled\":1764000000000.001,\"sent\":1764000000001.020,\
             \"end\":1764000000002.300}},\"fingerprint\":\"0123456789abcdef\"}}\n"
        )
    }

    fn read(lines: &str) -> Result<Output, String> {
        let folder = Folder::new().expect("a folder");
        let path = folder.path().join("out.jsonl");
        std::fs::write(&path, lines).expect("written");
        Output::read(&path, 2).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_whole_output_is_read_with_its_times() {
        let body = |index| fetchway_test_origins::expected_body(index, 20);
        let lines = line(1, &body(1)) + &line(0, &body(0));
        let output = read(&lines).expect("a correct output");
        assert_eq!((output.order, output.last_answer), (vec![1, 0], 1_280));
        assert_eq!((output.late.max(), output.attempts), (1_019, 2));
    }

    #[test]
    fn whatever_is_wrong_is_found() {
        let right = |index| {
            line(
                index,
                &fetchway_test_origins::expected_body(index.into(), 20),
            )
        };
        for (lines, why) in [
            (right(0), "1 lines for 2 items"),
            (right(0) + &right(0), "item 0 occurs twice"),
            (right(0) + &right(2), "unknown item 2"),
            (right(0) + right(1).trim_end(), "incomplete"),
            (right(0) + &right(1).replace("200", "204"), "status 204"),
            (right(0) + &line(1, b"req=1"), "no first line"),
        ] {
            let error = read(&lines).err().expect("a wrong output");
            assert!(error.contains(why), "{error}");
        }
    }
}
