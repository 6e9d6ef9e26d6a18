//! A result as YAML: the value that JSON would have, with the fields of an object in the order of their names.

use std::io;

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_saphyr::DoubleQuoted;

use super::safe;

/// The value in YAML, without a line break at its end.
pub(in crate::cli) fn text(value: &impl Serialize) -> io::Result<String> {
    let value = serde_json::to_value(value)?;
    let text = serde_saphyr::to_string(&Yaml(&value)).map_err(io::Error::other)?;
    Ok(safe::yaml(text.strip_suffix('\n').unwrap_or(&text)).into_owned())
}

/// A value whose texts stand in double quotes where something in them must be escaped.
struct Yaml<'a>(&'a Value);

impl Serialize for Yaml<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) => Text(text).serialize(serializer),
            Value::Array(values) => serializer.collect_seq(values.iter().map(Yaml)),
            Value::Object(fields) => {
                serializer.collect_map(fields.iter().map(|(name, value)| (Text(name), Yaml(value))))
            }
            other => other.serialize(serializer),
        }
    }
}

struct Text<'a>(&'a str);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A block that begins with an empty line or with spaces is not read back by every reader.
        let is_plain = safe::is_safe(self.0) && !self.0.starts_with(char::is_whitespace);
        if is_plain { self.0.serialize(serializer) } else { DoubleQuoted(self.0).serialize(serializer) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_says_the_same_as_json() {
        let words = [
            "",
            " ",
            "a b",
            "yes",
            "no",
            "null",
            "~",
            "1",
            "1.0",
            "0x1f",
            "1e3",
            "2026-11-28",
            "12:30:00",
            ".inf",
            "- a",
            "a: b",
            "a #b",
            "#a",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{a}",
            "[a]",
            "a,b",
            "'a'",
            "\"a\"",
            "a\\b",
            "|",
            ">",
            "a\nb",
            "a\nb\n",
            "a\n\n",
            "\n",
            "\n\n",
            "\n\na",
            "\n ",
            "a \n b\n ",
            "a\n\n b\n\n\n",
            " a\n b",
            "\ta",
            "a\tb",
            "---",
            "...",
            "?",
            ": ",
            "=",
            "<<",
            "ünï 日本 😀",
        ];
        let long = "long ".repeat(40);
        let list: Vec<Value> = words.into_iter().chain([long.as_str()]).map(Value::from).collect();
        let mut fields: serde_json::Map<_, _> = words
            .iter()
            .filter(|word| !word.is_empty())
            .map(|word| ((*word).to_owned(), json!({ "in": word })))
            .collect();
        fields.insert("numbers".to_owned(), json!([0, -1, 1.5, u64::MAX, i64::MIN, true, false, null, {}, []]));
        for value in [json!(list), Value::Object(fields), json!({"a": {"b": [{"c": list}]}}), json!([]), json!("x")] {
            let text = text(&value).expect("written");
            let read: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(read, value, "{text}");
        }
    }

    #[test]
    fn what_a_terminal_obeys_or_nobody_sees_is_escaped_and_kept() {
        let hostile = "\u{1b}[0m\u{9b}\u{7f}\r\u{202e}\u{200b}\u{2028}\u{feff}\u{e0041}x\ny";
        let value = json!({"message": hostile, hostile: [hostile]});
        let text = text(&value).expect("written");
        assert!(text.is_ascii() && text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
        assert_eq!(serde_saphyr::from_str::<Value>(&text).expect("parses"), value);
    }

    #[test]
    fn a_resource_reads_as_gcloud_prints_it() {
        let value = json!({"name": "a/b", "count": 2, "list": [{"b": "1", "a": null}], "note": "one\ntwo\n"});
        let expected = "count: 2\nlist:\n- a: null\n  b: \"1\"\nname: a/b\nnote: |\n  one\n  two";
        assert_eq!(text(&value).expect("written"), expected);
    }
}
