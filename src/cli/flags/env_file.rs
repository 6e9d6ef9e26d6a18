//! Files of environment variables, read as python-dotenv 1.2 reads them, which gcloud uses.
//!
//! `export NAME=value`; comments; values that are bare, in single quotes (`\\` and `\'` are escapes) or in double quotes (also
//! `\n`, `\t` and their like), quoted ones over several lines; `${NAME}` and `${NAME:-default}` in all of them, by the
//! variables above in the file, else of the environment; of a name that is given twice the last value counts.
//!
//! Where python-dotenv skips what it cannot read, and a name without `=`, this refuses them: a start without one of its
//! variables is worse than no start. Errors name the line, never its text. A file is read up to a bound, and in linear time.

use std::{collections::HashMap, path::Path};

use super::file;
use crate::cli::{environment::Environment, failure::Failure};

/// The most that is read, and the most that the values may come to.
const LARGEST: usize = file::MESSAGE;

/// The service's own limit for one execution.
const MOST_VARIABLES: usize = 1000;

/// Reads a file of variables.
pub(in crate::cli) fn read(path: &str, env: &Environment) -> Result<Vec<(String, String)>, Failure> {
    let unreadable = |error| Failure::usage(format!("--env-file: cannot read {path}: {error}"));
    let text = file::read(Path::new(path), LARGEST).map_err(unreadable)?;
    parse(&text, env)
        .map_err(|Problem { line, what }| Failure::usage(format!("--env-file: {path}, line {line} {what}")))
}

/// What is wrong, and on which line.
#[derive(Debug)]
struct Problem {
    line: usize,
    what: String,
}

fn parse(text: &str, env: &Environment) -> Result<Vec<(String, String)>, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let mut reader = Reader { rest: &text };
    let mut variables = Variables::default();
    loop {
        reader.take_while(is_space);
        if reader.rest.is_empty() {
            return Ok(variables.pairs);
        }
        let begin = text.len() - reader.rest.len();
        let problem = |what: String| Problem { line: 1 + text[..begin].matches('\n').count(), what };
        if let Some((name, value)) = reader.assignment().map_err(|what| problem(what.to_owned()))? {
            variables.add(name, &value, env).map_err(problem)?;
        }
    }
}

/// The variables so far, in the order in which their names were first given.
#[derive(Default)]
struct Variables {
    pairs: Vec<(String, String)>,
    index: HashMap<String, usize>,
    bytes: usize,
}

