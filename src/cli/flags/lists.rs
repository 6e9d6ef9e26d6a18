//! gcloud's syntax for lists: `A,B`, and `^DELIM^A DELIM B` when an element holds a comma; flags that are repeated add up.
//!
//! Errors name the flag and the element's place, never its text: values of environment variables are often secrets.

use std::collections::HashSet;

use crate::cli::failure::Failure;

/// The elements of all lists that a flag was given. An empty text is the empty list; one separator at the end adds no
/// element.
pub(in crate::cli) fn list(flag: &str, texts: &[String]) -> Result<Vec<String>, Failure> {
    let mut elements = Vec::new();
    for text in texts {
        let (delimiter, list) = delimiter(text);
        if delimiter.is_empty() {
            return Err(Failure::usage(format!("{flag}: no separator stands between the two ^"))
                .hint("write ^:^a:b to separate with a colon"));
        }
        if !list.is_empty() {
            elements.extend(list.strip_suffix(delimiter).unwrap_or(list).split(delimiter).map(str::to_owned));
        }
    }
    Ok(elements)
}

/// The elements of a list of `NAME=VALUE`, of which each name is given once.
pub(in crate::cli) fn pairs(flag: &str, texts: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let mut names = HashSet::new();
    let pair = |(index, element): (usize, String)| {
        let place = format!("{flag}: element {}", index + 1);
        let (name, value) = element.split_once('=').ok_or_else(|| {
            Failure::usage(format!("{place} is not NAME=VALUE"))
                .hint("a comma separates elements; for values that hold commas, choose another separator: ^;^A=1,2;B=3")
        })?;
        if name.is_empty() {
            return Err(Failure::usage(format!("{place} has an empty name")));
        }
        if !names.insert(name.to_owned()) {
            return Err(Failure::usage(format!("{place} sets {name} a second time")));
        }
        Ok((name.to_owned(), value.to_owned()))
    };
    list(flag, texts)?.into_iter().enumerate().map(pair).collect()
}

/// The separator, and the text it separates.
fn delimiter(text: &str) -> (&str, &str) {
    text.strip_prefix('^').and_then(|rest| rest.split_once('^')).unwrap_or((",", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_as_gcloud_splits_them() {
        let cases: [(&str, &[&str]); 9] = [
            ("", &[]),
            ("a", &["a"]),
            ("a,b", &["a", "b"]),
            ("a,,b", &["a", "", "b"]),
            ("a,", &["a"]),
            (",", &[""]),
            ("^:^a,b:c", &["a,b", "c"]),
            ("^--^a--b-c", &["a", "b-c"]),
            ("^", &["^"]),
        ];
        for (text, expected) in cases {
            assert_eq!(list("--args", &[text.to_owned()]).expect(text), expected, "{text}");
        }
    }

    #[test]
    fn lists_that_are_repeated_add_up() {
        let texts = ["a", "b,c", "", "^:^d:e"].map(str::to_owned);
        assert_eq!(list("--args", &texts).expect("valid"), ["a", "b", "c", "d", "e"]);
        let twice = pairs("--update-env-vars", &["A=1".to_owned(), "A=2".to_owned()]).expect_err("two values");
        assert_eq!(twice.message(), "--update-env-vars: element 2 sets A a second time");
    }

    #[test]
    fn a_separator_of_nothing_is_refused() {
        assert!(list("--args", &["^^a".to_owned()]).expect_err("empty").message().contains("--args"));
    }

    #[test]
    fn a_value_may_hold_an_equals_sign_and_be_empty() {
        let expected = [("A".to_owned(), "b=c".to_owned()), ("D".to_owned(), String::new())];
        assert_eq!(pairs("--update-env-vars", &["A=b=c".to_owned(), "D=".to_owned()]).expect("valid"), expected);
    }

    #[test]
    fn errors_name_the_place_and_not_the_value() {
        let cases = [
            ("A=1,hunter2", "--update-env-vars: element 2 is not NAME=VALUE"),
            ("=hunter2", "--update-env-vars: element 1 has an empty name"),
            ("A=1,A=hunter2", "--update-env-vars: element 2 sets A a second time"),
        ];
        for (text, expected) in cases {
            assert_eq!(pairs("--update-env-vars", &[text.to_owned()]).expect_err(text).message(), expected);
        }
    }
}
