//! What can go wrong with one call: everything that the emulator can do to it, before its effect and after.
//!
//! Knows the emulator's faults, and nothing of a client.

use std::time::Duration;

use runjob::emulator::{Fault, Reason, Rpc};
use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Something that goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mishap {
    /// The call has had no effect yet.
    Before(Kind),
    /// The call has had its effect.
    After(Kind),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Answer(Code, Advice),
    /// So many tenths of the caller's RPC timeout.
    Delay(u32),
    Cut,
    GoAway(Reason),
    Reset(Reason),
    Truncate,
    Corrupt,
}

/// What an error says about another attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Advice {
    None,
    RetryInfo,
    Pushback,
}

const ADVICE: [Advice; 3] = [Advice::None, Advice::RetryInfo, Advice::Pushback];
/// In time, at the very moment at which the caller gives up, and too late.
const DELAYS: [u32; 3] = [5, 10, 20];
const REASONS: [Reason; 6] = [
    Reason::NoError,
    Reason::ProtocolError,
    Reason::InternalError,
    Reason::RefusedStream,
    Reason::Cancel,
    Reason::EnhanceYourCalm,
];
/// The codes that say nothing of the effect.
const VAGUE: [Code; 7] = [
    Code::Cancelled,
    Code::Unknown,
    Code::DeadlineExceeded,
    Code::ResourceExhausted,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
];
/// The codes by which the service says that it has done nothing.
const REFUSALS: [Code; 9] = [
    Code::InvalidArgument,
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unimplemented,
    Code::Unauthenticated,
];

impl Mishap {
    /// All that can go wrong between peers that keep to their protocol.
    pub(super) fn all() -> Vec<Self> {
        let either = || {
            let answers = VAGUE.iter().flat_map(|code| ADVICE.map(|advice| Kind::Answer(*code, advice)));
            let others = [Kind::Cut].into_iter().chain(DELAYS.map(Kind::Delay)).chain(REASONS.map(Kind::GoAway));
            answers.chain(others).chain(REASONS.map(Kind::Reset))
        };
        let refusals = REFUSALS.iter().flat_map(|code| ADVICE.map(|advice| Kind::Answer(*code, advice)));
        let before = either().chain(refusals).map(Self::Before);
        let after = either().chain([Kind::Truncate, Kind::Corrupt]).map(Self::After);
        let lies = Self::lies();
        before.chain(after).filter(|mishap| !lies.contains(mishap)).collect()
    }

    /// What `docs/reliability.md` says cannot be excluded, and all that no trial asks of the client: a peer that has
    /// started something, and then says by its code or by HTTP/2 that it has not.
    pub(super) fn lies() -> Vec<Self> {
        let refusals = REFUSALS.map(|code| Self::After(Kind::Answer(code, Advice::None)));
        refusals.into_iter().chain([Self::After(Kind::Reset(Reason::RefusedStream))]).collect()
    }

    /// One of each sort: what differs only in a code that means the same is there once.
    pub(super) fn sorts() -> Vec<Self> {
        let unavailable = Kind::Answer(Code::Unavailable, Advice::None);
        let either =
            [unavailable, Kind::Cut, Kind::Delay(20), Kind::GoAway(Reason::NoError), Kind::Reset(Reason::Cancel)];
        let before = [
            Kind::Answer(Code::ResourceExhausted, Advice::RetryInfo),
            Kind::Answer(Code::PermissionDenied, Advice::None),
            Kind::Reset(Reason::RefusedStream),
        ];
        let after = [Kind::Answer(Code::Internal, Advice::Pushback), Kind::Truncate, Kind::Corrupt];
        let before = either.into_iter().chain(before).map(Self::Before);
        before.chain(either.into_iter().chain(after).map(Self::After)).collect()
    }

    /// The faults that meet the calls of this RPC about this job in this order, from the next one on.
    pub(super) fn arm(calls: &[Option<Self>], rpc: Rpc, job: &str, limit: Duration) -> Vec<Fault> {
        let (mut came, mut handled) = (0, 0);
        let mut faults = Vec::new();
        for mishap in calls {
            came += 1;
            handled += u64::from(mishap.is_none_or(Self::is_handled));
            if let Some(mishap) = mishap {
                // The emulator counts the calls at each of its two points.
                let nth = if matches!(mishap, Self::Before(_)) { came } else { handled };
                faults.push(mishap.fault(rpc, limit).job(job).nth(nth));
            }
        }
        faults
    }

    /// Whether the call gets to its handler.
    fn is_handled(self) -> bool {
        match self {
            Self::After(_) => true,
            Self::Before(Kind::Delay(tenths)) => tenths < 10,
            Self::Before(_) => false,
        }
    }

    fn fault(self, rpc: Rpc, limit: Duration) -> Fault {
        let (before, after) = (Fault::before(rpc), Fault::after(rpc));
        match self {
            Self::Before(Kind::Answer(code, advice)) => before.answer(status(code, advice)),
            Self::Before(Kind::Delay(tenths)) => before.delay(limit * tenths / 10),
            Self::Before(Kind::GoAway(reason)) => before.go_away(reason),
            Self::Before(Kind::Reset(reason)) => before.reset(reason),
            // There is no reply yet that could be spoiled.
            Self::Before(Kind::Cut | Kind::Truncate | Kind::Corrupt) => before.drop_connection(),
            Self::After(Kind::Answer(code, advice)) => after.answer(status(code, advice)),
            Self::After(Kind::Delay(tenths)) => after.delay(limit * tenths / 10),
            Self::After(Kind::GoAway(reason)) => after.go_away(reason),
            Self::After(Kind::Reset(reason)) => after.reset(reason),
            Self::After(Kind::Cut) => after.lose_reply(),
            Self::After(Kind::Truncate) => after.truncate_reply(),
            Self::After(Kind::Corrupt) => after.corrupt_reply(),
        }
    }
}

fn status(code: Code, advice: Advice) -> Status {
    let pause = Duration::from_secs(1);
    match advice {
        Advice::None => Status::new(code, "a trial"),
        Advice::RetryInfo => Status::with_error_details(code, "a trial", ErrorDetails::with_retry_info(Some(pause))),
        Advice::Pushback => {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-retry-pushback-ms", "1000".parse().expect("a number"));
            Status::with_metadata(code, "a trial", metadata)
        }
    }
}
