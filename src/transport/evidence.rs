//! What an exchange proves about its request: one table, from what was seen to the claim that it carries.
//!
//! Whatever is not exactly a row of proof is ambiguous. docs/reliability.md shows the same table.

use h2::Reason;
use tonic::Code;

use super::wire::{Message, Seen};
use crate::retry::Evidence;

/// All that is known of an exchange that did not end in success.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Record {
    /// What the frames have shown.
    pub(super) seen: Seen,
    /// How h2 says that the stream ended, where it was broken.
    pub(super) broken: Option<Broken>,
    /// The status that the peer's answer ends with, where it is a proper gRPC answer without a message.
    pub(super) status: Option<Code>,
}

/// How a stream was broken, as h2 tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Broken {
    /// By the peer's RST_STREAM.
    Reset(Reason),
    /// By the peer's GOAWAY, which h2 tells of to the streams above its last one only (RFC 9113 6.8).
    GoAway,
    /// By anything else: the socket, h2 itself, us.
    Otherwise,
}

impl From<&h2::Error> for Broken {
    fn from(error: &h2::Error) -> Self {
        match error.reason() {
            // h2 makes the same two errors of its own for a connection that it gives up.
            Some(reason) if error.is_remote() && error.is_reset() => Self::Reset(reason),
            Some(_) if error.is_remote() && error.is_go_away() => Self::GoAway,
            _ => Self::Otherwise,
        }
    }
}

/// The table.
pub(super) fn evidence(record: &Record) -> Evidence {
    let Record { seen, broken, status } = record;
    let unanswered = seen.heads == 0 && !seen.body;
    let refused = Some(u32::from(Reason::REFUSED_STREAM));
    match (broken, status) {
        // A refusal in one HEADERS frame, or in the trailers behind a head, and no byte of a message (gRPC over
        // HTTP/2, Responses). Afterwards the peer may ask not to be sent the rest of the request (RFC 9113 8.1).
        (None, Some(code)) if is_refusal(*code) && is_bare(seen) && is_unbroken(seen.reset) => Evidence::Rejected,
        // The last frame of the message was never handed to the socket, and will not be.
        _ if seen.message != Message::Left => Evidence::NeverSent,
        // A refused stream was not processed (RFC 9113 8.7), unless an answer to it had begun.
        (Some(Broken::Reset(Reason::REFUSED_STREAM)), None) if unanswered && seen.reset == refused => {
            Evidence::Unprocessed
        }
        // Neither was a stream above the last one of every GOAWAY (RFC 9113 6.8).
        (Some(Broken::GoAway), None) if unanswered && seen.above_goaway && [None, refused].contains(&seen.reset) => {
            Evidence::Unprocessed
        }
        _ => Evidence::Ambiguous,
    }
}

fn is_bare(seen: &Seen) -> bool {
    !seen.body && (seen.heads == 1 && seen.only_head || seen.heads == 2)
}

fn is_unbroken(reset: Option<u32>) -> bool {
    reset.is_none_or(|code| code == u32::from(Reason::NO_ERROR))
}

/// The codes by which the service says that it has done nothing. `RESOURCE_EXHAUSTED` is not among them: that quota
/// is checked before the effect is usual and not promised.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
    )
}
