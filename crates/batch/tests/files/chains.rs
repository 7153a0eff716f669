//! Outputs with pages that follow one another: what is to come of each is known when they are resumed.

use std::fs;
use std::path::Path;

use fetchway_batch::{Item, Journal, Options, Outcome, Resume, Source};
use rand::Rng as _;
use serde_json::Value;

use crate::run::{folder, input, items, lines, outcome, random, url};

/// Pages that item N has beside itself.
fn pages(index: u64) -> u32 {
    (index % 4) as u32
}

/// What becomes of a page, or of the item itself: it names the next, if there is one.
fn page(item: Item, run: u32, status: u16) -> Outcome {
    let (index, depth) = (item.index, item.depth);
    let mut outcome = outcome(item, run, status);
    if depth < pages(index) && status == 200 {
        outcome.next = Some(url(&named(index, depth + 1)));
    }
    outcome
}

fn named(index: u64, depth: u32) -> String {
    format!("http://h.example/{index}?page={depth}")
}

/// The item of the page that comes after one.
fn after(item: &Item) -> Option<Item> {
    let depth = item.depth + 1;
    (depth <= pages(item.index)).then(|| Item {
        depth,
        url: named(item.index, depth),
        ..item.clone()
    })
}

/// Writes what is to come, chains through each other, each in its order. Returns how many lines.
fn write(mut journal: Journal, mut due: Vec<Item>, run: u32, seed: u64) -> u64 {
    let mut random = random(seed);
    let mut count = 0;
    while !due.is_empty() {
        let item = due.swap_remove(random.random_range(0..due.len()));
        due.extend(after(&item));
        journal.write(&page(item, run, 200)).unwrap();
        count += 1;
        if random.random_range(0..3) == 0 {
            journal.flush().unwrap();
        }
    }
    journal.finish().unwrap();
    count
}

fn rest(source: &Source, path: &Path, retry: bool, most: u32) -> (Journal, Vec<Item>) {
    let resume = Resume::open(path, retry, most).unwrap();
    resume.check(source).unwrap();
    let (journal, done) = resume.start(Options::default()).unwrap();
    let rest = items(source).into_iter().filter_map(|it| done.next_of(it));
    (journal, rest.collect())
}

fn key(line: &Value) -> (u64, u64) {
    let depth = line["depth"].as_u64();
    (line["index"].as_u64().unwrap(), depth.unwrap_or(0))
}

/// Each page once, after the one before it.
fn assert_complete(path: &Path, count: u64) {
    let keys: Vec<_> = lines(path).iter().map(key).collect();
    for index in 0..count {
        let of = keys.iter().filter(|key| key.0 == index);
        let depths: Vec<u64> = of.map(|key| key.1).collect();
        let expected: Vec<u64> = (0..=u64::from(pages(index))).collect();
        assert_eq!(depths, expected, "item {index}");
    }
}

#[test]
fn an_output_cut_anywhere_goes_on_with_each_chain_where_it_ended() {
    for name in ["out.jsonl", "out.jsonl.gz", "out.jsonl.zst"] {
        let folder = folder(&format!("chains-{name}"));
        let (source, path) = (input(&folder, 6), folder.join(name));
        let journal = Journal::create(&path, Options::default()).unwrap();
        let all = write(journal, items(&source), 1, 31);
        assert_complete(&path, 6);
        let whole = fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let found = Resume::open(&path, false, 3).unwrap().found();
            let (journal, rest) = rest(&source, &path, false, 3);
            let open = rest.iter().filter(|item| item.depth > 0).count();
            assert_eq!(found.to_come, open as u64);
            let written = write(journal, rest, 2, 32);
            assert_eq!(found.lines + written, all, "cut at {cut}");
            assert_complete(&path, 6);
        }
    }
}

/// An output of these lines: of which item, how deep, and with which status.
fn output(folder: &Path, source: &Source, of: &[(u64, u32, u16)]) -> std::path::PathBuf {
    let path = folder.join("out.jsonl");
    let _fresh = fs::remove_file(&path);
    let mut journal = Journal::create(&path, Options::default()).unwrap();
    for (index, depth, status) in of {
        let mut item = items(source).remove(*index as usize);
        item.depth = *depth;
        journal.write(&page(item, 1, *status)).unwrap();
    }
    journal.finish().unwrap();
    path
}

#[test]
fn a_page_that_failed_is_retried_where_it_stands_in_its_chain() {
    let folder = folder("chains-retry");
    let source = input(&folder, 4);
    let of = [
        (0, 0, 200),
        (3, 0, 200),
        (2, 0, 200),
        (2, 1, 503),
        (1, 0, 503),
        (3, 1, 200),
        (3, 2, 404),
    ];
    let path = output(&folder, &source, &of);
    let found = Resume::open(&path, true, 3).unwrap().found();
    assert_eq!((found.lines, found.pages, found.failed), (7, 3, 3));
    assert_eq!((found.again, found.to_come), (3, 2));
    let (journal, due) = rest(&source, &path, true, 3);
    let mut keys: Vec<_> = due.iter().map(|item| (item.index, item.depth)).collect();
    keys.sort_unstable();
    assert_eq!(keys, [(1, 0), (2, 1), (3, 2)]);
    assert_eq!(due[1].url, named(2, 1));
    assert_eq!(
        lines(&path).len(),
        4,
        "whoever is killed now resumes from this"
    );
    write(journal, due, 2, 33);
    assert_complete(&path, 4);
    // Without it, they are at their end.
    let path = output(&folder, &source, &of);
    assert!(rest(&source, &path, false, 3).1.is_empty());
}

