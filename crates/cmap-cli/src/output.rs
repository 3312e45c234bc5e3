//! What goes to standard output and standard error, and how numbers are written.
//!
//! A reader that has gone away (`cmap compare | head -1`) is no error: what it did not want is not written.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
};

use crate::failure::Failure;

/// Writes to standard output. A closed pipe ends it quietly.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Output {
            target: "standard output".into(),
            error,
        }),
        _ => Ok(()),
    }
}

/// A line for the person at the terminal, on standard error; lost if nobody listens.
pub fn complain(what: &impl Display) {
    let _ = writeln!(io::stderr().lock(), "cmap: {what}");
}

/// 1234567 as `1 234 567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 thread`, `2 threads`.
pub fn count(number: u64, one: &str, more: &str) -> String {
    format!(
        "{} {}",
        grouped(number),
        if number == 1 { one } else { more }
    )
}

/// A number of bytes in a unit that suits it.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => count(bytes, "byte", "bytes"),
        10_240..1_048_576 => format!("{} KiB", significant(bytes as f64 / 1_024.0)),
        _ => format!("{} MiB", significant(bytes as f64 / 1_048_576.0)),
    }
}

/// Three significant digits, or all digits before the point: `0.0417`, `4.17`, `417`, `41 700`.
pub fn significant(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude >= 99.95 {
        let rounded = grouped(magnitude.round() as u64);
        return if number < 0.0 {
            format!("-{rounded}")
        } else {
            rounded
        };
    }
    let decimals = match magnitude {
        m if m >= 9.995 => 1,
        m if m >= 0.9995 => 2,
        m if m >= 0.09995 => 3,
        _ => 4,
    };
    if magnitude < 0.00005 {
        "0".into()
    } else {
        format!("{number:.decimals$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1 000"),
            (123_456, "123 456"),
            (1_234_567, "1 234 567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn sizes_have_a_unit_that_suits_them() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (10_239, "10 239 bytes"),
            (10_240, "10.0 KiB"),
            (1 << 20, "1.00 MiB"),
            (400_000_000, "381 MiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn three_digits_are_shown() {
        for (number, text) in [
            (0.0, "0"),
            (0.04171, "0.0417"),
            (0.4171, "0.417"),
            (4.171, "4.17"),
            (41.71, "41.7"),
            (99.99, "100"),
            (417.1, "417"),
            (41_710.0, "41 710"),
            (-2.71, "-2.71"),
            (-271.4, "-271"),
        ] {
            assert_eq!(significant(number), text);
        }
    }
}
