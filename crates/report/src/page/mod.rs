//! A summary as one HTML page without references: no script, no font and no picture from elsewhere. The page
//! follows the reader's choice of light or dark, and reads on a phone.

mod plots;

use fetchway_dispatch::{FoundRate, FoundRates};

use crate::html::escape;
use crate::numbers::{bytes, counted, decimal, duration, grouped};
use crate::summary::{Latency, Summary, found_rate};

const STYLE: &str = include_str!("report.css");

/// Returns the page of a summary. Names of input and output are escaped.
#[must_use]
pub fn page(summary: &Summary) -> String {
    let mut page = String::with_capacity(64 << 10);
    page += "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'\">";
    page += &format!("<title>Batch of {}</title>", escape(&summary.input));
    page += &format!("<style>\n{STYLE}</style></head>\n<body>\n");
    page += &head(summary);
    page += &tiles(summary);
    page += "<div class=\"cards\">\n";
    page += &figures(summary);
    page += &tables(summary);
    page += "</div>\n</body></html>\n";
    page
}

fn head(summary: &Summary) -> String {
    let stopped = match summary.stopped {
        true => " It was stopped before all was done.",
        false => "",
    };
    let (input, output) = (escape(&summary.input), escape(&summary.output));
    let (started, wall) = (escape(&summary.started), duration(summary.wall_seconds));
    format!(
        "<header><h1>Batch of {input}</h1><p>Written to {output}. Began {started}, took {wall}.\
         {stopped}</p></header>\n"
    )
}

fn tiles(summary: &Summary) -> String {
    let items = &summary.items;
    let mut done = match items.followed {
        0 => "items".to_owned(),
        pages => format!("items, of them {} that followed", counted(pages, "page")),
    };
    if items.earlier > 0 {
        done += &format!(", {} before", grouped(items.earlier));
    }
    let share = |of: u64| match items.done {
        0 => "none".to_owned(),
        done => format!("{:.2} %", 100.0 * of as f64 / done as f64),
    };
    let target = match &summary.rate.target {
        Some(target) => format!("of {target}"),
        None if summary.rate.adaptive.is_some() => "as fast as it was borne".to_owned(),
        None => "as fast as it went".to_owned(),
    };
    let rate = match summary.rate.mean_per_second {
        Some(mean) => format!("{}/s", decimal(mean)),
        None => "–".to_owned(),
    };
    let (median, p99) = match &summary.latency {
        Some(latency) => (ms(latency.p50_ms), format!("p99 {}", ms(latency.p99_ms))),
        None => ("–".to_owned(), "no responses".to_owned()),
    };
    let failed = if items.failed > 0 { "big bad" } else { "big" };
    let tiles = [
        ("Done", "big", grouped(items.done), done),
        ("Failed", failed, grouped(items.failed), share(items.failed)),
        ("Rate held", "big", rate, target),
        ("Median latency", "big", median, p99),
        (
            "Bodies",
            "big",
            bytes(summary.bytes.bodies),
            "decoded".to_owned(),
        ),
    ];
    let tile = |(name, class, value, note): (&str, &str, String, String)| {
        let (value, note) = (escape(&value), escape(&note));
        format!(
            "<div><dt>{name}</dt><dd class=\"{class}\">{value}</dd><dd class=\"note\">{note}</dd></div>"
        )
    };
    format!("<dl class=\"tiles\">{}</dl>\n", tiles.map(tile).concat())
}

fn figures(summary: &Summary) -> String {
    let mut legend = legend(&[("main", "sent")]);
    if summary.rate.target.is_some() {
        legend += &self::legend(&[("target", "target")]);
    }
    let figures = [
        ("Rate", legend, plots::rate(summary), "Nothing was sent."),
        (
            "Latency over time",
            self::legend(&[("main", "half at most"), ("other", "99 % at most")]),
            plots::latency(summary),
            "There were no responses.",
        ),
        (
            "Latency distribution",
            marks(summary),
            plots::distribution(summary),
            "There were no responses.",
        ),
        (
            "Errors over time",
            self::legend(&[("fails", "no response, or a status of 400 and above")]),
            plots::failures(summary),
            "No item failed.",
        ),
    ];
    let figure = |(name, legend, plot, otherwise): (&str, String, Option<String>, &str)| {
        let shown = match plot {
            Some(plot) => format!("<p class=\"legend\">{legend}</p>{plot}"),
            None => format!("<p class=\"empty\">{otherwise}</p>"),
        };
        format!("<figure><figcaption><h2>{name}</h2></figcaption>{shown}</figure>\n")
    };
    figures.map(figure).concat()
}

