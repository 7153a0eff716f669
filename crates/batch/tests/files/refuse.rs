//! What is refused, and that nothing is changed by it.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use fetchway_batch::{Journal, Options, Resume, Source};

use crate::run::{folder, input, items, options, outcome, random, resume};

fn done(source: &Source, path: &Path) -> Vec<u8> {
    let mut journal = Journal::create(path, Options::default()).unwrap();
    for item in items(source) {
        journal.write(&outcome(item, 1, 200)).unwrap();
    }
    journal.finish().unwrap();
    fs::read(path).unwrap()
}

fn refusal<T>(refused: Result<T, impl std::fmt::Display>) -> String {
    match refused {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_input_that_was_changed_is_told_by_its_first_change() {
    let folder = folder("changed");
    let source = input(&folder, 10_000);
    let Source::File(input) = &source else {
        unreachable!()
    };
    let path = folder.join("out.jsonl");
    let before = done(&source, &path);
    let text = fs::read_to_string(input).unwrap();
    let says = |changed: &str| {
        fs::write(input, changed).unwrap();
        let says = refusal(Resume::open(&path, false, 0).unwrap().check(&source));
        assert_eq!(fs::read(&path).unwrap(), before);
        says
    };
    for item in [0, 4_095, 4_096, 9_999] {
        let line = format!("/{item}\n");
        let changed = says(&text.replace(&line, "/other\n"));
        assert!(
            changed.contains(&format!("item {item} (fetched as http://h.example/{item})")),
            "{changed}"
        );
    }
    let swapped = text
        .replace("/7\n", "/x\n")
        .replace("/8\n", "/7\n")
        .replace("/x\n", "/8\n");
    assert!(says(&swapped).contains("item 7 "));
    let first_gone = text.split_once('\n').unwrap().1;
    assert!(says(first_gone).contains("item 0 "));
    let half: String = text.split_inclusive('\n').take(6_000).collect();
    assert!(says(&half).contains("item 6000 "));
    let page: String = text.split_inclusive('\n').take(4_096).collect();
    assert!(says(&page).contains("item 4096 "));
    assert!(says("").contains("item 0 "));

    // White space, and more items, are no change.
    fs::write(
        input,
        format!("\n{}http://h.example/more", text.replace('\n', "\r\n")),
    )
    .unwrap();
    assert_eq!(resume(&source, &path, false, &mut random(1)), 1);
    // Nor is a list instead of the range that says the same.
    let range = Source::Range(
        "http://h.example/{}".parse().unwrap(),
        "0..9999".parse().unwrap(),
    );
    fs::write(&path, &before).unwrap();
    assert_eq!(resume(&range, &path, false, &mut random(1)), 0);
}

#[test]
fn an_input_that_vanished_is_said_to_be_gone() {
    let folder = folder("vanished");
    let source = input(&folder, 3);
    let path = folder.join("out.jsonl");
    done(&source, &path);
    fs::remove_file(folder.join("input.txt")).unwrap();
    let says = refusal(Resume::open(&path, false, 0).unwrap().check(&source));
    assert!(
        says.contains("input.txt cannot be read: No such file"),
        "{says}"
    );
}

#[test]
fn streams_cannot_be_resumed() {
    let says = refusal(Resume::open(Path::new("/dev/null"), false, 0));
    assert!(says.contains("is not a file"), "{says}");
    let folder = folder("streams");
    let path = folder.join("out.jsonl");
    let resume = Resume::open(&path, false, 0).unwrap();
    for source in [Source::Stdin, Source::File("/dev/null".into())] {
        let says = refusal(resume.check(&source));
        assert!(
            says.contains("read only once, so it cannot be resumed from"),
            "{says}"
        );
    }
}

#[test]
fn a_file_that_is_no_output_is_left_alone() {
    let folder = folder("foreign");
    for (name, text) in [
        ("notes.txt", b"buy milk\n".as_slice()),
        ("note.txt", b"buy milk"),
        ("a.gz", b"buy milk"),
        ("a.zst", b"{\"index\":0"),
        ("package.json", b"{\"name\":\"x\"}\n"),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        let says = refusal(Resume::open(&path, false, 0));
        assert!(says.contains("is not the output of a batch"), "{says}");
        let says = refusal(Journal::create(&path, Options::default()));
        assert!(says.contains("exists already"), "{says}");
        assert_eq!(fs::read(&path).unwrap(), text);
    }
}

#[test]
fn damage_far_from_the_end_is_not_cut_off() {
    let folder = folder("damage");
    let source = input(&folder, 20_000);
    for name in ["out.jsonl", "out.gz", "out.zst"] {
        let path = folder.join(name);
        let mut raw = done(&source, &path);
        while raw.len() < 3 << 20 {
            // Lines of an item that is there already would be refused; their frames are read first.
            raw.extend_from_within(..);
        }
        raw[30] ^= 0x55;
        raw[31] = 0;
        fs::write(&path, &raw).unwrap();
        let says = refusal(Resume::open(&path, false, 0));
        assert!(
            says.contains("is damaged after byte 0") && says.contains("truncate -s 0"),
            "{says}"
        );
        assert_eq!(fs::read(&path).unwrap(), raw);
    }
}

#[test]
fn an_item_with_two_lines_is_refused() {
    let folder = folder("twice");
    let source = input(&folder, 3);
    let path = folder.join("out.jsonl");
    let raw = done(&source, &path);
    fs::write(&path, [raw.clone(), raw].concat()).unwrap();
    let says = refusal(Resume::open(&path, false, 0));
    assert!(says.contains("two lines for item 0"), "{says}");
}

#[test]
fn one_output_has_one_run() {
    let folder = folder("locked");
    let source = input(&folder, 3);
    let path = folder.join("out.jsonl");
    let first = Journal::create(&path, Options::default()).unwrap();
    let says = refusal(Journal::create(&path, Options::default()));
    assert!(says.contains("being written by another run"), "{says}");
    drop(first);
    done(&source, &path);
    // One that retries has another file under the name, from the start.
    fs::write(
        &path,
        fs::read_to_string(&path).unwrap().replacen("200", "500", 1),
    )
    .unwrap();
    let (_second, _) = Resume::open(&path, true, 0)
        .unwrap()
        .start(Options::default())
        .unwrap();
    let says = refusal(Resume::open(&path, false, 0));
    assert!(says.contains("being written by another run"), "{says}");
}

#[test]
fn an_output_that_cannot_be_created_says_so() {
    let folder = folder("nowhere");
    let path = folder.join("missing/out.jsonl");
    let says = refusal(Journal::create(&path, Options::default()));
    assert!(
        says.contains("out.jsonl cannot be created: No such file"),
        "{says}"
    );
}

#[test]
fn a_full_device_is_one_sentence() {
    let folder = folder("full");
    let source = input(&folder, 3);
    let mut journal = Journal::create(Path::new("/dev/full"), Options::default()).unwrap();
    for item in items(&source) {
        journal.write(&outcome(item, 1, 200)).unwrap();
    }
    let says = refusal(journal.flush());
    assert!(
        says.contains("cannot be continued: No space left"),
        "{says}"
    );
    // The lines stay unwritten; later ones must not follow the hole.
    assert!(refusal(journal.flush()).contains("failed before"));
}

#[test]
fn a_compressed_file_that_is_cut_off_and_no_output_is_not_cut() {
    let folder = folder("foreign-cut");
    let text: Vec<u8> = (0..200_000_u32)
        .flat_map(|n| n.wrapping_mul(n).to_le_bytes())
        .collect();
    let text: Vec<u8> = text.into_iter().filter(|byte| *byte != b'\n').collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&text).unwrap();
    let zstd = zstd::encode_all(&text[..], 1).unwrap();
    for (name, whole) in [("a.gz", gzip.finish().unwrap()), ("a.zst", zstd)] {
        let (path, half) = (folder.join(name), &whole[..whole.len() / 2]);
        fs::write(&path, half).unwrap();
        let says = refusal(Resume::open(&path, false, 0));
        assert!(says.contains("is not an outcome"), "{says}");
        assert_eq!(fs::read(&path).unwrap(), half);
    }
}

#[test]
fn an_output_without_order_is_not_gone_on_with_in_order() {
    for (name, order) in [("out.jsonl", [0, 2, 1]), ("out.zst", [1, 0, 2])] {
        let folder = folder(&format!("unordered-{name}"));
        let source = input(&folder, 4);
        let path = folder.join(name);
        let mut journal = Journal::create(&path, Options::default()).unwrap();
        let all = items(&source);
        for at in order {
            journal.write(&outcome(all[at].clone(), 1, 200)).unwrap();
        }
        journal.finish().unwrap();
        let before = fs::read(&path).unwrap();
        let earlier = Resume::open(&path, false, 0).unwrap();
        assert!(earlier.found().unordered);
        let says = refusal(earlier.start(options(true)));
        assert!(says.contains("not in input order"), "{says}");
        assert_eq!(fs::read(&path).unwrap(), before);
        let (journal, _) = Resume::open(&path, false, 0)
            .unwrap()
            .start(options(false))
            .unwrap();
        journal.finish().unwrap();
    }
}
