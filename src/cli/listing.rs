//! Lists, as the verbs that list print them: read page by page, chosen from, sorted, and held as what is printed.
//!
//! Knows no resource in particular; each says in a [`Listed`] what it has.

use std::{cmp::Ordering, marker::PhantomData, num::NonZeroU32, pin::pin};

use futures_util::{Stream, TryStreamExt as _};
use prost::Name;
use prost_types::Timestamp;
use serde_json::Value;

use super::{
    failure::Failure,
    flags::{
        global::Format,
        listing::{By, Known, Listing, Term},
    },
    printer::Printer,
    show::json::ResourceKind,
};
use crate::{Result as Answered, call::PAGE_SIZE};

/// The page size unless --page-size or --limit says otherwise.
const PAGE: NonZeroU32 = NonZeroU32::new(PAGE_SIZE.unsigned_abs()).expect("not zero");

/// A resource that is shown in a list, with what else is known of it.
pub(super) trait Listed {
    type Resource: Name;

    /// What it can be chosen and sorted by.
    const KNOWN: Known;

    /// What is printed where the resource itself is wanted.
    fn resource(&self) -> &Self::Resource;

    fn name(&self) -> &str;

    /// One of the known states, or a word for what the service has added since.
    fn state(&self) -> String;

    fn label(&self, key: &str) -> Option<&str>;

    /// What it is sorted by, for one of the known fields.
    fn key(&self, field: &str) -> Key;

    /// A cell for each of the known columns.
    fn row(&self) -> Vec<String>;
}

/// What resources are sorted by: a number or a time, or a text.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(i64, i32, String);

impl Key {
    pub(super) fn number(number: i32) -> Self {
        Self(number.into(), 0, String::new())
    }

    /// What has no time comes last, as what has not ended yet.
    pub(super) fn time(time: Option<&Timestamp>) -> Self {
        time.map_or(Self(i64::MAX, 0, String::new()), |time| Self(time.seconds, time.nanos, String::new()))
    }

    pub(super) fn text(text: &str) -> Self {
        Self(0, 0, text.to_owned())
    }
}

/// Which resources of a list to print, and how.
#[derive(Debug)]
pub(super) struct Choice<T> {
    limit: Option<NonZeroU32>,
    page_size: NonZeroU32,
    terms: Vec<Term>,
    order: Vec<By>,
    uri: bool,
    of: PhantomData<fn() -> T>,
}

impl<T: Listed> Choice<T> {
    /// The choice that was typed.
    pub(super) fn of(typed: &Listing) -> Result<Self, Failure> {
        let (terms, order) = (typed.terms(&T::KNOWN)?, typed.order(&T::KNOWN)?);
        // A few of an unsorted list are its first.
        let enough = typed.limit.filter(|_| terms.is_empty() && order.is_empty()).map_or(PAGE, |limit| limit.min(PAGE));
        let page_size = typed.page_size.unwrap_or(enough);
        Ok(Self { limit: typed.limit, page_size, terms, order, uri: typed.uri, of: PhantomData })
    }

    /// Whether it matters what state each is in, where they are printed in this format.
    pub(super) fn needs_state(&self, format: Format) -> bool {
        let is_shown = format == Format::Text && !self.uri;
        let is_chosen_by = self.terms.iter().any(|term| matches!(term, Term::State(_)));
        is_shown || is_chosen_by || self.order.iter().any(|by| by.field == "state")
    }

    /// Whether reading on may be in vain, because there are enough.
    pub(super) fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// How many resources to ask for at a time.
    pub(super) fn page_size(&self) -> NonZeroU32 {
        self.page_size
    }

    fn wants(&self, resource: &T) -> bool {
        self.terms.iter().all(|term| match term {
            Term::State(state) => resource.state() == *state,
            Term::Label { key, value } => resource.label(key) == Some(value),
        })
    }

    fn has_enough(&self, found: usize) -> bool {
        self.limit.is_some_and(|limit| u32::try_from(found).map_or(true, |found| found >= limit.get()))
    }

    fn compare(&self, one: &[Key], other: &[Key]) -> Ordering {
        let fields = self.order.iter().zip(one.iter().zip(other));
        fields.fold(Ordering::Equal, |order, (by, (one, other))| {
            order.then_with(|| if by.is_descending { other.cmp(one) } else { one.cmp(other) })
        })
    }
}

/// As what the resources are printed.
enum ListStyle<T: Listed> {
    Uri,
    Row,
    Object(ResourceKind<T::Resource>),
}

impl<T: Listed> ListStyle<T> {
    fn show(&self, resource: &T) -> Result<Shown, Failure> {
        Ok(match self {
            Self::Uri => Shown::Uri(format!("https://run.googleapis.com/v2/{}", resource.name())),
            Self::Row => Shown::Row(resource.row()),
            Self::Object(kind) => Shown::Object(kind.object(resource.resource())?),
        })
    }
}

/// A resource as it will be printed. The resource itself is let go: ten thousand tasks hold their containers each.
enum Shown {
    Uri(String),
    Row(Vec<String>),
    Object(Value),
}

/// Reads as much of the list as the choice needs, and prints it.
pub(super) async fn print<T: Listed>(
    list: impl Stream<Item = Answered<T>>,
    choice: &Choice<T>,
    printer: &Printer,
) -> Result<(), Failure> {
    let style = match printer.format() {
        _ if choice.uri => ListStyle::Uri,
        Format::Text => ListStyle::Row,
        Format::Json => ListStyle::Object(ResourceKind::new()?),
    };
    let mut list = pin!(list);
    let mut found: Vec<(Vec<Key>, Shown)> = Vec::new();
    while !(choice.order.is_empty() && choice.has_enough(found.len()))
        && let Some(resource) = list.try_next().await?
    {
        if choice.wants(&resource) {
            let keys = choice.order.iter().map(|by| resource.key(by.field)).collect();
            found.push((keys, style.show(&resource)?));
        }
    }
    found.sort_by(|(one, _), (other, _)| choice.compare(one, other));
    found.truncate(choice.limit.map_or(usize::MAX, |limit| limit.get() as usize));
    write::<T>(found.into_iter().map(|(_, shown)| shown), choice.uri, printer)
}

fn write<T: Listed>(list: impl Iterator<Item = Shown>, only_uris: bool, printer: &Printer) -> Result<(), Failure> {
    let (mut uris, mut rows, mut objects) = (Vec::new(), Vec::new(), Vec::new());
    for shown in list {
        match shown {
            Shown::Uri(uri) => uris.push(uri),
            Shown::Row(row) => rows.push(row),
            Shown::Object(object) => objects.push(object),
        }
    }
    match printer.format() {
        Format::Json if only_uris => printer.json(&uris),
        Format::Json => printer.json(&objects),
        Format::Text if only_uris => uris.iter().try_for_each(|uri| printer.text(uri)),
        Format::Text => printer.table(T::KNOWN.columns, rows),
    }
}
