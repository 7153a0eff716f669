//! Inputs as they come: compressed, from other systems, with lines that are wrong.

use std::fs;
use std::io::Write;

use fetchway_batch::{Count, Source, fingerprint};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::run::{folder, items};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_same_items_come_out_of_every_compression() {
    let folder = folder("input-compressed");
    let (a, b) = (
        b"http://h.example/0\n{\"url\":\"http://h.example/1\"",
        b"}\nhttp://h.example/2",
    );
    let zstd = |text: &[u8]| zstd::encode_all(text, 1).unwrap();
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
    let forms: [Vec<u8>; 6] = [
        [&a[..], b].concat(),
        gzip(&[&a[..], b].concat()),
        // Members and frames may end within a line.
        [gzip(a), gzip(b)].concat(),
        zstd(&[&a[..], b].concat()),
        [zstd(a), zstd(b)].concat(),
        [skippable.to_vec(), zstd(a), zstd(b)].concat(),
    ];
    for form in forms {
        let path = folder.join("input");
        fs::write(&path, &form).unwrap();
        let source = Source::File(path);
        let all = items(&source);
        let urls: Vec<&str> = all.iter().map(|item| item.url.as_str()).collect();
        assert_eq!(
            urls,
            [
                "http://h.example/0",
                "http://h.example/1",
                "http://h.example/2"
            ]
        );
        assert_eq!(
            all[1].fingerprint,
            fingerprint(b"{\"url\":\"http://h.example/1\"}")
        );
        assert_eq!(source.check().unwrap(), 3);
        let mut input = source.open().unwrap();
        let progress = input.progress();
        assert_eq!(progress.items(), Count::Unknown);
        assert!(input.next().is_some_and(|item| item.is_ok()));
        // A file is read in large pieces.
        assert!(matches!(progress.items(), Count::Guess(1..=3)));
        assert!(input.by_ref().all(|item| item.is_ok()));
        assert_eq!(progress.items(), Count::Known(3));
        assert_eq!(progress.total(), Some(form.len() as u64));
        assert_eq!(progress.read(), form.len() as u64);
    }
}

#[test]
fn byte_order_marks_line_ends_and_blank_lines_are_no_matter() {
    let folder = folder("input-blank");
    let path = folder.join("input.txt");
    fs::write(
        &path,
        "\u{feff}http://h.example/0\r\n\r\n  \n\thttp://h.example/1 \nwrong\n",
    )
    .unwrap();
    let all = items(&Source::File(path.clone()));
    let urls: Vec<&str> = all.iter().map(|item| item.url.as_str()).collect();
    assert_eq!(urls, ["http://h.example/0", "http://h.example/1", "wrong"]);
    assert_eq!([all[0].index, all[1].index, all[2].index], [0, 1, 2]);
    let error = all[2].request.as_ref().unwrap_err();
    assert!(error.detail.starts_with("Line 5: "), "{}", error.detail);
    let says = Source::File(path).check().unwrap_err().to_string();
    assert!(
        says.contains("input.txt has a bad line, so nothing was fetched. Line 5: "),
        "{says}"
    );
}

#[test]
fn a_range_gives_its_urls_in_order() {
    let template = "http://h.example/{}.json".parse().unwrap();
    let source = Source::Range(template, "9..11".parse().unwrap());
    let progress = source.open().unwrap().progress();
    assert_eq!(progress.items(), Count::Known(3));
    let all = items(&source);
    let urls: Vec<&str> = all.iter().map(|item| item.url.as_str()).collect();
    assert_eq!(urls[0], "http://h.example/9.json");
    assert_eq!(
        (urls.len(), urls[2], all[2].index),
        (3, "http://h.example/11.json", 2)
    );
    assert_eq!(all[1].fingerprint, fingerprint(b"http://h.example/10.json"));
}

#[test]
fn an_input_that_breaks_off_says_where() {
    let folder = folder("input-broken");
    let path = folder.join("input.gz");
    let lines: String = (0..1_000)
        .map(|n| format!("http://h.example/{n}\n"))
        .collect();
    let whole = gzip(lines.as_bytes());
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let mut input = Source::File(path).open().unwrap();
    let good = input.by_ref().take_while(Result::is_ok).count();
    assert!(input.next().is_none(), "it ends after its error");
    let says = input_error(&folder.join("input.gz"));
    let line = format!("input.gz cannot be read on from line {}: ", good + 1);
    assert!(says.contains(&line), "{says}");
}

#[test]
fn an_input_that_is_cut_while_it_is_read_is_not_taken_for_a_short_one() {
    let folder = folder("input-cut");
    let path = folder.join("input.txt");
    let lines: String = (0..20_000)
        .map(|n| format!("http://h.example/{n}\n"))
        .collect();
    fs::write(&path, &lines).unwrap();
    let mut input = Source::File(path.clone()).open().unwrap();
    assert!(input.next().unwrap().is_ok());
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(0).unwrap();
    let says = input.filter_map(Result::err).next().unwrap().to_string();
    assert!(
        says.contains("input.txt became shorter while it was read"),
        "{says}"
    );
}

fn input_error(path: &std::path::Path) -> String {
    let input = Source::File(path.to_owned()).open().unwrap();
    input.filter_map(Result::err).next().unwrap().to_string()
}

#[test]
fn what_cannot_be_read_twice_cannot_be_checked_first() {
    for source in [Source::Stdin, Source::File("/dev/null".into())] {
        let says = source.check().unwrap_err().to_string();
        assert!(
            says.contains("read only once, so it cannot be checked"),
            "{says}"
        );
    }
    let missing = Source::File("/nowhere/input".into())
        .check()
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains("/nowhere/input cannot be read: No such file"),
        "{missing}"
    );
}
