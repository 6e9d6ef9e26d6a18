//! Text from elsewhere without what a terminal obeys: control characters and changes of writing direction.

use std::{borrow::Cow, fmt::Write as _};

/// Text for people: what is unsafe becomes U+FFFD. Line breaks and tabs stay.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    replace(text, |safe, _| safe.push(char::REPLACEMENT_CHARACTER))
}

/// JSON with the same characters escaped. They occur only within strings, and the serializer has escaped those below U+0020.
pub(super) fn json(json: &str) -> Cow<'_, str> {
    replace(json, |safe, unsafe_one| _ = write!(safe, "\\u{:04x}", u32::from(unsafe_one)))
}

fn replace(text: &str, with: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) { with(&mut safe, c) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

/// C0 (ESC among them) but for line breaks and tabs, DEL, C1, and the bidirectional overrides and isolates.
fn is_unsafe(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
    fn ordinary_text_stays_as_it_is() {
        let ordinary = "one\ttwo\nпять 日本語 😀";
        assert!(matches!(text(ordinary), Cow::Borrowed(same) if same == ordinary));
    }

    #[test]
    fn json_still_says_the_same() {
        let value = serde_json::json!({"message": "\u{1b}[0m\u{9b}\u{202e}x"});
        let printed = serde_json::to_string_pretty(&value).expect("serializes");
        let printed = json(&printed);
        assert!(printed.is_ascii(), "{printed}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).expect("parses"), value);
    }
}
