//! What the verbs about operations share: how one is named, what it is about, how it is shown.

use prost::{Message, Name};
use prost_types::Any;

use crate::{
    OperationName,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{global::Format, listing::Known},
        listing::{Key, Listed},
        printer::Printer,
        show::{
            json,
            mask::{Containers, mask},
            view,
        },
    },
    error::code_name,
    proto::{
        longrunning::{Operation, operation},
        run::v2::{Execution, Job, Task},
    },
};

/// An operation, as it is named on the command line.
#[derive(Debug, clap::Args)]
pub(super) struct OperationArg {
    /// Operation: its id, or its full name `projects/P/locations/R/operations/O`.
    operation: String,
}

impl OperationArg {
    /// The full name.
    pub(super) fn name(&self, context: &Context<'_>) -> Result<OperationName, Failure> {
        let name = if self.operation.contains('/') {
            self.operation.parse()
        } else {
            context.location()?.operation(self.operation.as_str())
        };
        name.map_err(|error| Failure::usage(error.to_string()))
    }
}

/// The operation with the values of environment variables hidden in what it is about.
pub(super) fn masked(mut operation: Operation, show_env: bool) -> Operation {
    let result = match &mut operation.result {
        Some(operation::Result::Response(response)) => Some(response),
        _ => None,
    };
    for any in operation.metadata.iter_mut().chain(result) {
        hide::<Job>(any, show_env);
        hide::<Execution>(any, show_env);
        hide::<Task>(any, show_env);
    }
    operation
}

fn hide<R: Containers + Message + Name + Default>(any: &mut Any, show_env: bool) {
    if let Ok(resource) = any.to_msg::<R>() {
        any.value = mask(resource, show_env).encode_to_vec();
    }
}

/// Shows an operation in full, and gives the status that its result ends with.
pub(super) fn show(printer: &Printer, operation: &Operation) -> Result<Exit, Failure> {
    match printer.format() {
        Format::Json => printer.json(&json::resource(operation)?)?,
        Format::Text => printer.pairs(rows(operation))?,
    }
    Ok(if matches!(operation.result, Some(operation::Result::Error(_))) { Exit::Unsuccessful } else { Exit::Done })
}

fn rows(operation: &Operation) -> Vec<[String; 2]> {
    let row = |name: &str, value: String| [name.to_owned(), value];
    let mut rows = vec![
        row("operation", operation.name.clone()),
        row("state", state(operation)),
        row("about", about(operation).unwrap_or_else(|| view::NOTHING.to_owned())),
    ];
    if let Some(operation::Result::Error(error)) = &operation.result {
        rows.push(row("error", format!("{}: {}", code_name(error.code.into()), error.message)));
    }
    rows
}

impl Listed for Operation {
    type Resource = Self;

    const KNOWN: Known = Known {
        columns: &["OPERATION", "STATE", "ABOUT"],
        states: &["running", "done", "failed"],
        fields: &["name", "state", "about"],
        has_labels: false,
    };

    fn resource(&self) -> &Self {
        self
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> String {
        state(self)
    }

    fn label(&self, _: &str) -> Option<&str> {
        None
    }

    fn key(&self, field: &str) -> Key {
        match field {
            "state" => Key::text(&state(self)),
            "about" => Key::text(&about(self).unwrap_or_default()),
            _ => Key::text(&self.name),
        }
    }

    fn row(&self) -> Vec<String> {
        let about = about(self).map(|name| view::id(&name));
        vec![view::id(&self.name), state(self), about.unwrap_or_else(|| view::NOTHING.to_owned())]
    }
}

fn state(operation: &Operation) -> String {
    match operation.result {
        Some(operation::Result::Error(_)) => "failed",
        _ if operation.done => "done",
        _ => "running",
    }
    .to_owned()
}

/// The name of the execution or the job that it is about.
fn about(operation: &Operation) -> Option<String> {
    let any = operation.metadata.as_ref()?;
    let execution = any.to_msg::<Execution>().map(|execution| execution.name);
    execution.or_else(|_| any.to_msg::<Job>().map(|job| job.name)).ok()
}
