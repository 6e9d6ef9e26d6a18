//! Files of environment variables: one `NAME=VALUE` a line.
//!
//! Blank lines and lines that begin with `#` are skipped; a value in quotes loses them. Nothing is expanded or
//! substituted, so that a file means the same on every machine. Errors name the line, never its text.

use std::fs;

use super::lists;
use crate::cli::failure::Failure;

/// Reads a file of variables.
pub(super) fn read(path: &str) -> Result<Vec<(String, String)>, Failure> {
    let text =
        fs::read_to_string(path).map_err(|error| Failure::usage(format!("--env-file: cannot read {path}: {error}")))?;
    parse(path, &text)
}

fn parse(path: &str, text: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut pairs = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("--env-file: {path}, line {}", index + 1);
        let (name, value) = line.split_once('=').ok_or_else(|| Failure::usage(format!("{place} is not NAME=VALUE")))?;
        lists::add(&mut pairs, name.trim_end(), unquoted(value.trim_start()), &place)?;
    }
    Ok(pairs)
}

fn unquoted(value: &str) -> &str {
    ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_comments_and_blank_lines_are_told_apart() {
        let text = "# who\nA=1\n\n  B = two words \r\nC=\"x=#y\"\nD=\nE='\"\n";
        let pairs = parse("f", text).expect("valid");
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("A", "1"), ("B", "two words"), ("C", "x=#y"), ("D", ""), ("E", "'\"")]);
    }

    #[test]
    fn errors_name_the_line_and_not_its_text() {
        for (text, expected) in [
            ("A=1\nhunter2", "--env-file: f, line 2 is not NAME=VALUE"),
            ("=hunter2", "--env-file: f, line 1 has an empty name"),
            ("A=1\n#\nA=hunter2", "--env-file: f, line 3 sets A a second time"),
        ] {
            assert_eq!(parse("f", text).expect_err(text).message(), expected);
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let failure = read("no-such-file.env").expect_err("missing");
        assert!(failure.message().starts_with("--env-file: cannot read no-such-file.env: "), "{}", failure.message());
    }
}
