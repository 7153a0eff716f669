//! An output cut at every byte, as a crash might leave it, is gone on with; nothing is lost, nothing
//! is there twice.

use std::fs;
use std::path::Path;

use fetchway_batch::{Journal, Resume, Source};

use crate::run::{folder, indexes, input, items, lines, options, random, resume, shuffled, write};

const ITEMS: u64 = 10;

/// A finished output of `source`, and the lengths at which it was flushed with so many lines.
fn finished(source: &Source, path: &Path, ordered: bool, seed: u64) -> (Vec<u8>, Vec<(u64, u64)>) {
    let mut random = random(seed);
    let options = options(ordered);
    let window = options.ordered.clone();
    let journal = Journal::create(path, options).unwrap();
    let all = shuffled(items(source), &mut random);
    let flushed = write(journal, window.as_ref(), all, 1, path, &mut random);
    (fs::read(path).unwrap(), flushed)
}

fn cut_everywhere(name: &str, ordered: bool, seed: u64) {
    let folder = folder(&format!("crash-{name}-{ordered}"));
    let source = input(&folder, ITEMS);
    let path = folder.join(name);
    let (whole, flushed) = finished(&source, &path, ordered, seed);
    assert!(flushed.len() > 3, "the seed flushes too seldom");
    let mut random = random(seed + 1);
    let mut most_fetched = usize::MAX;
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let kept = Resume::open(&path, false, 0).unwrap().found();
        // What was flushed before the crash is there.
        let safe = flushed
            .iter()
            .rev()
            .find(|(length, _)| *length <= cut as u64);
        // Held back for the order, a line is handed over and not yet written.
        if let Some((_, handed)) = safe.filter(|_| !ordered) {
            assert!(kept.lines >= *handed, "cut at {cut}: {kept:?}");
        }
        assert_eq!(kept.whole + kept.torn, cut as u64);

        let fetched = resume(&source, &path, ordered, &mut random);
        assert_eq!(fetched as u64, ITEMS - kept.lines, "cut at {cut}");
        assert!(fetched <= most_fetched, "less is left of more");
        most_fetched = fetched;

        let first_run = |line: &serde_json::Value| line["attempts"] == 1;
        let kept_lines = lines(&path).iter().filter(|line| first_run(line)).count();
        assert_eq!(kept_lines as u64, kept.lines);
        let mut found = indexes(&path);
        if !ordered {
            found.sort_unstable();
        }
        assert_eq!(found, (0..ITEMS).collect::<Vec<_>>(), "cut at {cut}");
    }
    assert_eq!(most_fetched, 0);
}

#[test]
fn a_plain_output_cut_anywhere_is_completed() {
    cut_everywhere("out.jsonl", false, 21);
}

#[test]
fn a_gzip_output_cut_anywhere_is_completed() {
    cut_everywhere("out.jsonl.gz", false, 12);
}

#[test]
fn a_zstd_output_cut_anywhere_is_completed() {
    cut_everywhere("out.jsonl.zst", false, 13);
}

#[test]
fn an_ordered_output_cut_anywhere_is_completed_in_order() {
    cut_everywhere("out.jsonl", true, 14);
    cut_everywhere("out.jsonl.zst", true, 15);
}

#[test]
fn what_the_loss_of_power_left_behind_the_last_frame_is_cut_off() {
    let folder = folder("rubbish");
    let source = input(&folder, ITEMS);
    for name in ["out.jsonl", "out.gz", "out.zst"] {
        let path = folder.join(name);
        let (whole, _) = finished(&source, &path, false, 16);
        for rubbish in [vec![0; 5_000], b"\x00{\"index\":1}\n\x1f\x8bxyz".to_vec()] {
            fs::write(&path, [whole.clone(), rubbish].concat()).unwrap();
            let mut random = random(17);
            assert_eq!(resume(&source, &path, false, &mut random), 0, "{name}");
            assert_eq!(fs::read(&path).unwrap(), whole);
            // Nothing of it was written yet.
            fs::write(&path, [0; 5_000]).unwrap();
            assert_eq!(resume(&source, &path, false, &mut random) as u64, ITEMS);
        }
    }
}

