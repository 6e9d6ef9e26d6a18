//! Flags of the commands that list: how much is asked for, which of it is shown, in which order, and as what.
//!
//! Knows the syntax, and from each command the states and the fields that its resources have. Anything else is refused: a
//! filter that is half understood shows the wrong resources.

use std::num::NonZeroU32;

use crate::cli::failure::Failure;

/// Flags of a command that lists.
#[derive(Debug, Default, clap::Args)]
pub(in crate::cli) struct Listing {
    /// Most resources to show. Once they are found, no more pages are asked for.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(in crate::cli) limit: Option<NonZeroU32>,
    /// Resources to ask for at a time; the service may answer with fewer. The default is 100.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(in crate::cli) page_size: Option<NonZeroU32>,
    /// Field to sort by, or several, separated by commas; with ~ before it the other way round, as in `~created`.
    #[arg(long, value_name = "FIELD,...")]
    sort_by: Vec<String>,
    /// Show only what is in this state or has this label: `failed`, `state=failed`, `labels.team=a`. Several are
    /// joined by AND, and each must hold.
    #[arg(long, value_name = "TERM")]
    filter: Vec<String>,
    /// Show the address of each resource, and nothing else.
    #[arg(long)]
    pub(in crate::cli) uri: bool,
}

/// What the resources of a list have: columns to show, states and fields to choose and to sort by.
#[derive(Debug)]
pub(in crate::cli) struct Known {
    pub(in crate::cli) columns: &'static [&'static str],
    pub(in crate::cli) states: &'static [&'static str],
    pub(in crate::cli) fields: &'static [&'static str],
    pub(in crate::cli) has_labels: bool,
}

/// What a resource must be to be shown.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Term {
    State(&'static str),
    Label { key: String, value: String },
}

/// A field to sort by.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct By {
    pub(in crate::cli) field: &'static str,
    pub(in crate::cli) is_descending: bool,
}

impl Listing {
    /// What `--filter` asks for: all of it must hold.
    pub(in crate::cli) fn terms(&self, known: &Known) -> Result<Vec<Term>, Failure> {
        let words = self.filter.iter().flat_map(|filter| filter.split_whitespace());
        words.filter(|word| *word != "AND").map(|word| known.term(word)).collect()
    }

    /// What `--sort-by` asks for, the most important first.
    pub(in crate::cli) fn order(&self, known: &Known) -> Result<Vec<By>, Failure> {
        let fields = self.sort_by.iter().flat_map(|fields| fields.split(','));
        fields.map(|field| known.by(field.trim())).collect()
    }
}

impl Known {
    fn term(&self, word: &str) -> Result<Term, Failure> {
        let refusal = || Failure::usage(format!("--filter: '{word}' is not understood")).hint(self.allowed());
        let Some((field, value)) = word.split_once('=') else {
            return self.state(word).map(Term::State).ok_or_else(refusal);
        };
        let value = value.trim_matches(['"', '\'']);
        match field.strip_prefix("labels.") {
            Some(key) if self.has_labels && is_label(key) && is_label_value(value) => {
                Ok(Term::Label { key: key.to_owned(), value: value.to_owned() })
            }
            None if field == "state" => self.state(value).map(Term::State).ok_or_else(refusal),
            _ => Err(refusal()),
        }
    }

