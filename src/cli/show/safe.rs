//! Text from elsewhere without what a terminal obeys, or what a reader cannot see: control characters, changes of writing
//! direction, zero-width characters, line separators.

use std::{borrow::Cow, fmt::Write as _};

/// Lines for people: what is unsafe becomes U+FFFD. Line breaks and tabs stay.
pub(in crate::cli) fn text(text: &str) -> Cow<'_, str> {
    replace(text, is_unsafe, |safe, _| safe.push(char::REPLACEMENT_CHARACTER))
}

/// One line for people: as [`text`], with a space for each line break and tab, so that it cannot pass for two.
pub(in crate::cli) fn line(text: &str) -> Cow<'_, str> {
    let breaks = |c| matches!(c, '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    replace(
        text,
        |c| breaks(c) || is_unsafe(c),
        |safe, c| safe.push(if breaks(c) { ' ' } else { char::REPLACEMENT_CHARACTER }),
    )
}

/// JSON with the same characters escaped. They occur only within strings, and the serializer has escaped those below U+0020.
pub(in crate::cli) fn json(json: &str) -> Cow<'_, str> {
    replace(json, is_unsafe, |safe, c| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            _ = write!(safe, "\\u{unit:04x}");
        }
    })
}

/// YAML with the same characters escaped, which must stand in double-quoted strings; [`is_safe`] tells which do.
pub(in crate::cli) fn yaml(yaml: &str) -> Cow<'_, str> {
    replace(yaml, is_unsafe, |safe, c| _ = write!(safe, "\\U{:08x}", u32::from(c)))
}

/// Whether this text holds nothing that must be escaped.
pub(in crate::cli) fn is_safe(text: &str) -> bool {
    !text.contains(is_unsafe)
}

fn replace(text: &str, what: impl Fn(char) -> bool, with: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(&what) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if what(c) { with(&mut safe, c) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

/// C0 (ESC among them) but for line breaks and tabs, DEL, C1 (NEL among them); characters of Unicode's category Cf, which
/// turn the writing direction or have no width; the line and paragraph separators.
fn is_unsafe(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_nothing_that_a_terminal_obeys() {
        let hostile = "a\u{1b}[31mb\u{7}\u{9b}2J\r\u{7f}\u{202e}c\u{2066}";
        assert_eq!(text(hostile), "a\u{fffd}[31mb\u{fffd}\u{fffd}2J\u{fffd}\u{fffd}\u{fffd}c\u{fffd}");
    }

    #[test]
    fn text_keeps_nothing_that_cannot_be_seen() {
        for c in ['\u{200b}', '\u{200d}', '\u{200e}', '\u{2028}', '\u{2060}', '\u{feff}', '\u{61c}', '\u{e0041}'] {
            assert_eq!(text(&format!("a{c}b")), "a\u{fffd}b", "{:x}", u32::from(c));
        }
    }

    #[test]
    fn a_line_stays_one_line() {
        for c in ['\n', '\r', '\t', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'] {
            assert_eq!(line(&format!("nope{c}hint: run this\u{1b}")), "nope hint: run this\u{fffd}", "{c:?}");
        }
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        let ordinary = "one\ttwo\nпять 日本語 😀";
        assert!(matches!(text(ordinary), Cow::Borrowed(same) if same == ordinary));
    }

    #[test]
    fn json_still_says_the_same() {
        let value = serde_json::json!({"message": "\u{1b}[0m\u{9b}\u{202e}\u{2028}\u{e0041}x"});
        let printed = serde_json::to_string_pretty(&value).expect("serializes");
        let printed = json(&printed);
        assert!(printed.is_ascii(), "{printed}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).expect("parses"), value);
    }
}