#[test]
fn beyond_the_bound_pages_stay_as_they_are() {
    let folder = folder("chains-bound");
    let source = input(&folder, 4);
    let of = [
        (0, 0, 200),
        (1, 0, 200),
        (2, 0, 200),
        (2, 1, 200),
        (2, 2, 503),
        (3, 0, 200),
        (3, 1, 200),
    ];
    for (most, due) in [
        (0, vec![]),
        (1, vec![(1, 1)]),
        (3, vec![(1, 1), (2, 2), (3, 2)]),
    ] {
        let path = output(&folder, &source, &of);
        let (_, rest) = rest(&source, &path, true, most);
        let keys: Vec<_> = rest.iter().map(|item| (item.index, item.depth)).collect();
        assert_eq!(keys, due, "to depth {most}");
        let kept = if most == 3 { 6 } else { 7 };
        assert_eq!(lines(&path).len(), kept);
    }
    let path = output(&folder, &source, &of);
    let (_, done) = Resume::open(&path, false, 0)
        .unwrap()
        .start(Options::default())
        .unwrap();
    assert_eq!(done.len(), 4);
}

#[test]
fn a_page_without_the_one_before_it_or_twice_is_refused() {
    let folder = folder("chains-refused");
    let source = input(&folder, 4);
    for (of, says) in [
        (vec![(3, 1, 200), (3, 0, 200)], "page 1 of item 3 "),
        (
            vec![(3, 0, 200), (3, 1, 200), (3, 1, 200)],
            "page 1 of item 3 ",
        ),
        (vec![(3, 0, 200), (3, 2, 200)], "page 2 of item 3 "),
        (vec![(3, 0, 503), (3, 1, 200)], "page 1 of item 3 "),
        (vec![(0, 0, 200), (0, 1, 200)], "page 1 of item 0 "),
        (
            vec![(3, 0, 200), (3, 1, 200), (3, 0, 200)],
            "two lines for item 3",
        ),
    ] {
        let path = output(&folder, &source, &of);
        let before = fs::read(&path).unwrap();
        let refused = Resume::open(&path, false, 3).err();
        let refused = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains(says), "{of:?}: {refused}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_chain_that_left_its_origin_goes_on_without_the_credentials() {
    let folder = folder("chains-left");
    let line = "{\"url\": \"http://h.example/\", \"headers\": {\"authorization\": \"secret\"}}\n";
    let list = folder.join("input.jsonl");
    fs::write(&list, line.repeat(2)).unwrap();
    let source = Source::File(list);
    let path = folder.join("out.jsonl");
    let mut journal = Journal::create(&path, Options::default()).unwrap();
    // One comes back before it goes on.
    let away = [
        "http://o.example/",
        "http://h.example/2",
        "http://h.example/3",
    ];
    let home = [
        "http://h.example/1",
        "http://h.example/2",
        "http://h.example/3",
    ];
    for (item, chain) in items(&source).into_iter().zip([away, home]) {
        let mut here = item.url.clone();
        for (depth, next) in (0..).zip(chain) {
            let mut of = outcome(item.clone(), 1, 200);
            (of.depth, of.url, of.next) = (depth, here, Some(url(next)));
            journal.write(&of).unwrap();
            here = next.to_owned();
        }
    }
    journal.finish().unwrap();
    let (_, due) = rest(&source, &path, false, 9);
    let sent: Vec<_> = due
        .into_iter()
        .map(|item| item.request.unwrap())
        .map(|request| (request.url, request.headers.contains_key("authorization")))
        .collect();
    let at = url("http://h.example/3");
    assert_eq!(sent, [(at.clone(), false), (at, true)]);
}

#[test]
fn bodies_of_pages_have_files_of_their_own() {
    let folder = folder("chains-bodies");
    let source = input(&folder, 4);
    let path = folder.join("out.jsonl");
    let options = Options {
        bodies: Some(folder.join("bodies")),
        ..Options::default()
    };
    let journal = Journal::create(&path, options).unwrap();
    write(journal, items(&source), 1, 34);
    for line in lines(&path) {
        let (index, depth) = key(&line);
        let name = match (index % 3, depth) {
            (0, _) => continue,
            (_, 0) => format!("0/{index}"),
            _ => format!("0/{index}.{depth}"),
        };
        let file = folder.join("bodies").join(name);
        assert_eq!(line["bodyFile"].as_str(), file.to_str());
        assert!(fs::metadata(&file).unwrap().len() > 0);
    }
}
