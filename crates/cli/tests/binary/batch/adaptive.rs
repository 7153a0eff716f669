//! `--adaptive`.

use fetchway_test_origins::{Ledger, Limit, LimitKind, Rules};
use serde_json::Value;

use super::{Folder, assert_complete, batch, lines, said, text};

#[tokio::test]
async fn the_rate_found_is_told_and_every_item_is_done() {
    let folder = Folder::new("adaptive");
    let any = "127.0.0.1:0".parse().expect("an address");
    let origin = Ledger::start(any, 64).expect("an origin");
    origin.rule(Rules {
        limit: Some(Limit {
            per_second: 100,
            kind: LimitKind::Sliding,
        }),
        ..Rules::default()
    });
    let list: String = (0..300).map(|item| origin.url(item) + "\n").collect();
    let input = folder.file("urls.txt", &list);
    let [output, summary, report] =
        ["out.jsonl", "summary.json", "report.html"].map(|name| folder.path(name));
    let flags = [
        "--adaptive",
        "--retries",
        "0",
        "--summary",
        text(&summary),
        "--report",
        text(&report),
    ];
    let done = batch(&[&flags[..], &[text(&input), "--output", text(&output)]].concat()).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_complete(&lines(&output), 300);
    let summary = std::fs::read(&summary).expect("a summary");
    let summary: Value = serde_json::from_slice(&summary).expect("JSON");
    let adaptive = &summary["rate"]["adaptive"];
    let found = &adaptive["origins"][0];
    let name = format!("http://{}", origin.addr());
    assert_eq!(
        (&found["origin"], &adaptive["others"]),
        (&name.into(), &0.into())
    );
    assert!(
        found["perSecond"].as_f64().is_some_and(|rate| rate >= 1.0),
        "{found}"
    );
    // Each refusal is told apart from the tries that it did not cost.
    let arrivals = origin.arrivals();
    let refused = arrivals.iter().filter(|it| it.status == 429).count();
    assert_eq!(found["requests"], arrivals.len());
    assert_eq!(arrivals.len(), 300 + refused);
    assert_eq!(
        found["troubles"].as_u64().is_some_and(|it| it > 0),
        refused > 0
    );
    assert!(said(&done).contains("  found     "), "{}", said(&done));
    let report = std::fs::read_to_string(report).expect("a page");
    assert!(report.contains("Rates found"));
}
