//! `--print-config`: the whole configuration as TOML, each value with its source.

use std::fmt::Write;

use toml::{Table, Value};

use super::Loaded;
use super::leaf::{Key, KeyPath, Source};
use super::setting::Setting;

/// The column that sources stand in, where a line leaves room.
const SOURCE_COLUMN: usize = 44;

/// The effective configuration. It is TOML that fetchway reads again, but for credentials, which
/// stand as `(hidden)` and are refused if they come back.
#[must_use]
pub fn print_config(loaded: &Loaded) -> String {
    let mut printer = Printer {
        loaded,
        out: String::new(),
    };
    if let Some(Value::Table(table)) = loaded.config.write() {
        printer.table(&KeyPath::default(), "", &table);
    }
    printer.out
}

struct Printer<'a> {
    loaded: &'a Loaded,
    out: String,
}

impl Printer<'_> {
    /// `header` is the name of `table` as its heading has it; empty for the root.
    fn table(&mut self, at: &KeyPath, header: &str, table: &Table) {
        for (key, value) in table {
            if !is_section(value) {
                self.line(&at.key(key), key, value);
            }
        }
        for (key, value) in table {
            let (at, inner) = (at.key(key), join(header, key));
            match value {
                Value::Table(table) if !table.is_empty() => {
                    self.heading(&format!("[{inner}]"));
                    self.table(&at, &inner, table);
                }
                Value::Array(items) if is_section(value) => {
                    for (index, item) in items.iter().filter_map(Value::as_table).enumerate() {
                        self.heading(&format!("[[{inner}]]"));
                        self.table(&at.index(index), &inner, item);
                    }
                }
                _ => {}
            }
        }
    }

    fn heading(&mut self, heading: &str) {
        let gap = if self.out.is_empty() { "" } else { "\n" };
        self.push(format_args!("{gap}{heading}\n"));
    }

    fn line(&mut self, at: &KeyPath, key: &str, value: &Value) {
        let setting = format!("{} = {value}", Key(key));
        // A path or variable name may hold anything; nothing may break out of the comment.
        let source: String = match self.loaded.source(at) {
            Source::Default => "default".to_owned(),
            source => source.to_string(),
        }
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
        self.push(format_args!("{setting:<SOURCE_COLUMN$} # {source}\n"));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.out.write_fmt(text);
    }
}

/// Whether `value` gets a heading of its own.
fn is_section(value: &Value) -> bool {
    match value {
        Value::Table(_) => true,
        Value::Array(items) => !items.is_empty() && items.iter().all(Value::is_table),
        _ => false,
    }
}

fn join(header: &str, key: &str) -> String {
    if header.is_empty() {
        Key(key).to_string()
    } else {
        format!("{header}.{}", Key(key))
    }
}
