//! Numbers as people read them.

/// Writes a count with its noun, `1 item` or `1,234 items`; for nouns whose plural adds an s.
#[must_use]
pub fn counted(n: u64, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {what}{s}", grouped(n))
}

/// Writes a number with separators, such as `1,234,567`.
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Writes a number with one decimal, or two below ten.
#[must_use]
pub fn decimal(n: f64) -> String {
    let places = if n < 10.0 { 2 } else { 1 };
    let text = format!("{n:.places$}");
    match text.split_once('.') {
        Some((whole, part)) => match whole.parse() {
            Ok(whole) => format!("{}.{part}", grouped(whole)),
            Err(_) => text,
        },
        None => text,
    }
}

/// Writes a duration in a unit that gives three digits: `950 µs`, `12.3 ms`, `4.56 s`, `3 min 20 s`, `2 h 5 min`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let three = |n: f64| match n {
        n if n < 9.995 => format!("{n:.2}"),
        n if n < 99.95 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    };
    match seconds {
        s if s < 0.000_999_5 => format!("{:.0} µs", s * 1e6),
        s if s < 0.999_5 => format!("{} ms", three(s * 1e3)),
        s if s < 119.5 => format!("{} s", three(s)),
        s if s < 7_199.5 => {
            let s = s.round() as u64;
            format!("{} min {} s", s / 60, s % 60)
        }
        s => {
            let minutes = (s / 60.0).round() as u64;
            format!("{} h {} min", minutes / 60, minutes % 60)
        }
    }
}

/// Writes a size, such as `512 B`, `1.5 KiB` or `3.0 GiB`.
#[must_use]
pub fn bytes(n: u64) -> String {
    let mut size = n as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1023.95 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    if unit == "B" {
        format!("{n} B")
    } else {
        format!("{size:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_shortly() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [1.234, 4_999.96, 12.0].map(decimal),
            ["1.23", "5,000.0", "12.0"]
        );
        let durations = [
            0.0, 0.000_95, 0.012_34, 0.1, 0.999_6, 19.9998, 200.0, 7_500.0,
        ];
        let shown = [
            "0 µs",
            "950 µs",
            "12.3 ms",
            "100 ms",
            "1.00 s",
            "20.0 s",
            "3 min 20 s",
            "2 h 5 min",
        ];
        assert_eq!(durations.map(duration), shown);
        assert_eq!(
            [0, 1_023, 1_536, 3 << 30].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "3.0 GiB"]
        );
    }
}
