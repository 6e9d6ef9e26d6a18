//! What is kept of a run to go on with it in another process. Knows no RPC.

use std::{
    fmt::{self, Display, Formatter},
    str::FromStr,
};

use crate::name::{ExecutionName, NameError, OperationName, kept_as_text};

/// The names of a run: its execution, and the operation that started it, where that is known.
///
/// It prints, parses and serializes as text, `EXECUTION` or `EXECUTION#OPERATION_ID`, and holds no secret. See
/// [`Client::resume`](crate::Client::resume).
///
/// ```
/// use runjob::RunTicket;
///
/// let text = "projects/acme/locations/europe-west1/jobs/echo/executions/echo-x7k2p#729ad1bc-4f1c";
/// let ticket: RunTicket = text.parse()?;
/// assert_eq!(ticket.execution().id(), "echo-x7k2p");
/// assert_eq!(ticket.to_string(), text);
/// # Ok::<(), runjob::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunTicket {
    execution: ExecutionName,
    /// At the location of the execution.
    operation: Option<OperationName>,
}

impl RunTicket {
    pub(super) fn new(execution: ExecutionName, operation: Option<OperationName>) -> Self {
        Self { execution, operation }
    }

    /// The execution's name.
    pub fn execution(&self) -> &ExecutionName {
        &self.execution
    }

    /// The name of the operation that started it, where it is known.
    pub fn operation(&self) -> Option<&OperationName> {
        self.operation.as_ref()
    }
}

impl Display for RunTicket {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.execution.fmt(f)?;
        match &self.operation {
            Some(operation) => write!(f, "#{}", operation.id()),
            None => Ok(()),
        }
    }
}

impl FromStr for RunTicket {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (execution, operation) = match text.split_once('#') {
            Some((execution, operation)) => (execution, Some(operation)),
            None => (text, None),
        };
        let execution: ExecutionName = execution.parse()?;
        execution.single()?;
        let operation = operation.map(|id| execution.location().operation(id)).transpose()?;
        Ok(Self { execution, operation })
    }
}

kept_as_text!(RunTicket);

#[cfg(test)]
mod tests {
    use super::*;

    const EXECUTION: &str = "projects/acme/locations/us-central1/jobs/echo/executions/echo-x7k2p";

    #[test]
    fn a_ticket_is_read_back_as_it_was_printed() {
        for text in [EXECUTION.to_owned(), format!("{EXECUTION}#729ad1bc-0000")] {
            let ticket: RunTicket = text.parse().expect("a ticket");
            assert_eq!(ticket.to_string(), text);
            let json = serde_json::to_string(&ticket).expect("JSON");
            assert_eq!(serde_json::from_str::<RunTicket>(&json).expect("a ticket"), ticket);
        }
    }

    #[test]
    fn what_is_no_ticket_says_which_part_is_wrong() {
        for (text, what) in [
            ("", "execution name"),
            (&*format!("{EXECUTION}#"), "operation id"),
            (&*format!("{EXECUTION}#a/b"), "operation id"),
            (&*format!("{EXECUTION}#a#b"), "operation id"),
            ("projects/acme/locations/us-central1/jobs/-/executions/-", "execution name"),
        ] {
            let error = text.parse::<RunTicket>().expect_err(text);
            assert!(error.to_string().contains(what), "{error}");
        }
    }
}
