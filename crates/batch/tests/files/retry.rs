//! Failures are retried by replacing the file, at once or not at all.

use std::fs;

use fetchway_batch::{Journal, Options, Resume};

use crate::run::{folder, indexes, input, items, lines, options, outcome, url};

#[test]
fn failures_leave_the_file_and_come_back_as_what_they_are_now() {
    for name in ["out.jsonl", "out.jsonl.gz", "out.jsonl.zst"] {
        let folder = folder(&format!("retry-{name}"));
        let source = input(&folder, 10);
        let path = folder.join(name);
        let mut journal = Journal::create(&path, Options::default()).unwrap();
        // The last two are missing: a run was killed.
        for item in items(&source).into_iter().take(8) {
            let status = if item.index % 4 == 1 { 503 } else { 200 };
            journal.write(&outcome(item, 1, status)).unwrap();
        }
        journal.finish().unwrap();
        let kept: Vec<_> = lines(&path)
            .into_iter()
            .filter(|it| it["status"] == 200)
            .collect();
        // What another retry left as it was killed.
        fs::write(folder.join(format!("{name}.retry")), "rubbish").unwrap();

        let resume = Resume::open(&path, true, 0).unwrap();
        assert_eq!((resume.found().lines, resume.found().failed), (8, 2));
        resume.check(&source).unwrap();
        let (mut journal, done) = resume.start(Options::default()).unwrap();
        assert_eq!(done.len(), 6);
        assert_eq!(
            lines(&path),
            kept,
            "whoever is killed now resumes from this"
        );
        let again: Vec<_> = items(&source)
            .into_iter()
            .filter(|it| !done.contains(it.index))
            .collect();
        for item in again {
            journal.write(&outcome(item, 2, 200)).unwrap();
        }
        journal.finish().unwrap();
        assert_eq!(indexes(&path), [0, 2, 3, 4, 6, 7, 1, 5, 8, 9]);
        assert!(lines(&path).iter().all(|line| line["status"] == 200));
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            2,
            "only input and output are left"
        );
    }
}

#[test]
fn an_output_that_cannot_be_replaced_stays_as_it_is() {
    let folder = folder("retry-refused");
    let source = input(&folder, 2);
    let path = folder.join("out.jsonl");
    let mut journal = Journal::create(&path, Options::default()).unwrap();
    for item in items(&source) {
        journal.write(&outcome(item, 1, 500)).unwrap();
    }
    journal.finish().unwrap();
    let before = fs::read(&path).unwrap();
    let ordered = Resume::open(&path, true, 0).unwrap().start(options(true));
    assert!(ordered.err().unwrap().to_string().contains("input order"));
    fs::create_dir(folder.join("out.jsonl.retry")).unwrap();
    let refused = Resume::open(&path, true, 0)
        .unwrap()
        .start(Options::default());
    let says = refused.err().unwrap().to_string();
    assert!(
        says.contains("cannot be continued: Is a directory"),
        "{says}"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
    let missing = Resume::open(&folder.join("none"), true, 0)
        .err()
        .unwrap()
        .to_string();
    assert!(missing.contains("No such file"), "{missing}");
    assert_eq!(url("http://h.example/0").as_str(), lines(&path)[0]["url"]);
}

#[test]
fn what_another_run_writes_beside_it_is_not_touched() {
    let folder = folder("retry-beside");
    let source = input(&folder, 2);
    let path = folder.join("out.jsonl");
    let beside = folder.join("out.jsonl.retry");
    for path in [&path, &beside] {
        let mut journal = Journal::create(path, Options::default()).unwrap();
        for item in items(&source) {
            journal.write(&outcome(item, 1, 500)).unwrap();
        }
        journal.finish().unwrap();
    }
    let (other, _) = Resume::open(&beside, false, 0)
        .unwrap()
        .start(Options::default())
        .unwrap();
    let refused = Resume::open(&path, true, 0)
        .unwrap()
        .start(Options::default());
    let says = refused.err().unwrap().to_string();
    assert!(says.contains("by another run"), "{says}");
    other.finish().unwrap();
    assert_eq!((indexes(&path).len(), indexes(&beside).len()), (2, 2));
}

#[test]
fn a_folder_for_bodies_that_cannot_be_made_costs_no_line() {
    for name in ["out.jsonl", "out.gz", "out.zst"] {
        let folder = folder(&format!("retry-bodies-{name}"));
        let source = input(&folder, 3);
        let path = folder.join(name);
        let mut journal = Journal::create(&path, Options::default()).unwrap();
        for (item, status) in items(&source).into_iter().zip([200, 500]) {
            journal.write(&outcome(item, 1, status)).unwrap();
        }
        journal.flush().unwrap();
        // As by a crash: a frame is open.
        drop(journal);
        let before = fs::read(&path).unwrap();
        for retry_failed in [false, true] {
            let options = Options {
                bodies: Some(folder.join("input.txt")),
                ..Options::default()
            };
            let resume = Resume::open(&path, retry_failed, 0).unwrap();
            let says = resume.start(options).err().unwrap().to_string();
            assert!(says.contains("cannot be made"), "{says}");
            assert_eq!(fs::read(&path).unwrap(), before, "{name}");
        }
    }
}

#[test]
fn an_output_behind_a_link_stays_there() {
    let folder = folder("retry-link");
    let source = input(&folder, 2);
    let (path, link) = (folder.join("out.jsonl"), folder.join("link.jsonl"));
    let mut journal = Journal::create(&path, Options::default()).unwrap();
    for (item, status) in items(&source).into_iter().zip([200, 500]) {
        journal.write(&outcome(item, 1, status)).unwrap();
    }
    journal.finish().unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let resume = Resume::open(&link, true, 0).unwrap();
    let (journal, _) = resume.start(Options::default()).unwrap();
    journal.finish().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(indexes(&path), [0]);
}
