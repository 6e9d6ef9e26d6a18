//! A fault as JSON, and what of it cannot be.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::emulator::{
    fault::{Action, Armed, Fault, Point, Reason, When},
    rest::code_name,
    rpc::Rpc,
};

/// `{"at": "after", "rpc": "RunJob", "job": "echo", "do": "dropConnection", "when": {"nth": 3}, "times": 1}`
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FaultForm {
    at: Point,
    #[serde(skip_serializing_if = "Option::is_none")]
    rpc: Option<Rpc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    r#do: ActionText,
    #[serde(default)]
    when: When,
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum ActionText {
    Answer(AnswerText),
    /// `"1.5s"`
    Delay(String),
    DropConnection,
    GoAway(Reason),
    Reset(Reason),
    TruncateReply,
    CorruptReply,
    /// `"10s"`
    Lag(String),
    Maintenance,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AnswerText {
    code: String,
    #[serde(default)]
    message: String,
    /// In a `google.rpc.RetryInfo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_delay: Option<String>,
}

impl FaultForm {
    /// The fault, or what is wrong with it.
    pub(super) fn read(self) -> Result<Fault, String> {
        let Self { at, rpc, job, r#do, when, times } = self;
        match when {
            When::Nth(0) | When::Every(0) => return Err("when: calls are counted from 1.".to_owned()),
            When::Random { probability, .. } if !(0.0..=1.0).contains(&probability) => {
                return Err(format!("when.random.probability: {probability} is not between 0 and 1."));
            }
            _ => {}
        }
        let action = r#do.read()?;
        if at == Point::Before && matches!(action, Action::Truncate | Action::Corrupt) {
            return Err("do: there is no reply before the handler; use \"at\": \"after\".".to_owned());
        }
        let lags = matches!(rpc, Some(Rpc::ListExecutions | Rpc::GetExecution | Rpc::GetOperation));
        if matches!(action, Action::Lag(_)) && !(lags && at == Point::Before) {
            let text = "do.lag: only ListExecutions, GetExecution and GetOperation can lag behind, \"at\": \"before\".";
            return Err(text.to_owned());
        }
        if at == Point::After && matches!(action, Action::Maintain) {
            return Err("do.maintenance: it begins before the handler; use \"at\": \"before\".".to_owned());
        }
        Ok(Fault { rpc, job, point: at, action, when, times })
    }

    fn write(fault: &Fault) -> Self {
        let Fault { rpc, job, point, action, when, times } = fault.clone();
        Self { at: point, rpc, job, r#do: ActionText::write(&action), when, times }
    }
}

/// A fault that is set, with how often it could have acted, and did.
pub(super) fn show(armed: &Armed) -> Value {
    let mut page = json!(FaultForm::write(&armed.fault));
    page["seen"] = json!(armed.seen);
    page["acted"] = json!(armed.acted);
    page
}

/// `1.5s`, as in the API.
pub(super) fn duration(field: &str, text: &str) -> Result<Duration, String> {
    let duration = text.parse::<prost_types::Duration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    duration
        .ok_or_else(|| format!("{field}: '{text}' is no length of time; write seconds with an s, such as \"1.5s\"."))
}

/// In the words of [`duration`].
pub(super) fn show_duration(duration: Duration) -> String {
    prost_types::Duration::try_from(duration).unwrap_or_default().to_string()
}

impl ActionText {
    fn read(self) -> Result<Action, String> {
        Ok(match self {
            Self::Answer(answer) => Action::Answer(answer.read()?),
            Self::Delay(time) => Action::Delay(duration("do.delay", &time)?),
            Self::DropConnection => Action::Cut,
            Self::GoAway(reason) => Action::GoAway(reason),
            Self::Reset(reason) => Action::Reset(reason),
            Self::TruncateReply => Action::Truncate,
            Self::CorruptReply => Action::Corrupt,
            Self::Lag(time) => Action::Lag(duration("do.lag", &time)?),
            Self::Maintenance => Action::Maintain,
        })
    }

    fn write(action: &Action) -> Self {
        match action {
            Action::Answer(status) => Self::Answer(AnswerText::write(status)),
            Action::Delay(time) => Self::Delay(show_duration(*time)),
            Action::Cut => Self::DropConnection,
            Action::GoAway(reason) => Self::GoAway(*reason),
            Action::Reset(reason) => Self::Reset(*reason),
            Action::Truncate => Self::TruncateReply,
            Action::Corrupt => Self::CorruptReply,
            Action::Lag(time) => Self::Lag(show_duration(*time)),
            Action::Maintain => Self::Maintenance,
        }
    }
}

impl AnswerText {
    fn read(self) -> Result<Status, String> {
        let code = (1..=16).map(Code::from_i32).find(|code| code_name(*code) == self.code);
        let code = code.ok_or_else(|| format!("do.answer.code: '{}' is no error of google.rpc.Code.", self.code))?;
        let Some(delay) = self.retry_delay else { return Ok(Status::new(code, self.message)) };
        let delay = duration("do.answer.retryDelay", &delay)?;
        Ok(Status::with_error_details(code, self.message, ErrorDetails::with_retry_info(Some(delay))))
    }

    fn write(status: &Status) -> Self {
        let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
        Self {
            code: code_name(status.code()).to_owned(),
            message: status.message().to_owned(),
            retry_delay: delay.map(show_duration),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Fault, String> {
        serde_json::from_str::<FaultForm>(text).map_err(|error| error.to_string()).and_then(FaultForm::read)
    }

    #[test]
    fn a_fault_reads_as_it_is_shown() {
        for form in [
            json!({"at": "before", "do": "dropConnection", "when": "always"}),
            json!({"at": "after", "rpc": "RunJob", "job": "echo", "do": {"reset": "REFUSED_STREAM"}, "when": {"nth": 3}}),
            json!({"at": "after", "do": "truncateReply", "when": {"every": 2}, "times": 5}),
            json!({"at": "before", "do": {"delay": "1.500s"}, "when": {"random": {"probability": 0.25, "seed": 7}}}),
            json!({"at": "before", "rpc": "ListExecutions", "do": {"lag": "10s"}, "when": "always"}),
            json!({"at": "before", "rpc": "GetExecution", "do": {"lag": "10s"}, "when": "always"}),
            json!({"at": "before", "rpc": "GetOperation", "do": {"lag": "10s"}, "when": "always"}),
            json!({"at": "before", "rpc": "GetExecution", "job": "echo", "do": "maintenance", "when": {"nth": 3}}),
            json!({"at": "before", "do": {"answer": {"code": "UNAVAILABLE", "message": "m", "retryDelay": "2s"}}, "when": "always"}),
        ] {
            let mut expected = form.clone();
            (expected["seen"], expected["acted"]) = (json!(0), json!(0));
            let faults = crate::emulator::fault::Faults::default();
            faults.set(read(&form.to_string()).expect("valid"));
            assert_eq!(show(&faults.list()[0]), expected);
        }
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (form, expected) in [
            (r#"{"at": "before", "do": "explode"}"#, "unknown variant `explode`"),
            (r#"{"at": "before", "do": "truncateReply"}"#, "no reply before the handler"),
            (r#"{"at": "before", "do": "dropConnection", "rcp": "RunJob"}"#, "unknown field `rcp`"),
            (r#"{"at": "before", "do": "dropConnection", "rpc": "runJob"}"#, "unknown variant `runJob`"),
            (r#"{"at": "before", "do": "dropConnection", "when": {"nth": 0}}"#, "counted from 1"),
            (
                r#"{"at": "before", "do": "dropConnection", "when": {"random": {"probability": 2, "seed": 1}}}"#,
                "between 0 and 1",
            ),
            (r#"{"at": "before", "do": {"delay": "soon"}}"#, "'soon' is no length of time"),
            (r#"{"at": "before", "do": {"delay": "-1s"}}"#, "'-1s' is no length of time"),
            (r#"{"at": "before", "rpc": "ListJobs", "do": {"lag": "1s"}}"#, "only ListExecutions, GetExecution and"),
            (r#"{"at": "after", "rpc": "GetExecution", "do": {"lag": "1s"}}"#, "can lag behind"),
            (r#"{"at": "after", "do": "maintenance"}"#, "do.maintenance: it begins before the handler"),
            (r#"{"at": "before", "do": {"answer": {"code": "OK"}}}"#, "'OK' is no error"),
        ] {
            let error = read(form).expect_err(expected);
            assert!(error.contains(expected), "{form}: {error}");
        }
    }
}
