//! Conditions as the service words them, and how long deleted things are kept.

use std::time::{Duration, SystemTime};

use crate::proto::run::v2::{
    Condition,
    condition::{ExecutionReason, Reasons, State},
};

/// How long something deleted is said to be kept.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A condition of that type and state, with nothing to say.
pub(super) fn condition(kind: &str, state: State, at: SystemTime) -> Condition {
    Condition {
        r#type: kind.to_owned(),
        state: state as i32,
        last_transition_time: Some(at.into()),
        ..Condition::default()
    }
}

impl Condition {
    pub(super) fn saying(self, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..self }
    }

    pub(super) fn because(self, reason: ExecutionReason) -> Self {
        Self { reasons: Some(Reasons::ExecutionReason(reason as i32)), ..self }
    }
}

/// When something deleted at `deleted` is gone permanently.
pub(super) fn expiry(deleted: SystemTime) -> SystemTime {
    deleted + KEPT
}

/// The service's way of writing a length of time: `12.5s`, `3m10.26s`, `1h0m3s`; hundredths are cut, not rounded.
pub(super) fn length(from: SystemTime, to: SystemTime) -> String {
    let length = to.duration_since(from).unwrap_or(Duration::ZERO);
    let (hours, minutes, seconds) = (length.as_secs() / 3600, length.as_secs() / 60 % 60, length.as_secs() % 60);
    let hundredths = format!("{:02}", length.subsec_millis() / 10);
    let seconds = match hundredths.trim_end_matches('0') {
        "" => format!("{seconds}s"),
        fraction => format!("{seconds}.{fraction}s"),
    };
    match (hours, minutes) {
        (0, 0) => seconds,
        (0, _) => format!("{minutes}m{seconds}"),
        _ => format!("{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_cut_to_hundredths_and_split_at_minutes() {
        let start = SystemTime::UNIX_EPOCH;
        for (millis, text) in [
            (0, "0s"),
            (1_099, "1.09s"),
            (12_500, "12.5s"),
            (56_030, "56.03s"),
            (60_000, "1m0s"),
            (63_600, "1m3.6s"),
            (190_269, "3m10.26s"),
            (3_603_000, "1h0m3s"),
        ] {
            assert_eq!(length(start, start + Duration::from_millis(millis)), text);
        }
    }
}
