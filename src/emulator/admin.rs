//! The emulator's own pages, `/emulator/v1/...`: what a test of any language asks it, and makes it do.
//!
//! JSON over HTTP, behind the same gate as the API. What changes something is a POST of JSON or a DELETE, which no web page
//! can send unasked.

mod fault;
pub(crate) mod snapshot;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{State, rejection::JsonRejection},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use http::{StatusCode, header};
use prost_types::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tonic::Code;

use self::fault::FaultForm;
use super::{clock::Clock, controls::Controls, journal::JournalEntry, rest::code_name, state::Start};

pub(crate) fn router(controls: &Arc<Controls>) -> Router {
    Router::new()
        .route("/emulator/v1/faults", get(faults).post(set_fault).delete(clear_faults))
        .route("/emulator/v1/journal", get(journal))
        .route("/emulator/v1/ledger", get(ledger))
        .route("/emulator/v1/clock", get(clock).post(advance_clock))
        .route("/emulator/v1/snapshot", get(take_snapshot))
        .route("/emulator/v1/reset", post(reset))
        .route("/emulator/{*page}", any(no_page))
        .with_state(Arc::clone(controls))
}

/// A request that cannot be, in the form of the API's own errors.
struct AdminError(StatusCode, Code, String);

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        let error = json!({"code": status.as_u16(), "message": message, "status": code_name(code)});
        (status, JsonPage(json!({"error": error}))).into_response()
    }
}

impl From<JsonRejection> for AdminError {
    fn from(rejection: JsonRejection) -> Self {
        Self(rejection.status(), Code::InvalidArgument, rejection.body_text())
    }
}

impl From<String> for AdminError {
    fn from(message: String) -> Self {
        Self(StatusCode::BAD_REQUEST, Code::InvalidArgument, message)
    }
}

type Form<T> = Result<Json<T>, JsonRejection>;

/// A page: JSON, and the end of a line for those who read it in a terminal.
struct JsonPage(Value);

impl IntoResponse for JsonPage {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], format!("{}\n", self.0)).into_response()
    }
}

async fn faults(State(controls): State<Arc<Controls>>) -> JsonPage {
    JsonPage(json!({"faults": controls.faults.list().iter().map(fault::show).collect::<Vec<_>>()}))
}

async fn set_fault(State(controls): State<Arc<Controls>>, form: Form<FaultForm>) -> Result<JsonPage, AdminError> {
    let Json(form) = form?;
    controls.faults.set(form.read()?);
    Ok(faults(State(controls)).await)
}

async fn clear_faults(State(controls): State<Arc<Controls>>) -> JsonPage {
    controls.faults.clear();
    faults(State(controls)).await
}

async fn journal(State(controls): State<Arc<Controls>>) -> JsonPage {
    let show = |call: &JournalEntry| {
        json!({
            "time": Timestamp::from(call.time).to_string(),
            "rpc": call.rpc,
            "resource": call.resource,
            "routing": call.routing,
            "code": call.code.map(code_name),
            "duration": fault::show_duration(call.duration),
        })
    };
    JsonPage(json!({"calls": controls.journal.list().iter().map(show).collect::<Vec<_>>()}))
}

async fn ledger(State(controls): State<Arc<Controls>>) -> JsonPage {
    let show = |start: &Start| {
        json!({
            "time": Timestamp::from(start.time).to_string(),
            "job": start.job.to_string(),
            "execution": start.execution.to_string(),
            "operation": start.operation.to_string(),
        })
    };
    JsonPage(json!({"starts": controls.engine.read(|machine| machine.ledger().iter().map(show).collect::<Vec<_>>())}))
}

async fn clock(State(controls): State<Arc<Controls>>) -> JsonPage {
    let kind = match controls.engine.clock() {
        Clock::Real => "real",
        Clock::Virtual => "virtual",
        Clock::Fast => "fast",
    };
    JsonPage(json!({"clock": kind, "now": Timestamp::from(controls.engine.now()).to_string()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance: String,
}

async fn advance_clock(State(controls): State<Arc<Controls>>, form: Form<Advance>) -> Result<JsonPage, AdminError> {
    let Json(Advance { advance }) = form?;
    controls.engine.advance(fault::duration("advance", &advance)?);
    Ok(clock(State(controls)).await)
}

async fn take_snapshot(State(controls): State<Arc<Controls>>) -> JsonPage {
    JsonPage(snapshot::take(&controls.engine))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn reset(State(controls): State<Arc<Controls>>, form: Form<Nothing>) -> Result<JsonPage, AdminError> {
    let Json(Nothing {}) = form?;
    controls.reset();
    Ok(JsonPage(json!({})))
}

async fn no_page() -> AdminError {
    let pages = "faults, journal, ledger, clock, snapshot and reset";
    AdminError(
        StatusCode::NOT_FOUND,
        Code::NotFound,
        format!("There is no such page. Under /emulator/v1/ are {pages}."),
    )
}