/// Legend of the lines in the distribution.
fn marks(summary: &Summary) -> String {
    let latency = summary.latency.iter();
    let mark = |(name, at)| format!("<span>{name} {}</span> ", escape(&ms(at)));
    latency.flat_map(Latency::marks).map(mark).collect()
}

fn legend(entries: &[(&str, &str)]) -> String {
    let entry =
        |(class, name): &(&str, &str)| format!("<span><i class=\"{class}\"></i>{name}</span> ");
    entries.iter().map(entry).collect()
}

fn tables(summary: &Summary) -> String {
    let mut tables = table(
        "Statuses",
        ["status", "responses"],
        summary
            .statuses
            .iter()
            .map(|(status, count)| [status.to_string(), grouped(*count)]),
    );
    tables += &table(
        "Errors",
        ["without a response", "items"],
        summary.errors.iter().map(|(name, count)| {
            let example = summary.error_examples.get(name);
            let example = example.map_or_else(String::new, |it| format!(", such as: {it}"));
            [format!("{name}{example}"), grouped(*count)]
        }),
    );
    let latencies = [
        ("responses", &summary.latency),
        ("errors", &summary.latency_of_errors),
    ];
    for (of, latency) in latencies {
        if let Some(latency) = latency {
            tables += &table(
                &format!("Latency of {of}"),
                ["at most", "time"],
                quantiles(latency),
            );
        }
    }
    if let Some(adaptive) = &summary.rate.adaptive {
        tables += &table("Rates found", ["origin", "rate"], found(adaptive));
    }
    tables + &table("Requests", ["what", "how much"], requests(summary))
}

fn found(adaptive: &FoundRates) -> Vec<[String; 2]> {
    let row = |found: &FoundRate| {
        let (rate, basis) = found_rate(found);
        [found.origin.clone(), format!("{rate}, {basis}")]
    };
    let mut rows: Vec<[String; 2]> = adaptive.origins.iter().map(row).collect();
    if adaptive.others > 0 {
        let others = format!("{} more", grouped(adaptive.others));
        rows.push([others, "not listed".to_owned()]);
    }
    rows
}

fn quantiles(latency: &Latency) -> impl Iterator<Item = [String; 2]> {
    [
        ("half", latency.p50_ms),
        ("90 %", latency.p90_ms),
        ("99 %", latency.p99_ms),
        ("99.9 %", latency.p999_ms),
        ("all", latency.max_ms),
        ("mean", latency.mean_ms),
    ]
    .into_iter()
    .map(|(name, at)| [name.to_owned(), ms(at)])
}

fn requests(summary: &Summary) -> Vec<[String; 2]> {
    let (items, sends, rate) = (&summary.items, &summary.sends, &summary.rate);
    let row = |name: &str, count| [name.to_owned(), grouped(count)];
    let mut rows = vec![
        row("sent", sends.total),
        row("items sent more than once", sends.retried_items),
        row("items never sent", items.never_sent),
        row(
            &format!("in the fullest {}", rate.window()),
            rate.fullest_window,
        ),
    ];
    if items.cut > 0 {
        rows.push(row("items with more pages than are followed", items.cut));
    }
    if let Some(emptiest) = rate.emptiest_window {
        rows.push(row(&format!("in the emptiest {}", rate.window()), emptiest));
    }
    let held_up = rate.held_up_seconds.iter();
    for (why, seconds) in held_up.filter(|(_, seconds)| **seconds > 0.0) {
        rows.push([format!("held up by {why}"), duration(*seconds)]);
    }
    rows
}

fn table(name: &str, columns: [&str; 2], rows: impl IntoIterator<Item = [String; 2]>) -> String {
    let cells = |row: [String; 2]| {
        let [name, value] = row.map(|it| escape(&it));
        format!("<tr><td>{name}</td><td>{value}</td></tr>")
    };
    let rows: String = rows.into_iter().map(cells).collect();
    let [left, right] = columns;
    let shown = match rows.is_empty() {
        true => "<p class=\"empty\">None.</p>".to_owned(),
        false => format!(
            "<table><thead><tr><th scope=\"col\">{left}</th><th scope=\"col\">{right}</th></tr></thead>\
             <tbody>{rows}</tbody></table>"
        ),
    };
    format!("<section><h2>{name}</h2>{shown}</section>\n")
}

fn ms(ms: f64) -> String {
    duration(ms / 1e3)
}
