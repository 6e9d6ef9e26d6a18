//! Arguments for containers: gcloud's lists, and files with one argument on each line, `@FILE` and `@-`.
//!
//! Errors name the file and the line, never the text.

use super::{file, lists};
use crate::cli::failure::Failure;

/// What is written before the name of a file. `^,^@text` is the text itself, by gcloud's own syntax for lists.
const FILE: char = '@';

/// How stdin is named as a file of arguments.
pub(in crate::cli) const STDIN: &str = "@-";

/// The value of `--args` that reads this file.
pub(in crate::cli) fn of_file(path: &str) -> String {
    format!("{FILE}{path}")
}

/// The elements of all lists and files that `--args` was given, in the order typed.
pub(in crate::cli) fn list(texts: &[String]) -> Result<Vec<String>, Failure> {
    let mut arguments = Vec::new();
    for text in texts {
        match text.strip_prefix(FILE) {
            Some(path) => arguments.extend(lines(path)?),
            None => arguments.extend(lists::list("--args", std::slice::from_ref(text))?),
        }
    }
    Ok(arguments)
}

/// The lines of a file, of which the last may lack its end.
fn lines(path: &str) -> Result<Vec<String>, Failure> {
    let text = file::read_or_stdin(path, file::MESSAGE).map_err(|error| {
        Failure::usage(format!("--args: cannot read arguments from {}: {error}", shown(path))).hint(format!(
            "--args=@FILE and --args-file=FILE read one argument a line; a text that begins with {FILE} is written \
             --args=^,^{FILE}text"
        ))
    })?;
    if let Some(line) = text.lines().position(|line| line.contains('\0')) {
        let place = format!("{}, line {}", shown(path), line + 1);
        return Err(Failure::usage(format!("--args: {place} has a NUL character, which no argument can hold")));
    }
    Ok(text.lines().map(str::to_owned).collect())
}

fn shown(path: &str) -> &str {
    if path == file::STDIN { "stdin" } else { path }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(text: &[u8]) -> Result<Vec<String>, Failure> {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("arguments");
        fs::write(&path, text).expect("temporary file");
        list(&["first".to_owned(), of_file(&path.display().to_string()), "y,z".to_owned()])
    }

    #[test]
    fn each_line_of_a_file_is_one_argument_as_it_stands() {
        assert_eq!(read(b"a,b\n\n c \r\n^:^d").expect("valid"), ["first", "a,b", "", " c ", "^:^d", "y", "z"]);
        assert_eq!(read(b"").expect("valid"), ["first", "y", "z"]);
        assert_eq!(read(b"\n").expect("valid"), ["first", "", "y", "z"]);
    }

    #[test]
    fn a_text_that_begins_with_the_mark_can_be_written() {
        assert_eq!(list(&["^,^@acme/x,@y".to_owned()]).expect("valid"), ["@acme/x", "@y"]);
    }

    #[test]
    fn what_is_no_text_of_arguments_is_refused_without_its_text() {
        for (text, reason) in [(b"\xffhunter2".as_slice(), "not UTF-8"), (b"a\nhunter2\0", "line 2 has a NUL")] {
            let failure = read(text).expect_err(reason);
            assert!(failure.message().contains(reason), "{failure:?}");
            assert!(!failure.message().contains("hunter2"), "{failure:?}");
        }
        let large = vec![b'a'; file::MESSAGE + 1];
        assert!(read(&large).expect_err("too large").message().contains("larger than"));
        for path in ["@/nonexistent/args", "@/dev/zero", "@"] {
            assert!(list(&[path.to_owned()]).is_err(), "{path}");
        }
    }
}
