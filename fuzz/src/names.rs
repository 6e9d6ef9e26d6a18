//! Resource names, keys and tokens.

use std::{fmt::Display, str::FromStr};

use runjob::{ExecutionName, JobName, Location, OperationName, StartKey, StartToken, TaskName};

/// What parses prints as it was, and belongs to what it says.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    same::<Location>(text);
    same::<OperationName>(text);
    same::<StartKey>(text);
    same::<StartToken>(text);
    if let Some(job) = same::<JobName>(text) {
        assert!(text.starts_with(&job.location().to_string()));
    }
    if let Some(execution) = same::<ExecutionName>(text) {
        assert_eq!(text, format!("{}/executions/{}", execution.job(), execution.id()));
    }
    if let Some(task) = same::<TaskName>(text) {
        assert_eq!(text, format!("{}/tasks/{}", task.execution(), task.id()));
    }
}

fn same<N: FromStr<Err: Display> + Display>(text: &str) -> Option<N> {
    match text.parse::<N>() {
        Ok(name) => {
            assert_eq!(name.to_string(), text);
            Some(name)
        }
        Err(error) => {
            let shown = error.to_string();
            assert!(!shown.chars().any(char::is_control), "an error with control characters: {shown:?}");
            None
        }
    }
}
