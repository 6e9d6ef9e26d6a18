//! The one pager behind every list: page after page, only as they are asked for, and within bounds.
//!
//! A list ends when the service says so. One that never would, whatever keeps it going, is a protocol error.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
};

use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use prost::Message;

use super::answer::{Named, all_under};
use crate::{
    call::{Call, Caller},
    error::{Error, ErrorKind, Result},
    proto::Method,
    transport::Routing,
};

/// The largest page that is read: its items hold whole templates, whose variables alone may pass 4 MiB.
const PAGE_BYTES: usize = 64 * 1024 * 1024;

/// The most pages of a list: those of a thousand jobs with a thousand executions each (Cloud Run quotas), if the service
/// puts only ten items on a page.
const MOST_PAGES: usize = 100_000;

/// The most pages in a row without an item. AIP-158 allows some, for a service that filters after it has read.
const MOST_EMPTY: usize = 50;

/// A list to read.
pub(super) struct List<M> {
    pub(super) verb: &'static str,
    pub(super) parent: String,
    /// What the items are, as their names spell it.
    pub(super) collection: &'static str,
    pub(super) routing: Routing,
    /// The request for the first page.
    pub(super) message: M,
    /// The most items that there can be.
    pub(super) most: usize,
}

/// How a message and its answer page: which RPC, where the token goes in, and what comes out.
pub(super) struct Turn<M: 'static, P: 'static, T> {
    pub(super) method: &'static Method<M, P>,
    pub(super) to: fn(&mut M, String),
    pub(super) split: fn(P) -> (Vec<T>, String),
}

impl Caller {
    /// The pages of a list. The stream holds one page and eight bytes for each earlier one.
    pub(super) fn pages<M, P, T>(&self, list: List<M>, turn: Turn<M, P, T>) -> BoxStream<'static, Result<Vec<T>>>
    where
        M: Message + 'static,
        P: Message + Default + 'static,
        T: Named + Send + 'static,
    {
        let state = (self.clone(), list, turn, Extent::default(), Some(String::new()));
        stream::try_unfold(state, |(caller, mut list, turn, mut progress, token)| async move {
            let Some(token) = token else { return Ok(None) };
            (turn.to)(&mut list.message, token);
            let call = Call::new(list.verb, &list.parent, turn.method, list.routing.clone(), &list.message);
            let (items, next) = (turn.split)(caller.read(&call.reading(PAGE_BYTES)).await?);
            let checked = all_under(&list.parent, list.collection, &items)
                .and_then(|()| progress.note(items.len(), &next, list.most));
            checked.map_err(|error| error.doing(list.verb, &list.parent))?;
            let next = Some(next).filter(|next| !next.is_empty());
            Ok(Some((items, (caller, list, turn, progress, next))))
        })
        .boxed()
    }
}

/// What is on these pages.
pub(super) fn items<T: Send + 'static>(pages: BoxStream<'static, Result<Vec<T>>>) -> BoxStream<'static, Result<T>> {
    pages.map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten().boxed()
}

/// How far a list has been read.
#[derive(Default)]
struct Extent {
    hasher: RandomState,
    /// The hashes of the tokens so far: tokens are as long as the service likes.
    tokens: HashSet<u64>,
    items: usize,
    /// Pages without an item since the last one with items.
    empty: usize,
}

impl Extent {
    /// Takes note of a page with this many items and the token of the next one.
    fn note(&mut self, items: usize, next: &str, most: usize) -> Result<()> {
        self.items = self.items.saturating_add(items);
        self.empty = if items == 0 { self.empty + 1 } else { 0 };
        if self.items > most {
            return Err(endless(format!("more than {most} items, which is the most that there can be")));
        }
        if next.is_empty() {
            return Ok(());
        }
        if self.empty >= MOST_EMPTY {
            return Err(endless(format!("{MOST_EMPTY} pages in a row without an item")));
        }
        if !self.tokens.insert(self.hasher.hash_one(next)) {
            return Err(endless("a page token that it has answered with before".to_owned()));
        }
        if self.tokens.len() >= MOST_PAGES {
            return Err(endless(format!("{MOST_PAGES} pages and no end")));
        }
        Ok(())
    }
}

fn endless(what: String) -> Error {
    Error::new(ErrorKind::Protocol, format!("the service answered with {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads pages of this many items, each with a new token, until the list is refused.
    fn read(items: usize, most: usize) -> (usize, String) {
        let mut progress = Extent::default();
        for page in 1.. {
            if let Err(error) = progress.note(items, &page.to_string(), most) {
                return (page, error.to_string());
            }
        }
        unreachable!("the pages never end")
    }

    #[test]
    fn a_list_without_end_is_refused_by_its_pages_or_by_its_items() {
        assert_eq!(read(0, 10).0, MOST_EMPTY);
        assert_eq!(read(1, usize::MAX).0, MOST_PAGES);
        let (pages, error) = read(100, 10_000);
        assert_eq!(pages, 101);
        assert!(error.contains("more than 10000 items"), "{error}");
    }

    #[test]
    fn a_token_may_not_come_back_however_long_ago_it_was() {
        let mut progress = Extent::default();
        for token in ["a", "b", "c"] {
            progress.note(1, token, 100).expect("new");
        }
        assert_eq!(progress.note(1, "a", 100).expect_err("known").kind(), ErrorKind::Protocol);
        progress.note(1, "", 100).expect("the end");
    }

    #[test]
    fn pages_without_items_are_no_end_while_others_come_between() {
        let mut progress = Extent::default();
        for page in 0..10 * MOST_EMPTY {
            progress.note(page % 2, &page.to_string(), usize::MAX).expect("within bounds");
        }
    }
}
