//! Pages of lists: sizes, tokens, and where a page ends.

use prost::Message;

use crate::emulator::{refusal::Refusal, state::Cursor};

const DEFAULT_SIZE: usize = 100;
const MAX_SIZE: usize = 1000;
/// Below the 4 MiB that clients accept by default.
const MAX_BYTES: usize = 3 * 1024 * 1024;

/// The page that a request asks for.
#[derive(Debug)]
pub(super) struct Page {
    size: usize,
    pub(super) after: Option<Cursor>,
}

impl Page {
    pub(super) fn parse(size: i32, token: &str) -> Result<Self, Refusal> {
        let size = match usize::try_from(size) {
            Ok(0) => DEFAULT_SIZE,
            Ok(size) => size.min(MAX_SIZE),
            Err(_) => return Err(Refusal::invalid("page_size", "must not be negative.")),
        };
        let cursor = || token.parse().map_err(|_| Refusal::invalid("page_token", "is not one that this service gave."));
        let after = if token.is_empty() { None } else { Some(cursor()?) };
        Ok(Self { size, after })
    }

    /// As many items as fit, and the token of the next page if there is one.
    pub(super) fn fill<T: Message>(&self, items: impl Iterator<Item = (Cursor, T)>) -> (Vec<T>, String) {
        let mut items = items.peekable();
        let mut page = Vec::new();
        let mut bytes = 0;
        let mut last = None;
        while let Some((cursor, item)) = items.next_if(|(_, item)| {
            bytes += item.encoded_len();
            page.is_empty() || page.len() < self.size && bytes <= MAX_BYTES
        }) {
            page.push(item);
            last = Some(cursor);
        }
        let more = items.peek().is_some();
        (page, last.filter(|_| more).map(|cursor| cursor.to_string()).unwrap_or_default())
    }
}
