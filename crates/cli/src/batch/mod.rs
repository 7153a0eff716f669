//! `fetchway batch`: a list of fetches at a rate, and a line of what became of each.
//!
//! `args` are the flags. `feed` reads the input on a thread, `keep` writes the output on another, and
//! the run between them is the library's. `files` looks at what is named before anything is fetched. `show`
//! is what a person sees meanwhile, `again` the command that goes on with a run, `via` performs fetches
//! through relays, and `lookout` tells of those.

mod again;
mod args;
mod feed;
mod files;
mod keep;
mod lookout;
mod show;
mod via;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, bail};
use fetchway_batch::{
    DoneItems, Found, Handle, Input, Journal, MAX_STRICT, Options, Performer, Progress, Resume,
    RunConfig, Source, Window,
};
use fetchway_node::config::DEFAULT;
use fetchway_node::{Config, LocalFetches, Signal, Signals, fdlimit};
use fetchway_policy::Rate;
use fetchway_report::{About, Summary, counted, page};

pub(crate) use args::Args;
use args::OnBadLine;
use feed::{Account, Choice};
use keep::{Dispatches, Keeper, Kept};
use lookout::Lookout;
use show::{Shown, tell, write_error};
use via::{Relays, Way};

use crate::{complain, flags};

/// The run itself failed.
const FAILED: u8 = 2;
/// It was told to stop, as a shell has it for SIGINT.
const INTERRUPTED: u8 = 130;

/// Runs a batch. All that goes wrong is told here: 1 means that items failed.
pub(crate) fn run(args: &Args) -> ExitCode {
    let ended = prepare(args).and_then(|plan| {
        let runtime = runtime(args)?;
        let ended = runtime.block_on(perform(args, plan));
        // A second Ctrl-C leaves tasks behind.
        runtime.shutdown_background();
        ended
    });
    ended.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::from(FAILED)
    })
}

/// At full speed a core is left to the threads that read and write: workers that wait for each other less
/// take less of it all. A rate needs a worker that is free when a slot is due.
fn runtime(args: &Args) -> io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if args.rate.and_then(|pace| pace.0).is_none() && !args.adaptive {
        let cores = std::thread::available_parallelism()?.get();
        builder.worker_threads(cores.saturating_sub(1).max(1));
    }
    builder.enable_all().build()
}

/// What a run begins with. The output is opened last: what is wrong before leaves none behind.
struct Plan {
    config: Config,
    source: Source,
    input: Input,
}

/// What can be wrong with what is given.
fn prepare(args: &Args) -> anyhow::Result<Plan> {
    let mut layers = flags::read(args.config.as_deref());
    if !args.allow_net.is_empty() {
        layers = layers.flag("--allow-net", "guard.allow-net", args.allow_net.clone());
    }
    let config = flags::set(layers, &args.set)?.load()?.config;
    let files = fdlimit::raise().context("the limit of open files can't be read")?;
    if files < args.concurrency() as u64 + 64 {
        tell(&format!(
            "at most {files} files can be open at once, and {} fetches at once may need one each: \
             raise the limit (`ulimit -n`) or lower --concurrency",
            args.concurrency()
        ));
    }
    files::must_differ(args)?;
    if args.strict && args.rate.is_some_and(|pace| pace.0.is_none()) {
        bail!(
            "--strict holds a rate, and unlimited is none: give --rate a number, or leave --strict out"
        );
    }
    via::check(args)?;
    if let Some(rate) = args.rate.and_then(|pace| pace.0)
        && args.strict
        && rate.count > MAX_STRICT
    {
        bail!(
            "with --strict a window has {MAX_STRICT} requests at most: ask for less, or a shorter window"
        );
    }
    let source = args.source();
    if args.on_bad_line == OnBadLine::Stop {
        source.check()?;
    }
    let input = source.open()?;
    files::must_be_writable(args)?;
    Ok(Plan {
        config,
        source,
        input,
    })
}

fn output(
    args: &Args,
    source: &Source,
    options: Options,
) -> anyhow::Result<(Journal, Option<DoneItems>, Found)> {
    if args.to_stdout() {
        if args.goes_on() {
            bail!(
                "standard output can't be read back, so nothing can be resumed from it: name a file"
            );
        }
        let journal = Journal::stream(Box::new(io::stdout()), options)?;
        return Ok((journal, None, Found::default()));
    }
    if !args.goes_on() {
        let journal = Journal::create(&args.output, options)?;
        return Ok((journal, None, Found::default()));
    }
    let earlier = Resume::following(&args.output, args.retry_failed, args.depth())?;
    earlier.check(source)?;
    let found = earlier.found();
    tell(&again::going_on(&found));
    let (journal, done) = earlier.start(options)?;
    Ok((journal, Some(done), found))
}

