//! Broken configuration files, each with the exact text of every problem that is reported.
//!
//! `broken.txt` holds the cases: a file, then a line for each problem, which begins with `-> `. After a
//! deliberate change of a text, `FETCHWAY_UPDATE_BROKEN=1 cargo test -p fetchway-node broken` writes the
//! file anew; read the difference before you commit it.

use std::path::Path;

use fetchway_node::config::Layers;

const CASES: &str = include_str!("broken.txt");
const SEPARATOR: &str = "\n====\n";

fn report(toml: &str) -> String {
    let loaded = Layers::new().file(Path::new("f.toml"), toml).load();
    let problems = loaded.expect_err(toml);
    let lines = problems.problems().iter();
    lines.map(|problem| format!("\n-> {problem}")).collect()
}

#[test]
fn broken_files_are_reported_exactly() {
    let cases: Vec<&str> = CASES.trim_end().split(SEPARATOR).collect();
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    let actual: Vec<String> = cases
        .iter()
        .map(|case| {
            let toml = case.split("\n-> ").next().unwrap_or_default();
            format!("{toml}{}", report(toml))
        })
        .collect();
    if std::env::var_os("FETCHWAY_UPDATE_BROKEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/broken.txt");
        std::fs::write(path, actual.join(SEPARATOR) + "\n").expect("the file can be written");
        return;
    }
    for (case, actual) in cases.iter().zip(&actual) {
        assert_eq!(case, actual);
    }
}
