//! Single values of flags: counts and durations, with errors that say what is accepted.
//!
//! Knows syntax and the service's fixed limits. Durations are read as gcloud reads them (a bare number is seconds, units
//! may be joined); crates such as humantime take neither bare numbers nor fractions.

use std::time::Duration;

/// Longest attempt of a task that the service accepts: 168 h.
const LONGEST_TASK: Duration = Duration::from_secs(168 * 3600);

/// A number of tasks: 1 or more.
pub(super) fn task_count(text: &str) -> Result<u32, String> {
    match count(text)? {
        0 => Err("an execution has at least 1 task".to_owned()),
        count => Ok(count),
    }
}

/// A whole number, 0 or more.
pub(super) fn count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("expected a whole number, 0 to {}", u32::MAX))
}

/// The limit of a task's attempt: 1 s to 168 h.
pub(super) fn task_timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration(text)?;
    if !(Duration::from_secs(1)..=LONGEST_TASK).contains(&timeout) {
        return Err("a task may take from 1s to 168h (7 days)".to_owned());
    }
    Ok(timeout)
}

/// How long to wait: anything above zero.
pub(super) fn wait_limit(text: &str) -> Result<Duration, String> {
    let limit = duration(text)?;
    if limit.is_zero() { Err("the limit must be above zero; leave it out to wait on".to_owned()) } else { Ok(limit) }
}

/// `300`, `300s`, `5m`, `1h30m`, `1.5s`: numbers with the units d, h, m, s, added up; a bare number is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    if text.starts_with('-') {
        return Err("a duration cannot be negative".to_owned());
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return part(text, 1);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(malformed)?;
        let (number, tail) = rest.split_at(unit_at);
        let seconds = match tail.as_bytes()[0] {
            b'd' => 24 * 3600,
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return Err(malformed()),
        };
        total = total.checked_add(part(number, seconds)?).ok_or_else(too_long)?;
        rest = &tail[1..];
    }
    Ok(total)
}

/// `number` times a unit of so many seconds, exact to the nanosecond or refused.
fn part(number: &str, unit_seconds: u64) -> Result<Duration, String> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return Err(malformed());
    }
    if fraction.len() > 9 {
        return Err("a duration cannot be finer than a nanosecond (nine digits after the point)".to_owned());
    }
    let whole: u64 = whole.parse().map_err(|_| too_long())?;
    let nanos: u64 = format!("{fraction:0<9}").parse().map_err(|_| malformed())?;
    let seconds = whole.checked_mul(unit_seconds).ok_or_else(too_long)?;
    // At most 86,400 x 10^9, so the product stays far inside u64.
    Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos * unit_seconds)).ok_or_else(too_long)
}

fn malformed() -> String {
    "expected a duration such as 300, 300s, 5m or 1h30m".to_owned()
}

fn too_long() -> String {
    "the duration is too long".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_gcloud_reads_them() {
        let cases = [
            ("300", 300_000),
            ("300s", 300_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1_500),
            ("1.5", 1_500),
            ("2d", 172_800_000),
            ("0.5h", 1_800_000),
            ("168h", 604_800_000),
        ];
        for (text, millis) in cases {
            assert_eq!(task_timeout(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn every_nanosecond_is_kept() {
        assert_eq!(task_timeout("1.000000001s"), Ok(Duration::new(1, 1)));
    }

    #[test]
    fn a_bad_duration_says_what_is_accepted() {
        let cases = [
            ("0", "from 1s to 168h"),
            ("0.999999999s", "from 1s to 168h"),
            ("169h", "from 1s to 168h"),
            ("168h1s", "from 1s to 168h"),
            ("abc", "such as 300"),
            ("", "such as 300"),
            (".", "such as 300"),
            ("1.2.3", "such as 300"),
            ("5m30", "such as 300"),
            ("5 m", "such as 300"),
            ("5ms", "such as 300"),
            ("é", "such as 300"),
            ("-5s", "negative"),
            ("1.0000000001s", "finer than a nanosecond"),
            ("99999999999999999999", "too long"),
            ("999999999999999999h", "too long"),
        ];
        for (text, expected) in cases {
            let error = task_timeout(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn counts_are_whole_and_in_range() {
        assert_eq!(task_count("1"), Ok(1));
        assert_eq!(count("0"), Ok(0));
        for (text, expected) in [("0", "at least 1"), ("-1", "whole number"), ("x", "whole number")] {
            let error = task_count(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(task_count("4294967296").is_err());
    }
}
