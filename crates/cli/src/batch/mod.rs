//! `fetchway batch`: a list of fetches at a rate, with one line of output for each.
//!
//! `args` are the flags, `files` checks the files that they name, and `show` and `end` print progress and result.
//! `via` connects to relays and reports on them. The run itself is in the crate `fetchway-batch`.

mod args;
mod end;
mod files;
mod resume;
mod show;
mod via;

use std::io;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use fetchway_batch::{
    BatchError, FileRunConfig, FileRunEnd, Input, MAX_STRICT, Performer, Running,
};
use fetchway_node::{Config, Signal, Signals, fdlimit, local_performer};
use fetchway_performers::RelayedHandle;

pub(crate) use args::Args;
use end::{FAILED, INTERRUPTED};
use show::{show, tell};

use crate::common::print_error;
use crate::flags;

/// Number of bad lines that are printed. Further ones are only counted.
const SHOWN_BAD_LINES: u64 = 10;

/// Runs a batch. Prints all errors itself: an exit status of 1 means that items failed.
pub(crate) fn run(args: &Args) -> ExitCode {
    let ended = prepare(args).and_then(|plan| {
        let runtime = runtime(args)?;
        let ended = runtime.block_on(perform(args, plan));
        // A second Ctrl-C leaves tasks behind.
        runtime.shutdown_background();
        ended
    });
    ended.unwrap_or_else(|error| {
        print_error(&error);
        ExitCode::from(FAILED)
    })
}

/// Returns the runtime of a batch. At full speed, one core is left to the threads that read and write, because
/// workers that wait less for each other take less CPU. With a rate, a worker must be free when a slot is due.
fn runtime(args: &Args) -> io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if args.rate().is_none() && !args.adaptive {
        let cores = std::thread::available_parallelism()?.get();
        builder.worker_threads(cores.saturating_sub(1).max(1));
    }
    builder.enable_all().build()
}

/// A run that is about to begin. The output is not open yet, so that an error before the start creates no output.
struct Plan {
    config: Config,
    run: FileRunConfig,
    input: Input,
}

/// Checks the flags and the files that they name, and opens the input.
fn prepare(args: &Args) -> anyhow::Result<Plan> {
    let mut layers = flags::read(args.config.as_deref());
    if !args.allow_net.is_empty() {
        layers = layers.flag("--allow-net", "guard.allow-net", args.allow_net.clone());
    }
    let config = flags::set(layers, &args.set)?.load()?.config;
    let files = fdlimit::raise().context("the limit of open files can't be read")?;
    if files < args.concurrency() as u64 + 64 {
        tell(&format!(
            "at most {files} files can be open at once, but {} fetches may need one each: raise the limit \
             (`ulimit -n`) or lower --concurrency",
            args.concurrency()
        ));
    }
    files::must_differ(args)?;
    if args.strict {
        match args.rate() {
            None => bail!("--strict needs a rate: give --rate a number, or leave out --strict"),
            Some(rate) if rate.count > MAX_STRICT => bail!(
                "with --strict, a window has at most {MAX_STRICT} requests: choose a lower rate or a shorter window"
            ),
            Some(_) => {}
        }
    }
    via::check(args)?;
    let run = args.file_run(&config);
    let input = run.open_input()?;
    files::must_be_writable(args)?;
    Ok(Plan { config, run, input })
}

/// Runs a plan with an engine in this process, or through relays.
async fn perform(args: &Args, plan: Plan) -> anyhow::Result<ExitCode> {
    if args.via.is_empty() {
        let timeout = args.timeout.map(|timeout| timeout.0);
        let performer = local_performer(&plan.config, args.concurrency(), timeout)?;
        return drive(args, plan, performer, None).await;
    }
    let performer = via::connect(args, &plan.config).await?;
    let relays = performer.handle();
    drive(args, plan, performer, Some(relays)).await
}

/// Runs a plan, shows its progress, and prints its end.
async fn drive(
    args: &Args,
    plan: Plan,
    performer: impl Performer,
    relays: Option<RelayedHandle>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new().context("signals can't be listened for")?;
    let on_found = |found: &_| tell(&resume::found(found));
    let running = plan.run.start(
        plan.input,
        performer,
        on_found,
        |before, error| match before {
            0..SHOWN_BAD_LINES => tell(&format!("skipped: {}", error.detail)),
            SHOWN_BAD_LINES => tell("further bad lines are skipped, and only counted"),
            _ => {}
        },
    )?;
    let bar = tokio::spawn(show(running.watch().clone(), args.rate()));
    let news = relays.as_ref().map(via::report);
    let ended = until_ended(running, &mut signals, relays.as_ref()).await;
    if let Some(news) = news {
        news.abort();
    }
    bar.abort();
    // The bar must be gone before anything else is printed.
    let _cancelled = bar.await;
    match ended {
        Some(ended) => end::conclude(args, ended?),
        None => {
            tell("stopped at once; fetches in flight are lost");
            end::tell_resume(args);
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// Waits for the end of a run. A first signal stops the run; a second one ends this wait, which then returns
/// `None`.
async fn until_ended(
    running: Running,
    signals: &mut Signals,
    relays: Option<&RelayedHandle>,
) -> Option<Result<FileRunEnd, BatchError>> {
    let (watch, stop) = (running.watch().clone(), running.stopper());
    let mut ended = std::pin::pin!(running.finished());
    let mut stopped = false;
    loop {
        tokio::select! {
            ended = &mut ended => return Some(ended),
            Signal::Stop = signals.next() => {
                if stopped {
                    return None;
                }
                stopped = true;
                stop();
                // After the run itself, so that fetches that relays return have no outcome.
                if let Some(relays) = relays {
                    relays.stop();
                }
                let flying = match watch.progress().in_flight {
                    1 => "1 fetch".to_owned(),
                    flying => format!("{flying} fetches"),
                };
                tell(&format!(
                    "stopping: {flying} in flight will be finished first; press Ctrl-C again to stop at once"
                ));
            }
        }
    }
}