    fn state(&self, word: &str) -> Option<&'static str> {
        self.states.iter().copied().find(|state| state.eq_ignore_ascii_case(word))
    }

    fn allowed(&self) -> String {
        let states = self.states.join(", ");
        let labels = if self.has_labels { ", or labels.KEY=VALUE; several are joined by AND" } else { "" };
        format!("use a state ({states}), as in state={}{labels}", self.states[0])
    }

    fn by(&self, typed: &str) -> Result<By, Failure> {
        let (is_descending, name) = typed.strip_prefix('~').map_or((false, typed), |name| (true, name));
        let field = self.fields.iter().copied().find(|field| *field == self.alias(name));
        let field = field.ok_or_else(|| {
            Failure::usage(format!("--sort-by: there is no field '{name}'"))
                .hint(format!("use {}; ~ before it turns the order round", self.fields.join(", ")))
        })?;
        Ok(By { field, is_descending })
    }

    /// Our name of a field that is spelt as in a resource, of v2 or as gcloud has it from v1.
    fn alias<'a>(&self, name: &'a str) -> &'a str {
        match name {
            "metadata.name" => "name",
            "createTime" | "metadata.creationTimestamp" => "created",
            "updateTime" => "updated",
            "startTime" | "status.startTime" => "started",
            "completionTime" | "status.completionTime" => "ended",
            "executionCount" | "status.executionCount" => "executions",
            "status.index" => "index",
            "retried" | "status.retried" => "retries",
            other => other,
        }
    }
}

/// Whether this can be the key of a label, of which some are the service's own, as in `run.googleapis.com/job`.
fn is_label(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
}

fn is_label_value(value: &str) -> bool {
    value.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Known =
        Known { columns: &["NAME"], states: &["running", "failed"], fields: &["name", "created"], has_labels: true };

    fn terms(filter: &str) -> Result<Vec<Term>, Failure> {
        Listing { filter: vec![filter.to_owned()], ..Listing::default() }.terms(&KNOWN)
    }

    #[test]
    fn a_filter_is_states_and_labels() {
        let label = |key: &str, value: &str| Term::Label { key: key.to_owned(), value: value.to_owned() };
        let cases = [
            ("", vec![]),
            ("failed", vec![Term::State("failed")]),
            ("state=FAILED", vec![Term::State("failed")]),
            ("state='failed' AND labels.team=\"a\"", vec![Term::State("failed"), label("team", "a")]),
            ("labels.run.googleapis.com/job=x labels.b=", vec![label("run.googleapis.com/job", "x"), label("b", "")]),
        ];
        for (filter, expected) in cases {
            assert_eq!(terms(filter).expect(filter), expected, "{filter}");
        }
    }

    #[test]
    fn what_is_no_state_and_no_label_is_refused() {
        for filter in [
            "done",
            "state=done",
            "state!=failed",
            "state:failed",
            "failed OR running",
            "NOT failed",
            "(failed)",
            "labels.=a",
            "labels.a~b",
            "labels.a=b*",
            "name=x",
            "labels.a=(b",
            "-failed",
            "=",
            "state=",
        ] {
            let failure = terms(filter).expect_err(filter);
            assert!(failure.message().starts_with("--filter: '"), "{}", failure.message());
            let allowed =
                "use a state (running, failed), as in state=running, or labels.KEY=VALUE; several are joined by AND";
            assert_eq!(failure.way_out(), Some(allowed), "{filter}");
        }
        let known = Known { has_labels: false, ..KNOWN };
        let listing = Listing { filter: vec!["labels.a=b".to_owned()], ..Listing::default() };
        let failure = listing.terms(&known).expect_err("no labels");
        assert_eq!(failure.way_out(), Some("use a state (running, failed), as in state=running"));
    }

    #[test]
    fn fields_are_sorted_by_in_both_directions_and_by_their_names_in_resources() {
        let order = |sort_by: &str| Listing { sort_by: vec![sort_by.to_owned()], ..Listing::default() }.order(&KNOWN);
        let by = |field, is_descending| By { field, is_descending };
        assert_eq!(order("~created,name").expect("valid"), [by("created", true), by("name", false)]);
        assert_eq!(order("~metadata.creationTimestamp").expect("valid"), [by("created", true)]);
        for wrong in ["size", "", "created,", "~~name"] {
            let failure = order(wrong).expect_err(wrong);
            assert_eq!(failure.way_out(), Some("use name, created; ~ before it turns the order round"), "{wrong}");
        }
    }
}
