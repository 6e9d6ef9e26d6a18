//! Why a job is not ready, and the command that mends it. Knows the service's reasons, and calls nothing.

use crate::{
    JobName,
    proto::run::v2::{
        Condition, Job,
        condition::{CommonReason, Reasons, State},
    },
};

/// What keeps the job from being ready, in the service's words; nothing of a job that is ready or on its way.
pub(in crate::cli) fn reason(job: &Job) -> Option<&Condition> {
    job.terminal_condition.as_ref().filter(|condition| condition.state() == State::ConditionFailed)
}

/// The command that mends what the condition tells, where the flag that it takes is known.
pub(in crate::cli) fn command(job: &JobName, condition: &Condition) -> Option<String> {
    flag(condition).map(|flag| format!("runjob jobs update {job} {flag}"))
}

fn flag(condition: &Condition) -> Option<&'static str> {
    use CommonReason::{
        ContainerImageAuthorizationCheckFailed, ContainerImageUnauthorized, ContainerMissing,
        ContainerPermissionDenied, EncryptionKeyCheckFailed, EncryptionKeyPermissionDenied, SecretsAccessCheckFailed,
        VpcNetworkNotFound,
    };
    let reason = match condition.reasons {
        Some(Reasons::Reason(reason)) => CommonReason::try_from(reason).ok(),
        _ => None,
    };
    match reason {
        Some(
            ContainerMissing
            | ContainerPermissionDenied
            | ContainerImageUnauthorized
            | ContainerImageAuthorizationCheckFailed,
        ) => Some("--image=IMAGE"),
        Some(SecretsAccessCheckFailed) => Some("--update-secrets=NAME=SECRET:VERSION"),
        Some(EncryptionKeyPermissionDenied | EncryptionKeyCheckFailed) => Some("--key=KEY"),
        Some(VpcNetworkNotFound) => Some("--network=NETWORK"),
        // The service does not always give a reason beside its words.
        _ => condition.message.starts_with("Image ").then_some("--image=IMAGE"),
    }
}