impl Variables {
    fn add(&mut self, name: &str, value: &str, env: &Environment) -> Result<(), String> {
        let value = interpolate(value, |name| self.get(name).or_else(|| env.raw(name)), LARGEST - self.bytes)?;
        self.bytes += value.len();
        match self.index.get(name) {
            Some(index) => self.pairs[*index].1 = value,
            None if self.pairs.len() == MOST_VARIABLES => {
                return Err(format!("has one variable more than the service takes ({MOST_VARIABLES})"));
            }
            None => {
                self.index.insert(name.to_owned(), self.pairs.len());
                self.pairs.push((name.to_owned(), value));
            }
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&str> {
        Some(self.pairs[*self.index.get(name)?].1.as_str())
    }
}

/// The value with each `${NAME}` and `${NAME:-default}` replaced, as long as it stays within `most` bytes.
fn interpolate<'a>(
    value: &'a str,
    variable: impl Fn(&'a str) -> Option<&'a str>,
    most: usize,
) -> Result<String, String> {
    // No reference reaches beyond the last brace, so each search for one below ends where the next begins.
    let (mut rest, literal) = value.split_at(value.rfind('}').map_or(0, |last| last + 1));
    let mut result = String::new();
    while let Some((before, reference)) = rest.split_once("${")
        && let Some(end) = reference.find(['}', ':'])
        && result.len() <= most
    {
        result.push_str(before);
        let (name, tail) = reference.split_at(end);
        if let Some(after) = tail.strip_prefix('}') {
            result.push_str(variable(name).unwrap_or_default());
            rest = after;
        } else if let Some((default, after)) = tail.strip_prefix(":-").and_then(|tail| tail.split_once('}')) {
            result.push_str(variable(name).unwrap_or(default));
            rest = after;
        } else {
            // No reference, and neither is another that begins before this colon.
            let (colon, after) = rest.split_at(before.len() + "${".len() + end + 1);
            result.push_str(&colon[before.len()..]);
            rest = after;
        }
    }
    result.push_str(rest);
    result.push_str(literal);
    if result.len() > most { Err(format!("brings the values to more than {LARGEST} bytes")) } else { Ok(result) }
}

/// Reads assignments one by one.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// The name and the value, without its quotes, of the line that begins here; none for a comment.
    fn assignment(&mut self) -> Result<Option<(&'a str, String)>, &'static str> {
        self.export();
        let name = self.name()?;
        self.take_while(is_blank);
        let value = if self.take("=") {
            let has_blank = !self.take_while(is_blank).is_empty();
            // A comment, as `#` is only after a blank.
            if has_blank && self.rest.starts_with('#') { String::new() } else { self.value()? }
        } else if name.is_some() {
            return Err("is not NAME=VALUE");
        } else {
            String::new()
        };
        self.end_of_line()?;
        Ok(name.map(|name| (name, value)))
    }

    fn export(&mut self) {
        if let Some(rest) = self.rest.strip_prefix("export")
            && rest.starts_with(is_blank)
        {
            self.rest = rest.trim_start_matches(is_blank);
        }
    }

    /// The name; none where a comment begins.
    fn name(&mut self) -> Result<Option<&'a str>, &'static str> {
        if self.rest.starts_with('#') {
            return Ok(None);
        }
        let name = if self.take("'") {
            let (name, rest) = self.rest.split_once('\'').ok_or("has a quote that is not closed")?;
            self.rest = rest;
            name
        } else {
            self.take_while(|c| !matches!(c, '=' | '#') && !is_space(c))
        };
        if name.is_empty() { Err("has an empty name") } else { Ok(Some(name)) }
    }

    fn value(&mut self) -> Result<String, &'static str> {
        if self.take("'") {
            return self.quoted('\'');
        }
        if self.take("\"") {
            return self.quoted('"');
        }
        let line = self.take_while(|c| c != '\n');
        let comment = line.match_indices('#').find(|(at, _)| line[..*at].ends_with(is_space));
        let value = comment.map_or(line, |(at, _)| &line[..at]);
        Ok(value.trim_end_matches(is_space).to_owned())
    }

    /// What stands before this quote, with its escapes replaced.
    fn quoted(&mut self, quote: char) -> Result<String, &'static str> {
        let mut value = String::new();
        let mut chars = self.rest.chars();
        while let Some(c) = chars.next() {
            if c == quote {
                self.rest = chars.as_str();
                return Ok(value);
            }
            if c != '\\' {
                value.push(c);
                continue;
            }
            let Some(escaped) = chars.next() else { break };
            match escape(escaped, quote) {
                Some(meant) => value.push(meant),
                None => value.extend([c, escaped]),
            }
        }
        Err("has a quote that is not closed")
    }