fn run_config(args: &Args, config: &Config, dispatches: &Arc<Dispatches>) -> RunConfig {
    let mut run = RunConfig::default();
    let lane = config.lanes.get(DEFAULT);
    run.rate = args.rate.and_then(|pace| pace.0);
    run.strict = args.strict;
    run.adaptive = args.adaptive;
    run.concurrency = args.concurrency();
    run.retry = lane.map(|lane| lane.to_lane().retry).unwrap_or_default();
    run.retry.attempts = args.retries.saturating_add(1);
    run.wait_cap = config.fetch.retry_after_cap.0.0;
    let dispatches = Arc::clone(dispatches);
    run.follow.clone_from(&args.follow);
    run.follow_most = args.follow_most;
    run.on_sent = Some(Arc::new(move |sent| dispatches.add(sent)));
    run
}

async fn perform(args: &Args, plan: Plan) -> anyhow::Result<ExitCode> {
    let timeout = args.timeout.map(|timeout| timeout.0);
    if args.via.is_empty() {
        let performer = LocalFetches::new(&plan.config, args.concurrency(), timeout)?;
        return drive(args, plan, performer, None).await;
    }
    let token = args.token_file.as_ref().map(|path| {
        let text = std::fs::read_to_string(path);
        text.with_context(|| format!("the token file {} can't be read", path.display()))
    });
    let token = token.transpose()?;
    let engine = plan.config.engine_config()?;
    let lane = engine.lanes.iter().find(|(name, _)| name == DEFAULT);
    let cap = lane.map_or(32 << 20, |(_, lane)| lane.response_cap);
    let way = Way {
        relays: &args.via,
        token: token.as_deref().map(str::trim),
        roots: &engine.extra_roots,
        concurrency: args.concurrency(),
        timeout,
        cap: usize::try_from(cap).unwrap_or(usize::MAX),
        budget: usize::try_from(engine.body_budget).unwrap_or(usize::MAX),
    };
    let (performer, lookout) = Relays::connect(&way).await?;
    drive(args, plan, performer, Some(lookout)).await
}

