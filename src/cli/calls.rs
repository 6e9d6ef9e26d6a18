//! `-v`: a line on stderr for each attempt of an RPC, with its status and how long it took, and for what the client does
//! about its connections and its retries.
//!
//! Reads the spans and events that the library has for `tracing`, which hold no token, no message and no value of a
//! variable.

use std::{
    collections::HashMap,
    fmt::{Debug, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tracing::{
    Event, Id, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Record},
};

use super::printer::Printer;

/// The library's spans of attempts, by their name.
const ATTEMPT: &str = "rpc";
const OURS: &str = "runjob";

/// Prints what the library tells of its calls.
#[derive(Debug)]
pub(super) struct CallPrinter {
    printer: Printer,
    open: Mutex<OpenCalls>,
}

#[derive(Debug, Default)]
struct OpenCalls {
    last: u64,
    calls: HashMap<u64, OpenCall>,
}

#[derive(Debug)]
struct OpenCall {
    begun: Instant,
    method: String,
    status: Option<String>,
    error: Option<String>,
    handles: usize,
}

impl CallPrinter {
    /// Prints what this process tells from now on.
    pub(super) fn install(printer: &Printer) {
        let subscriber = Self { printer: printer.clone(), open: Mutex::default() };
        // One program has one subscriber.
        _ = tracing::subscriber::set_global_default(subscriber);
    }

    fn open(&self) -> MutexGuard<'_, OpenCalls> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for CallPrinter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == OURS && (metadata.is_event() || metadata.name() == ATTEMPT)
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut call = OpenCall { begun: Instant::now(), method: String::new(), status: None, error: None, handles: 1 };
        attributes.record(&mut call);
        let mut open = self.open();
        open.last += 1;
        let id = open.last;
        open.calls.insert(id, call);
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        if let Some(call) = self.open().calls.get_mut(&span.into_u64()) {
            values.record(call);
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut words = EventWords::default();
        event.record(&mut words);
        self.printer.line(&format!("rpc: {}{}", words.message, words.fields));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn clone_span(&self, id: &Id) -> Id {
        if let Some(call) = self.open().calls.get_mut(&id.into_u64()) {
            call.handles += 1;
        }
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut open = self.open();
        let Some(call) = open.calls.get_mut(&id.into_u64()) else { return false };
        call.handles = call.handles.saturating_sub(1);
        if call.handles > 0 {
            return false;
        }
        let call = open.calls.remove(&id.into_u64());
        drop(open);
        if let Some(call) = call {
            self.printer.line(&call.line());
        }
        true
    }
}

impl OpenCall {
    fn line(&self) -> String {
        // An attempt that was dropped has neither: its caller had enough.
        let end = self.status.as_deref().or(self.error.as_deref()).unwrap_or("dropped");
        format!("rpc: {} {end} {} ms", self.method, self.begun.elapsed().as_millis())
    }
}

impl Visit for OpenCall {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "rpc.method" => value.clone_into(&mut self.method),
            "rpc.response.status_code" => self.status = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "error.type" {
            self.error = Some(format!("{value:?}"));
        }
    }
}

/// An event's message, and its fields after it.
#[derive(Default)]
struct EventWords {
    message: String,
    fields: String,
}

impl Visit for EventWords {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // A String takes everything.
        _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
