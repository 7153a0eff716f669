//! The flags of `batch`.

use std::path::PathBuf;

use clap::ValueEnum;
use fetchway_batch::{
    BadLines, DEFAULT_RETRIES, Earlier, FileRunConfig, Follow, Output, Range, RunSettings, Source,
    Template,
};
use fetchway_node::Config;
use fetchway_node::config::{DEFAULT, Dur, Pace};
use fetchway_policy::Rate;

use crate::common::one_or_more;

/// Text at the end of `--help`.
const NOTES: &str = "\
The input has one URL per line, or JSON lines {url, method, headers, body|bodyBase64, id, lane}; .gz and \
.zst files are decompressed. The output has one JSON line for each item, and is also the journal: a run \
that was stopped or killed continues with --resume. An item has failed if there is no response, or if \
its status is 400 or above.

Exit status: 0 all items succeeded, 1 some failed, 2 the run itself failed, 130 it was interrupted.

Examples:
  fetchway batch urls.txt --output out.jsonl --rate 5000/s
  fetchway batch --url 'https://h.example/{}' --range 1..1000000 --output out.jsonl.zst --adaptive";

const INPUT: &str = "Input";
const OUTPUT: &str = "Output";
const RATE: &str = "Rate";
const FETCHES: &str = "Fetches";
const PAGES: &str = "Pages";
const RELAYS: &str = "Through relays";
const AGAIN: &str = "Resuming a run";
const AFTER: &str = "Reports";
const CONFIG: &str = "Configuration";

/// Flags of `batch`.
#[derive(clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Args {
    /// File with one URL or JSON object per line, or - for standard input
    #[arg(required_unless_present = "url", conflicts_with = "url")]
    pub(super) input: Option<PathBuf>,
    /// Fetch this URL for each number of --range, with the number in place of {}
    #[arg(long, value_name = "TEMPLATE", requires = "range", help_heading = INPUT)]
    pub(super) url: Option<Template>,
    /// Numbers for --url, such as 1..1000000, including the last one
    #[arg(
        long,
        value_name = "A..B",
        requires = "url",
        help_heading = INPUT,
        allow_hyphen_values = true
    )]
    pub(super) range: Option<Range>,
    /// Handling of lines that are not valid requests
    #[arg(long, value_enum, value_name = "WHAT", default_value = "record", help_heading = INPUT)]
    pub(super) on_bad_line: OnBadLine,
    /// File for the outcomes, or - for standard output; compressed if the name ends in .gz or .zst
    #[arg(long, short, value_name = "FILE", help_heading = OUTPUT)]
    pub(super) output: PathBuf,
    /// Write outcomes in the order of the input, within a window of 65,536 items
    #[arg(long, conflicts_with_all = ["retry_failed", "follow"], help_heading = OUTPUT)]
    pub(super) ordered: bool,
    /// Write response bodies into files of this folder
    #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
    pub(super) bodies: Option<PathBuf>,
    /// Flush every write to disk, so that the output survives a power failure
    #[arg(long, help_heading = OUTPUT)]
    pub(super) sync: bool,
    /// Requests per window, evenly spaced, such as 5000/s or 100/15s [default: unlimited]
    #[arg(long, value_name = "N/WINDOW", help_heading = RATE, allow_hyphen_values = true)]
    pub(super) rate: Option<Pace>,
    /// Never exceed the rate in any window of that length; this lowers the rate by 5 ms per window
    #[arg(long, requires = "rate", help_heading = RATE)]
    pub(super) strict: bool,
    /// Find the highest rate that each origin accepts; --rate is then the maximum of all together
    #[arg(long, help_heading = RATE)]
    pub(super) adaptive: bool,
    /// Maximum number of fetches in flight [default: 1024 with --rate or --adaptive, else 64]
    #[arg(
        long,
        value_name = "N",
        value_parser = one_or_more,
        help_heading = RATE,
        allow_hyphen_values = true
    )]
    pub(super) concurrency: Option<usize>,
    /// Further tries of a failed fetch, if its method allows it
    #[arg(
        long,
        value_name = "N",
        default_value_t = DEFAULT_RETRIES,
        help_heading = FETCHES,
        allow_hyphen_values = true
    )]
    pub(super) retries: u32,
    /// Longest time of one try, such as 30s [default: 15m, from the lane]
    #[arg(
        long,
        value_name = "TIME",
        value_parser = some_time,
        help_heading = FETCHES,
        allow_hyphen_values = true
    )]
    pub(super) timeout: Option<Dur>,
    /// Allow fetches to this private network, such as 10.0.0.0/8; may be repeated
    #[arg(long, value_name = "CIDR", help_heading = FETCHES)]
    pub(super) allow_net: Vec<String>,
    /// Also fetch the next page that a response names: link:RELATION, such as link:next, for a Link field,
    /// or json:POINTER, such as json:/next, for a JSON body
    #[arg(long, value_name = "WHERE", help_heading = PAGES)]
    pub(super) follow: Option<Follow>,
    /// Maximum number of pages followed from one item
    #[arg(
        long,
        value_name = "N",
        requires = "follow",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = PAGES,
        allow_hyphen_values = true
    )]
    pub(super) follow_most: u32,
    /// Send the fetches through this relay, ws://HOST:PORT or wss://HOST:PORT; may be repeated
    #[arg(long, value_name = "RELAY", help_heading = RELAYS)]
    pub(super) via: Vec<String>,
    /// File with the token of the relays
    #[arg(long, value_name = "FILE", requires = "via", help_heading = RELAYS)]
    pub(super) token_file: Option<PathBuf>,
    /// Resume the run that began this output: fetch the items that it does not have
    #[arg(long, help_heading = AGAIN)]
    pub(super) resume: bool,
    /// Resume, and also fetch failed items again
    #[arg(long, help_heading = AGAIN)]
    pub(super) retry_failed: bool,
    /// Write an HTML page with plots of the run
    #[arg(long, value_name = "FILE", help_heading = AFTER)]
    pub(super) report: Option<PathBuf>,
    /// Write the summary as JSON
    #[arg(long, value_name = "FILE", help_heading = AFTER)]
    pub(super) summary: Option<PathBuf>,
    /// Write the time at which each request is handed to its connection: microseconds since 1970, one
    /// per line
    #[arg(long, value_name = "FILE", help_heading = AFTER)]
    pub(super) dispatch_log: Option<PathBuf>,
    /// Configuration file (TOML), as for `serve`: lanes, limits of origins, guard, certificates
    #[arg(long, value_name = "FILE", env = "FETCHWAY_CONFIG", help_heading = CONFIG)]
    pub(super) config: Option<PathBuf>,
    /// Set a key of the configuration, such as --set fetch.ca-file=ca.pem; may be repeated
    #[arg(long, value_name = "KEY=VALUE", help_heading = CONFIG)]
    pub(super) set: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OnBadLine {
    /// Read the whole input first, and fetch nothing if there is a bad line
    Stop,
    /// Leave bad lines out
    Skip,
    /// Record bad lines as failed items
    Record,
}