async fn drive(
    args: &Args,
    plan: Plan,
    performer: impl Performer,
    relays: Option<Lookout>,
) -> anyhow::Result<ExitCode> {
    let window = args.ordered.then(Window::default);
    let options = Options {
        bodies: args.bodies.clone(),
        sync: args.sync,
        ordered: window.clone(),
    };
    let (journal, done, earlier) = output(args, &plan.source, options)?;
    let mut signals = Signals::new().context("signals can't be listened for")?;
    let dispatches = Dispatches::new(args.dispatch_log.as_deref())?;
    let config = run_config(args, &plan.config, &dispatches);
    let input = plan.input.progress();
    let before = done.as_ref().map_or(0, DoneItems::len);
    let choice = Choice {
        done,
        skip_bad: args.on_bad_line == OnBadLine::Skip,
        window: window.clone(),
    };
    let (items, account) = feed::start(plan.input, choice)?;
    let (outcomes, handle) = fetchway_batch::run(&config, items, performer);
    let keeper = Keeper::start(outcomes, journal, dispatches, handle.began(), config.rate)?;
    let shown = tokio::spawn(show::show(Shown {
        handle: handle.clone(),
        input,
        target: config.rate.map(Rate::per_second),
        before,
        account: Arc::clone(&account),
    }));
    let told = relays.as_ref().map(Lookout::begin);
    let stop = || {
        handle.stop();
        if let Some(window) = &window {
            window.close();
        }
        // After the run's own stop: what they give back has no outcome then.
        if let Some(relays) = &relays {
            relays.stop();
        }
    };
    let kept = until_over(keeper.finished(), &mut signals, &handle, stop).await;
    if let Some(told) = told {
        told.abort();
    }
    shown.abort();
    // Its bar is gone before anything else is said.
    let _cancelled = shown.await;
    let Some(kept) = kept else {
        tell("stopped at once; what was in flight is lost");
        resume_by(args);
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let kept = kept?;
    let progress = handle.progress();
    let about = About {
        target: config.rate,
        earlier: earlier.lines,
        earlier_failed: earlier.failed,
        adaptive: handle.found_rates(),
        ..about(args, &progress, &account)
    };
    // Failures of an earlier run that stay in the output.
    let failed = progress.failed + earlier.failed - earlier.again;
    conclude(args, &progress, (&about, failed), kept, &account)
}

/// Waits for the last outcome. A first signal stops the run, a second one this wait: then none.
async fn until_over<T>(
    over: impl Future<Output = T>,
    signals: &mut Signals,
    handle: &Handle,
    stop: impl Fn(),
) -> Option<T> {
    let mut over = std::pin::pin!(over);
    let mut stopped = false;
    loop {
        tokio::select! {
            over = &mut over => return Some(over),
            Signal::Stop = signals.next() => {
                if stopped {
                    return None;
                }
                stopped = true;
                stop();
                let flying = match handle.progress().in_flight {
                    1 => "1 fetch".to_owned(),
                    flying => format!("{flying} fetches"),
                };
                tell(&format!(
                    "stopping: {flying} in flight will be finished first; once more stops at once"
                ));
            }
        }
    }
}

fn resume_by(args: &Args) {
    if files::is_resumable(args) {
        let command = again::command(std::env::args_os(), "--resume");
        tell(&format!("to go on: {command}"));
    } else {
        tell("this run can't be resumed: that takes an input and an output that are files");
    }
}

/// What the summary cannot know by itself.
fn about(args: &Args, progress: &Progress, account: &Account) -> About {
    let slipped = progress.slipped.into_iter();
    let shown = |path: &Path| path.display().to_string();
    About {
        input: match args.source() {
            Source::File(path) => shown(&path),
            Source::Stdin => "standard input".to_owned(),
            Source::Range(..) => "a range of URLs".to_owned(),
        },
        output: match args.to_stdout() {
            true => "standard output".to_owned(),
            false => shown(&args.output),
        },
        stopped: progress.stopped,
        skipped: account.skipped.load(Ordering::Relaxed),
        cut: progress.cut,
        wall: progress.elapsed,
        held_up: slipped
            .map(|(cause, slip)| (cause.as_str().to_owned(), slip))
            .collect(),
        ..About::default()
    }
}

/// Says what there is to say at the end, and how the process exits.
fn conclude(
    args: &Args,
    progress: &Progress,
    (about, items_failed): (&About, u64),
    kept: Kept,
    account: &Account,
) -> anyhow::Result<ExitCode> {
    let summary = Summary::new(about.clone(), &kept.sends, &kept.statistics);
    write_error(&summary.text());
    // At full speed the output always takes its share.
    if progress.untaken >= (progress.elapsed / 4).max(Duration::from_millis(100)) {
        let untaken = progress.untaken.as_secs_f64();
        tell(&format!(
            "for {untaken:.1} s fetches waited because the output was too slow"
        ));
    }
    if let Some(path) = &args.summary {
        let json = serde_json::to_string_pretty(&summary)? + "\n";
        let written = std::fs::write(path, json);
        written.with_context(|| format!("the summary {} can't be written", path.display()))?;
    }
    if let Some(path) = &args.report {
        let written = std::fs::write(path, page(&summary));
        written.with_context(|| format!("the report {} can't be written", path.display()))?;
    }
    kept.logged.context("the dispatch log can't be written")?;
    if let Ok(written) = &kept.written
        && written.held_back > 0
    {
        tell(&format!(
            "held back for the order and not written, so fetched again: {}",
            counted(written.held_back as u64, "outcome")
        ));
    }
    let failed = match (kept.written, account.failed.get()) {
        (Err(error), _) => Some(error.to_string()),
        (Ok(_), Some(error)) => Some(error.to_string()),
        (Ok(_), None) => None,
    };
    if let Some(error) = failed {
        tell(&error);
        resume_by(args);
        return Ok(ExitCode::from(FAILED));
    }
    if progress.panicked {
        tell("a task of the run has panicked, which is a fault of fetchway; what was done is kept");
        resume_by(args);
        return Ok(ExitCode::from(FAILED));
    }
    if progress.stopped {
        resume_by(args);
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if items_failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    if files::is_resumable(args) && !args.ordered {
        let command = again::command(std::env::args_os(), "--retry-failed");
        tell(&format!("to fetch again what failed: {command}"));
    }
    Ok(ExitCode::FAILURE)
}