#[test]
fn a_run_that_ended_before_it_had_an_output_is_resumed() {
    let folder = folder("before");
    let source = input(&folder, ITEMS);
    let path = folder.join("out.jsonl");
    assert_eq!(resume(&source, &path, false, &mut random(18)) as u64, ITEMS);
    assert_eq!(lines(&path).len() as u64, ITEMS);
}

#[test]
fn lines_held_back_for_one_without_an_outcome_are_not_written() {
    let folder = folder("held");
    let source = input(&folder, 4);
    let path = folder.join("out.jsonl");
    let options = options(true);
    let window = options.ordered.clone().unwrap();
    let mut journal = Journal::create(&path, options).unwrap();
    for item in items(&source) {
        assert!(window.admit(item.index));
        if item.index != 1 {
            journal.write(&crate::run::outcome(item, 1, 200)).unwrap();
        }
    }
    assert_eq!(journal.finish().unwrap().held_back, 2);
    assert_eq!(indexes(&path), [0]);
    assert_eq!(resume(&source, &path, true, &mut random(19)), 3);
    assert_eq!(indexes(&path), [0, 1, 2, 3]);
}

#[test]
fn a_frame_that_was_not_ended_keeps_its_lines_and_failures_in_it_are_tried_again() {
    for name in ["out.gz", "out.zst"] {
        let folder = folder(&format!("open-{name}"));
        let source = input(&folder, 5);
        let path = folder.join(name);
        let mut journal = Journal::create(&path, options(false)).unwrap();
        for (item, status) in items(&source).into_iter().zip([200, 500, 200, 200]) {
            let done = crate::run::outcome(item, 1, status);
            journal.write(&done).unwrap();
            journal.flush().unwrap();
        }
        // As by a crash: nothing is ended.
        drop(journal);
        let mut raw = fs::read(&path).unwrap();
        let found = Resume::open(&path, false, 0).unwrap().found();
        assert_eq!((found.whole, found.open, found.lines), (0, 4, 4), "{name}");
        // Rubbish behind it, as the loss of power may leave, costs a line or two.
        raw.extend([0xff; 100]);
        fs::write(&path, &raw).unwrap();
        let found = Resume::open(&path, false, 0).unwrap().found();
        assert!((2..=4).contains(&found.open), "{name}: {found:?}");
        raw.truncate(raw.len() - 100);
        fs::write(&path, &raw).unwrap();

        let again = Resume::open(&path, true, 0).unwrap();
        let (journal, done) = again.start(options(false)).unwrap();
        assert_eq!(done.len(), 3);
        // Killed before anything else: what was there is there.
        drop(journal);
        let found = Resume::open(&path, false, 0).unwrap().found();
        assert_eq!((found.open, found.lines, found.failed), (3, 3, 0), "{name}");
        assert_eq!(resume(&source, &path, false, &mut random(20)), 2);
        let mut all = indexes(&path);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
    }
}

#[test]
fn frames_end_by_their_size_and_many_lines_are_smaller_than_each_alone() {
    for name in ["out.gz", "out.zst"] {
        let folder = folder(&format!("size-{name}"));
        let source = input(&folder, 4_000);
        let path = folder.join(name);
        let mut journal = Journal::create(&path, options(false)).unwrap();
        for item in items(&source) {
            journal.write(&crate::run::outcome(item, 1, 200)).unwrap();
            journal.flush().unwrap();
        }
        journal.finish().unwrap();
        let found = Resume::open(&path, false, 0).unwrap().found();
        assert_eq!((found.lines, found.open, found.torn), (4_000, 0, 0));
        let plain: usize = lines(&path).iter().map(|it| it.to_string().len()).sum();
        assert!(found.whole * 3 < plain as u64, "{} of {plain}", found.whole);
    }
}
