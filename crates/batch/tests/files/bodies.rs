//! Bodies in files: whole before their line is there.

use std::fs;

use fetchway_batch::{Journal, Options};

use crate::run::{folder, input, items, lines, outcome};

#[test]
fn every_line_names_a_file_that_is_whole() {
    for sync in [false, true] {
        let folder = folder(&format!("bodies-{sync}"));
        let source = input(&folder, 10);
        let (path, bodies) = (folder.join("out.jsonl"), folder.join("bodies"));
        let options = Options {
            bodies: Some(bodies.clone()),
            sync,
            ordered: None,
        };
        let mut journal = Journal::create(&path, options).unwrap();
        for mut item in items(&source) {
            item.index += 19_995;
            let index = item.index;
            journal.write(&outcome(item, 1, 200)).unwrap();
            journal.flush().unwrap();
            let last = lines(&path).pop().unwrap();
            if index % 3 == 0 {
                assert_eq!((last.get("bodyFile"), &last["body"]), (None, &"".into()));
                continue;
            }
            let file = last["bodyFile"].as_str().unwrap();
            assert_eq!(
                file,
                format!("{}/{}/{index}", bodies.display(), index / 10_000)
            );
            let length = if index % 3 == 1 { 42 } else { 2 };
            assert_eq!(fs::metadata(file).unwrap().len(), length);
            assert!(last.get("body").or(last.get("bodyBase64")).is_none());
        }
        let in_folder = |name| fs::read_dir(bodies.join(name)).unwrap().count();
        assert_eq!(
            (in_folder("1"), in_folder("2")),
            (3, 3),
            "nothing unfinished is left"
        );
    }
}

#[test]
fn a_body_that_cannot_be_written_has_no_line() {
    let folder = folder("bodies-refused");
    let source = input(&folder, 2);
    let bodies = folder.join("bodies");
    fs::create_dir(&bodies).unwrap();
    fs::write(bodies.join("0"), "in the way").unwrap();
    let options = Options {
        bodies: Some(bodies),
        ..Options::default()
    };
    let path = folder.join("out.jsonl");
    let mut journal = Journal::create(&path, options).unwrap();
    let second = items(&source).pop().unwrap();
    let error = journal
        .write(&outcome(second, 1, 200))
        .unwrap_err()
        .to_string();
    assert!(error.contains("bodies/0/1 cannot be written"), "{error}");
    journal.finish().unwrap();
    assert!(lines(&path).is_empty());
}
