//! Rules by which old clients judged, put between the client under test and the oracle. Each is a mistake that this
//! project once made, and that the adversary has to find.

use runjob::ErrorKind;

use crate::{
    caller::{Claim, Told},
    world::Seen,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// What does not begin with SETTINGS does not speak HTTP/2, and has started nothing.
    OddFirstBytes,
    /// A refusal in the trailers counts, whatever came before it.
    RefusalAfterMessage,
    /// A refusal in a head counts, whatever comes after it.
    RefusalInOpenHead,
    /// An operation with an error and no metadata is a refusal.
    FailedOperation,
    /// What is listed with the key is ours, whatever its name.
    ForeignMatch,
    /// What GetJob answers is written back.
    ForeignJob,
    /// Details that cannot be read are a panic.
    BadDetails,
    /// What is not known to have started has not started.
    SilenceIsNothing,
}

impl Rule {
    pub(crate) const ALL: [Self; 8] = [
        Self::OddFirstBytes,
        Self::RefusalAfterMessage,
        Self::RefusalInOpenHead,
        Self::FailedOperation,
        Self::ForeignMatch,
        Self::ForeignJob,
        Self::BadDetails,
        Self::SilenceIsNothing,
    ];

    /// What a client with this rule would have said, if it differs.
    pub(crate) fn claim(self, told: &Told, seen: &Seen) -> Option<Claim> {
        let refused = || (told.start == Claim::Unknown).then_some(Claim::Nothing(ErrorKind::Rejected));
        match self {
            Self::OddFirstBytes if seen.first_is_odd => refused(),
            Self::RefusalAfterMessage if seen.refused_after_message => refused(),
            Self::RefusalInOpenHead if seen.refused_in_open_head => refused(),
            Self::FailedOperation if seen.failed_operation => refused(),
            Self::ForeignMatch => seen.foreign_match.clone().map(Claim::Started),
            Self::SilenceIsNothing => refused(),
            _ => None,
        }
    }

    /// Whether a client with this rule would have panicked.
    pub(crate) fn panics(self, seen: &Seen) -> bool {
        self == Self::BadDetails && seen.bad_details
    }

    /// Whether a client with this rule would have written another job back.
    pub(crate) fn miswrites(self, seen: &Seen) -> bool {
        self == Self::ForeignJob && seen.foreign_job
    }
}
