//! The query of a request: fields of its message, and parameters that every Google API has.

use tonic::Status;

use super::{answer::Style, fields::Fields};

/// Query parameters that every Google API has, also with a `$` before them. All but `alt`, `fields` and `prettyPrint`
/// concern Google's own front end.
const SYSTEM: [&str; 12] = [
    ".xgafv",
    "access_token",
    "alt",
    "callback",
    "fields",
    "key",
    "oauth_token",
    "prettyPrint",
    "quotaUser",
    "uploadType",
    "upload_protocol",
    "userProject",
];

/// The query of a request, decoded.
#[derive(Debug)]
pub(super) struct Query {
    system: Vec<(String, String)>,
    /// Paths of fields and their values, in their order.
    pub(super) fields: Vec<(String, String)>,
}

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let all = form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned()));
        let (system, fields) = all.partition(|(name, _)| SYSTEM.contains(&name.trim_start_matches('$')));
        Self { system, fields }
    }

    pub(super) fn style(&self) -> Style {
        Style {
            enum_numbers: self.system("alt").is_some_and(|alt| alt.ends_with(";enum-encoding=int")),
            compact: self.system("prettyPrint") == Some("false"),
        }
    }

    /// The parts of the answer that are wanted.
    pub(super) fn wanted(&self) -> Result<Fields, Status> {
        let Some(text) = self.system("fields") else { return Ok(Fields::default()) };
        let malformed = || Status::invalid_argument(format!("Invalid field selection {}", text.escape_default()));
        Fields::parse(text).ok_or_else(malformed)
    }

    /// Refuses what would change the answer in a way that is not known here.
    pub(super) fn check(&self) -> Result<(), Status> {
        match self.system("alt") {
            None | Some("json" | "json;enum-encoding=int") => Ok(()),
            Some(alt) => Err(Status::invalid_argument(format!("There is no answer of the kind alt={alt}: use json."))),
        }
    }

    fn system(&self, name: &str) -> Option<&str> {
        let mut found = self.system.iter().filter(|(key, _)| key.trim_start_matches('$') == name);
        found.next_back().map(|(_, value)| value.as_str())
    }
}