/// Reads a time of more than zero.
fn some_time(text: &str) -> Result<Dur, String> {
    let time: Dur = text.parse().map_err(|error| format!("{error}"))?;
    if time.0.is_zero() {
        return Err("must be more than 0s: give a time such as 30s".to_owned());
    }
    Ok(time)
}

impl From<OnBadLine> for BadLines {
    fn from(choice: OnBadLine) -> Self {
        match choice {
            OnBadLine::Stop => Self::Stop,
            OnBadLine::Skip => Self::Skip,
            OnBadLine::Record => Self::Record,
        }
    }
}

impl Args {
    /// Configuration of the run; pauses and waits are those of the node's configuration.
    pub(super) fn file_run(&self, config: &Config) -> FileRunConfig {
        let lane = config.lanes.get(DEFAULT);
        let retry = lane.map(|lane| lane.to_lane().retry).unwrap_or_default();
        let mut run = self.settings().config(retry, config.fetch.retry_after_cap);
        run.follow.clone_from(&self.follow);
        run.follow_most = self.follow_most;
        FileRunConfig {
            source: self.source(),
            bad_lines: self.on_bad_line.into(),
            output: match self.to_stdout() {
                true => Output::Stdout,
                false => Output::File(self.output.clone()),
            },
            earlier: match (self.retry_failed, self.resume) {
                (true, _) => Earlier::RetryFailed,
                (false, true) => Earlier::Resume,
                (false, false) => Earlier::Refuse,
            },
            ordered: self.ordered,
            bodies: self.bodies.clone(),
            sync: self.sync,
            dispatch_log: self.dispatch_log.clone(),
            run,
        }
    }

    fn settings(&self) -> RunSettings {
        RunSettings {
            rate: self.rate(),
            strict: self.strict,
            adaptive: self.adaptive,
            concurrency: self.concurrency,
            retries: self.retries,
        }
    }

    /// Rate of the run; `None` means as fast as possible.
    pub(super) fn rate(&self) -> Option<Rate> {
        self.rate.and_then(|pace| pace.0)
    }

    /// Maximum number of fetches in flight.
    pub(super) fn concurrency(&self) -> usize {
        self.settings().concurrency()
    }

    /// Source of the items.
    pub(super) fn source(&self) -> Source {
        match (&self.input, &self.url, self.range) {
            (_, Some(template), Some(range)) => Source::Range(template.clone(), range),
            (Some(path), ..) if path.as_os_str() != "-" => Source::File(path.clone()),
            _ => Source::Stdin,
        }
    }

    /// Returns true if the output is standard output.
    pub(super) fn to_stdout(&self) -> bool {
        self.output.as_os_str() == "-"
    }
}
