//! What an exchange proves about its request: one table, from what was seen to the claim that it carries.
//!
//! Whatever is not exactly a row of proof is ambiguous. docs/reliability.md shows the same table.

use h2::Reason;
use tonic::Code;

use super::wire::{Message, Seen};
use crate::{error::is_refusal, retry::Evidence};

/// All that is known of an exchange that did not end in success.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Record {
    /// What the frames have shown.
    pub(super) seen: Seen,
    /// How h2 says that the stream ended, where it was broken.
    pub(super) broken: Option<Broken>,
    /// The status of the peer's answer, where it is a gRPC answer and the status is not OK.
    pub(super) status: Option<Told>,
}

/// A status, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Told {
    InHead(Code),
    InTrailers(Code),
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
        // A refusal in one HEADERS frame, or in the trailers right behind a head (gRPC over HTTP/2, Responses). Afterwards
        // the peer may ask not to be sent the rest of the request (RFC 9113 8.1).
        (None, Some(told)) if is_refusal(told.code()) && stands_alone(told, seen) && is_unbroken(seen.reset) => {
            Evidence::Rejected
        }
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

impl Told {
    fn code(self) -> Code {
        let (Self::InHead(code) | Self::InTrailers(code)) = self;
        code
    }
}

/// Whether a status is all that there is of an answer: it stands in a head that ends the stream, or in proper trailers
/// right behind a head.
fn stands_alone(told: &Told, seen: &Seen) -> bool {
    let expected = match told {
        Told::InHead(_) => seen.only_head && seen.heads == 1,
        Told::InTrailers(_) => seen.trailers && seen.heads == 2 && !seen.only_head,
    };
    expected && !seen.body
}

