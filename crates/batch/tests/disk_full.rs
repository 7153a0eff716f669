//! A disk that is full in the middle of a line. A limit on the size of files stands in for it: the
//! kernel writes what fits and refuses the rest, just so. It holds for the whole process, hence a
//! test of its own.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use fetchway_batch::{Journal, Options, Outcome, Response, Resume, Source, Timing};
use http::{HeaderMap, StatusCode};
use url::Url;

/// Files may grow to this size only, from now on.
fn limit(bytes: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is ours and lives through both calls; a signal that is ignored has no
    // handler to be unsound.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit), 0);
        limit.rlim_cur = bytes.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
    }
}

fn outcome(index: u64, fingerprint: u64) -> Outcome {
    Outcome {
        index,
        depth: 0,
        next: None,
        id: None,
        fingerprint,
        url: "http://h.example/".to_owned(),
        result: Ok(Response {
            url: Url::parse("http://h.example/").unwrap(),
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::from_static(&[b'x'; 300]),
        }),
        attempts: 1,
        timing: Timing::default(),
    }
}

#[test]
fn a_disk_that_fills_up_within_a_line_leaves_whole_lines_to_resume_from() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("batch-disk-full");
    let _left = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let source = Source::Range(
        "http://h.example/{}".parse().unwrap(),
        "1..9".parse().unwrap(),
    );
    let prints: Vec<u64> = source
        .open()
        .unwrap()
        .map(|it| it.unwrap().fingerprint)
        .collect();
    for name in ["out.jsonl", "out.gz", "out.zst"] {
        let path = folder.join(name);
        let mut journal = Journal::create(&path, Options::default()).unwrap();
        journal.write(&outcome(0, prints[0])).unwrap();
        journal.flush().unwrap();
        let one = fs::metadata(&path).unwrap().len();
        limit(one + 5);
        journal.write(&outcome(1, prints[1])).unwrap();
        let says = journal.flush().unwrap_err().to_string();
        limit(u64::MAX);
        assert!(
            says.contains(name) && says.contains("cannot be continued: "),
            "{says}"
        );
        assert!(says.ends_with("correct that and resume"), "{says}");
        assert_eq!(
            fs::metadata(&path).unwrap().len(),
            one,
            "cut to what is whole"
        );
        assert!(journal.finish().is_err(), "it does not pass for finished");

        let resume = Resume::open(&path, false, 0).unwrap();
        resume.check(&source).unwrap();
        let (mut journal, done) = resume.start(Options::default()).unwrap();
        for index in (0..9).filter(|index| !done.contains(*index)) {
            journal
                .write(&outcome(index, prints[index as usize]))
                .unwrap();
        }
        journal.finish().unwrap();
        assert_eq!(Resume::open(&path, false, 0).unwrap().found().lines, 9);
    }
}