    /// A comment, and the end of the line.
    fn end_of_line(&mut self) -> Result<(), &'static str> {
        self.take_while(is_blank);
        if self.rest.starts_with('#') {
            self.take_while(|c| c != '\n');
        }
        if self.rest.is_empty() || self.take("\n") { Ok(()) } else { Err("has text behind its closing quote") }
    }

    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !accept(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

/// What an escape means between these quotes, where it is one.
fn escape(c: char, quote: char) -> Option<char> {
    match (c, quote) {
        ('\\' | '\'', _) => Some(c),
        (_, '\'') => None,
        ('"', _) => Some('"'),
        ('a', _) => Some('\u{7}'),
        ('b', _) => Some('\u{8}'),
        ('f', _) => Some('\u{c}'),
        ('n', _) => Some('\n'),
        ('r', _) => Some('\r'),
        ('t', _) => Some('\t'),
        ('v', _) => Some('\u{b}'),
        _ => None,
    }
}

/// Space as Python has it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Space within a line.
fn is_blank(c: char) -> bool {
    c != '\n' && is_space(c)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use serde::Deserialize;

    use super::*;

    /// A text, and what python-dotenv makes of it; tests/env_files/check.py compares the two.
    #[derive(Deserialize)]
    struct Case {
        text: String,
        /// None where python-dotenv finds something that it cannot read, or a name without a value.
        variables: Option<Vec<(String, String)>>,
    }

    fn environment() -> Environment {
        Environment::new([("HOME".into(), "/home/ann".into()), ("EMPTY".into(), "".into())])
    }

    #[test]
    fn files_are_read_as_python_dotenv_reads_them() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/env_files/corpus.json");
        let corpus: Vec<Case> = serde_json::from_slice(&fs::read(path).expect("there")).expect("JSON");
        assert!(corpus.len() > 300);
        for Case { text, variables } in corpus {
            assert_eq!(parse(&text, &environment()).ok(), variables, "{text:?}");
        }
    }

    #[test]
    fn errors_name_the_line_and_not_its_text() {
        for (text, line, what) in [
            ("A=1\nhunter2", 2, "is not NAME=VALUE"),
            ("=hunter2", 1, "has an empty name"),
            ("A='\n\n'\n\nB=\"hunter2", 5, "has a quote that is not closed"),
            ("A='1' hunter2", 1, "has text behind its closing quote"),
        ] {
            let problem = parse(text, &environment()).expect_err(text);
            assert_eq!((problem.line, problem.what.as_str()), (line, what), "{text}");
        }
    }

    fn refusal(path: &Path) -> String {
        let path = path.to_str().expect("Unicode");
        read(path, &environment()).expect_err(path).message().to_owned()
    }

    #[test]
    fn only_a_regular_file_of_moderate_size_is_read() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let (fifo, huge) = (folder.path().join("fifo"), folder.path().join("huge"));
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
        fs::File::create(&huge).and_then(|file| file.set_len(1 << 40)).expect("a file with a hole");
        for path in [Path::new("/dev/zero"), Path::new("/dev/tty"), &fifo, folder.path()] {
            assert!(refusal(path).contains(&format!("cannot read {}", path.display())), "{}", path.display());
        }
        assert!(refusal(&huge).ends_with("larger than 4194304 bytes"));
        assert!(refusal(Path::new("no-such-file.env")).starts_with("--env-file: cannot read no-such-file.env: "));
        fs::write(&huge, b"A=\xff").expect("temporary file");
        assert!(refusal(&huge).ends_with("it is not UTF-8"));
    }

    #[test]
    fn more_variables_than_the_service_takes_are_refused_and_named() {
        let lines = |count| (0..count).map(|index| format!("V{index}=x\n")).collect::<String>();
        assert_eq!(parse(&lines(1000), &environment()).expect("as many as may be").len(), 1000);
        let problem = parse(&lines(200_000), &environment()).expect_err("too many");
        assert_eq!((problem.line, problem.what.contains("1000")), (1001, true));
    }

    #[test]
    fn what_grows_by_references_is_bounded() {
        let doubled = |index: usize| format!("V{}=${{V{index}}}${{V{index}}}\n", index + 1);
        let text = "V0=x\n".to_owned() + &(0..60).map(doubled).collect::<String>();
        assert!(parse(&text, &environment()).expect_err("2^60 bytes").what.contains("4194304"));
    }

    /// A reader that looked at the rest again for each piece would take hours.
    #[test]
    fn a_hostile_text_of_the_largest_size_is_read_to_its_end() {
        for unit in ["${", "${a:", "${a:-", "#", "\\", "a #", "b\nA="] {
            let text = format!("A={}", unit.repeat((LARGEST - 2) / unit.len()));
            _ = parse(&text, &Environment::default());
            _ = parse(&format!("A='{text}"), &Environment::default());
        }
    }
}