fn is_unbroken(reset: Option<u32>) -> bool {
    reset.is_none_or(|code| code == u32::from(Reason::NO_ERROR))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: Option<u32> = Some(7);

    /// A request whose message has left, and nothing came.
    fn left() -> Record {
        Record { seen: Seen { message: Message::Left, ..Seen::default() }, ..Record::default() }
    }

    /// The same with this changed.
    fn after(change: impl FnOnce(&mut Record)) -> Evidence {
        let mut record = left();
        change(&mut record);
        evidence(&record)
    }

    fn trailers_only(record: &mut Record, code: Code) {
        (record.seen.heads, record.seen.only_head, record.status) = (1, true, Some(Told::InHead(code)));
    }

    fn head_and_trailers(record: &mut Record, code: Code) {
        (record.seen.heads, record.seen.trailers, record.status) = (2, true, Some(Told::InTrailers(code)));
    }

    #[test]
    fn a_message_that_was_never_handed_to_the_socket_was_never_sent() {
        for message in [Message::Held, Message::Withdrawn] {
            for broken in [Broken::Otherwise, Broken::GoAway, Broken::Reset(Reason::INTERNAL_ERROR)] {
                let seen = Seen { message, heads: 1, body: true, ..Seen::default() };
                let record = Record { seen, broken: Some(broken), status: None };
                assert_eq!(evidence(&record), Evidence::NeverSent);
            }
        }
    }

    #[test]
    fn a_refused_stream_was_not_processed_unless_an_answer_had_begun() {
        let refused = |record: &mut Record| {
            (record.seen.reset, record.broken) = (REFUSED, Some(Broken::Reset(Reason::REFUSED_STREAM)));
        };
        assert_eq!(after(refused), Evidence::Unprocessed);
        for begun in [|seen: &mut Seen| seen.heads = 1, |seen: &mut Seen| seen.body = true] {
            let answered = after(|record| {
                refused(record);
                begun(&mut record.seen);
            });
            assert_eq!(answered, Evidence::Ambiguous);
        }
        // h2 and the frames have to agree: it makes errors of its own, and bytes may be no frames.
        assert_eq!(after(|record| record.seen.reset = REFUSED), Evidence::Ambiguous);
        assert_eq!(after(|r| r.broken = Some(Broken::Reset(Reason::REFUSED_STREAM))), Evidence::Ambiguous);
    }

    #[test]
    fn a_stream_above_the_goaway_was_not_processed_unless_an_answer_had_begun() {
        let above = |record: &mut Record| (record.seen.above_goaway, record.broken) = (true, Some(Broken::GoAway));
        assert_eq!(after(above), Evidence::Unprocessed);
        for change in [
            |record: &mut Record| record.seen.heads = 1,
            |record: &mut Record| record.seen.above_goaway = false,
            |record: &mut Record| record.seen.reset = Some(8),
            |record: &mut Record| record.broken = Some(Broken::Otherwise),
        ] {
            let changed = after(|record| {
                above(record);
                change(record);
            });
            assert_eq!(changed, Evidence::Ambiguous);
        }
    }

    #[test]
    fn a_code_of_refusal_without_a_message_is_a_rejection() {
        for code in (0..17).map(Code::from_i32) {
            let expected = if is_refusal(code) { Evidence::Rejected } else { Evidence::Ambiguous };
            assert_eq!(after(|record| trailers_only(record, code)), expected, "{code:?}");
            assert_eq!(after(|record| head_and_trailers(record, code)), expected, "{code:?}");
        }
        let stopped = after(|record| {
            trailers_only(record, Code::NotFound);
            record.seen.reset = Some(0);
        });
        assert_eq!(stopped, Evidence::Rejected, "the rest of the request is not wanted");
    }

    #[test]
    fn a_refusal_that_is_more_or_less_than_a_status_proves_nothing() {
        let not_found = |record: &mut Record| trailers_only(record, Code::NotFound);
        for (what, change) in [
            ("a status in a head that does not end the stream", (|r| r.seen.only_head = false) as fn(&mut Record)),
            ("trailers behind it", |r| (r.seen.heads, r.seen.only_head) = (2, false)),
            ("a message before the status", |r| r.seen.body = true),
            ("an interim head", |r| (r.seen.heads, r.seen.only_head) = (3, false)),
            ("a reset behind it", |r| r.seen.reset = Some(2)),
            ("a stream that broke", |r| r.broken = Some(Broken::Otherwise)),
        ] {
            let changed = after(|record| {
                not_found(record);
                change(record);
            });
            assert_eq!(changed, Evidence::Ambiguous, "{what}");
        }
        let malformed = after(|record| {
            head_and_trailers(record, Code::NotFound);
            record.seen.trailers = false;
        });
        assert_eq!(malformed, Evidence::Ambiguous, "trailers with a pseudo-header field");
    }

    /// Every record there can be.
    fn records() -> Vec<Record> {
        let mut records = vec![Record::default()];
        fn cross<T: Copy>(records: &[Record], values: &[T], set: impl Fn(&mut Record, T)) -> Vec<Record> {
            let changed = |record: &Record, value: T| {
                let mut record = *record;
                set(&mut record, value);
                record
            };
            records
                .iter()
                .flat_map(|record| values.iter().map(move |value| changed(record, *value)).collect::<Vec<_>>())
                .collect()
        }
        let codes = (0..17).map(Code::from_i32);
        let told = codes.flat_map(|code| [Some(Told::InHead(code)), Some(Told::InTrailers(code))]);
        let told: Vec<_> = std::iter::once(None).chain(told).collect();
        let resets = [None, Some(0), Some(2), Some(7), Some(8)];
        let broken: Vec<_> = [None, Some(Broken::Otherwise), Some(Broken::GoAway)]
            .into_iter()
            .chain([0, 2, 7, 8].map(|code| Some(Broken::Reset(Reason::from(code)))))
            .collect();
        records = cross(&records, &[Message::Held, Message::Left, Message::Withdrawn], |r, v| r.seen.message = v);
        records = cross(&records, &[0, 1, 2, 3], |r, v| r.seen.heads = v);
        records = cross(&records, &[false, true], |r, v| r.seen.only_head = v);
        records = cross(&records, &[false, true], |r, v| r.seen.trailers = v);
        records = cross(&records, &[false, true], |r, v| r.seen.body = v);
        records = cross(&records, &[false, true], |r, v| r.seen.above_goaway = v);
        records = cross(&records, &resets, |r, v| r.seen.reset = v);
        records = cross(&records, &broken, |r, v| r.broken = v);
        cross(&records, &told, |r, v| r.status = v)
    }

    #[test]
    fn whatever_is_not_a_row_of_proof_is_ambiguous() {
        let records = records();
        let mut definite = 0;
        for record in &records {
            let Record { seen, broken, status } = record;
            let silent = seen.heads == 0 && !seen.body && status.is_none();
            let holds = match evidence(record) {
                Evidence::NeverSent => seen.message != Message::Left,
                Evidence::Unprocessed => silent && (seen.reset == REFUSED || seen.above_goaway) && broken.is_some(),
                Evidence::Rejected => {
                    !seen.body
                        && seen.heads > 0
                        && broken.is_none()
                        && status.is_some_and(|told| is_refusal(told.code()))
                }
                Evidence::Ambiguous => true,
            };
            assert!(holds, "{record:?}");
            definite += usize::from(seen.message == Message::Left && evidence(record) != Evidence::Ambiguous);
        }
        // Of the third whose message has left, these are all that prove anything.
        assert_eq!((records.len(), definite), (235_200, 124));
    }
}
