//! A run without a network: every item of an input gets a made-up outcome.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fetchway_batch::{Item, Journal, Options, Outcome, Response, Resume, Source, Timing, Window};
use http::{HeaderMap, StatusCode};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use url::Url;

/// A folder of the test's own, empty.
pub(crate) fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("batch-{test}"));
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => fs::create_dir_all(&folder).unwrap(),
    }
    folder
}

/// A seed, printed: a test that fails shows it.
pub(crate) fn random(seed: u64) -> StdRng {
    println!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

/// An input of so many URLs.
pub(crate) fn input(folder: &Path, count: u64) -> Source {
    let path = folder.join("input.txt");
    let lines = (0..count).map(|n| format!("http://h.example/{n}\n"));
    fs::write(&path, lines.collect::<String>()).unwrap();
    Source::File(path)
}

/// What becomes of an item in the `run`th run: a body of text or of bytes.
pub(crate) fn outcome(item: Item, run: u32, status: u16) -> Outcome {
    let index = item.index;
    let body = match index % 3 {
        0 => Bytes::new(),
        1 => Bytes::from(format!("body of {index}\n").repeat(3)),
        _ => Bytes::copy_from_slice(&[0xff, index as u8]),
    };
    let request = item.request;
    Outcome {
        index,
        depth: item.depth,
        next: None,
        id: item.id,
        fingerprint: item.fingerprint,
        url: item.url,
        result: request.map(|request| Response {
            url: request.url,
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body,
        }),
        attempts: run,
        timing: Timing::default(),
    }
}

pub(crate) fn items(source: &Source) -> Vec<Item> {
    source.open().unwrap().map(Result::unwrap).collect()
}

/// Items in the order in which a run might finish them: each overtakes a few.
pub(crate) fn shuffled(mut items: Vec<Item>, random: &mut StdRng) -> Vec<Item> {
    for at in 0..items.len() {
        let with = (at + random.random_range(0..4)).min(items.len() - 1);
        items.swap(at, with);
    }
    items
}

/// How a test's run is kept in order, if it is.
pub(crate) fn options(ordered: bool) -> Options {
    Options {
        ordered: ordered.then(Window::default),
        ..Options::default()
    }
}

/// Writes outcomes of the items, flushing now and then. Returns, after each flush, the length of the
/// file, and how many lines had been handed over.
pub(crate) fn write(
    mut journal: Journal,
    window: Option<&Window>,
    items: Vec<Item>,
    run: u32,
    path: &Path,
    random: &mut StdRng,
) -> Vec<(u64, u64)> {
    let mut indexes: Vec<u64> = items.iter().map(|item| item.index).collect();
    indexes.sort_unstable();
    for index in indexes {
        assert!(window.is_none_or(|window| window.admit(index)));
    }
    let mut lengths = Vec::new();
    let length = || fs::metadata(path).unwrap().len();
    let mut written = 0;
    for item in items {
        journal.write(&outcome(item, run, 200)).unwrap();
        written += 1;
        if random.random_range(0..2) == 0 {
            journal.flush().unwrap();
            lengths.push((length(), written));
        }
    }
    assert_eq!(journal.finish().unwrap().held_back, 0);
    lengths.push((length(), written));
    lengths
}

/// Resumes and does what is missing. Returns how many items were fetched.
pub(crate) fn resume(source: &Source, path: &Path, ordered: bool, random: &mut StdRng) -> usize {
    let resume = Resume::open(path, false, 0).unwrap();
    resume.check(source).unwrap();
    let options = options(ordered);
    let window = options.ordered.clone();
    let (journal, done) = resume.start(options).unwrap();
    let missing = items(source)
        .into_iter()
        .filter(|it| !done.contains(it.index));
    let missing = shuffled(missing.collect(), random);
    let count = missing.len();
    write(journal, window.as_ref(), missing, 2, path, random);
    count
}

/// The lines of an output, read by decoders that know nothing of frames.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let raw = fs::read(path).unwrap();
    let mut text = String::new();
    match path.extension().and_then(|it| it.to_str()) {
        Some("gz") => {
            let mut decoder = flate2::read::MultiGzDecoder::new(&raw[..]);
            decoder.read_to_string(&mut text).unwrap();
        }
        Some("zst") => text = String::from_utf8(zstd::decode_all(&raw[..]).unwrap()).unwrap(),
        _ => text = String::from_utf8(raw).unwrap(),
    }
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The indexes of an output, in its order.
pub(crate) fn indexes(path: &Path) -> Vec<u64> {
    let of = |line: &Value| line["index"].as_u64().unwrap();
    lines(path).iter().map(of).collect()
}

/// A URL, for outcomes made by hand.
pub(crate) fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}
