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
use super::{clock::Clock, controls::Controls, journal::Call, rest::code_name, state::Start};

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
struct Refused(StatusCode, Code, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        let error = json!({"code": status.as_u16(), "message": message, "status": code_name(code)});
        (status, Page(json!({"error": error}))).into_response()
    }
}

impl From<JsonRejection> for Refused {
    fn from(rejection: JsonRejection) -> Self {
        Self(rejection.status(), Code::InvalidArgument, rejection.body_text())
    }
}

impl From<String> for Refused {
    fn from(message: String) -> Self {
        Self(StatusCode::BAD_REQUEST, Code::InvalidArgument, message)
    }
}

type Form<T> = Result<Json<T>, JsonRejection>;

/// A page: JSON, and the end of a line for those who read it in a terminal.
struct Page(Value);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], format!("{}\n", self.0)).into_response()
    }
}

async fn faults(State(controls): State<Arc<Controls>>) -> Page {
    Page(json!({"faults": controls.faults.list().iter().map(fault::show).collect::<Vec<_>>()}))
}

async fn set_fault(State(controls): State<Arc<Controls>>, form: Form<FaultForm>) -> Result<Page, Refused> {
    let Json(form) = form?;
    controls.faults.set(form.read()?);
    Ok(faults(State(controls)).await)
}

async fn clear_faults(State(controls): State<Arc<Controls>>) -> Page {
    controls.faults.clear();
    faults(State(controls)).await
}

async fn journal(State(controls): State<Arc<Controls>>) -> Page {
    let show = |call: &Call| {
        json!({
            "time": Timestamp::from(call.time).to_string(),
            "rpc": call.rpc,
            "resource": call.resource,
            "routing": call.routing,
            "code": call.code.map(code_name),
            "duration": fault::show_duration(call.duration),
        })
    };
    Page(json!({"calls": controls.journal.list().iter().map(show).collect::<Vec<_>>()}))
}

async fn ledger(State(controls): State<Arc<Controls>>) -> Page {
    let show = |start: &Start| {
        json!({
            "time": Timestamp::from(start.time).to_string(),
            "job": start.job.to_string(),
            "execution": start.execution.to_string(),
            "operation": start.operation.to_string(),
        })
    };
    Page(json!({"starts": controls.engine.read(|machine| machine.ledger().iter().map(show).collect::<Vec<_>>())}))
}

async fn clock(State(controls): State<Arc<Controls>>) -> Page {
    let kind = match controls.engine.clock() {
        Clock::Real => "real",
        Clock::Virtual => "virtual",
        Clock::Fast => "fast",
    };
    Page(json!({"clock": kind, "now": Timestamp::from(controls.engine.now()).to_string()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance: String,
}

async fn advance_clock(State(controls): State<Arc<Controls>>, form: Form<Advance>) -> Result<Page, Refused> {
    let Json(Advance { advance }) = form?;
    controls.engine.advance(fault::duration("advance", &advance)?);
    Ok(clock(State(controls)).await)
}

async fn take_snapshot(State(controls): State<Arc<Controls>>) -> Page {
    Page(snapshot::take(&controls.engine))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn reset(State(controls): State<Arc<Controls>>, form: Form<Nothing>) -> Result<Page, Refused> {
    let Json(Nothing {}) = form?;
    controls.reset();
    Ok(Page(json!({})))
}

async fn no_page() -> Refused {
    let pages = "faults, journal, ledger, clock, snapshot and reset";
    Refused(StatusCode::NOT_FOUND, Code::NotFound, format!("There is no such page. Under /emulator/v1/ are {pages}."))
}
