//! What GitHub Actions shows of an execution: an annotation where it did not succeed, a line of the step's summary, and
//! the step's outputs.
//!
//! Knows the files and the commands that the runner reads. Outside of GitHub Actions there is nothing to tell.

use std::{fs::OpenOptions, io, io::Write as _, path::PathBuf};

use serde_json::Value;

use super::environment::Environment;

/// The runner's files, as far as the environment names them.
#[derive(Debug, Clone, Default)]
pub(super) struct ActionsRunner {
    is_there: bool,
    summary: Option<PathBuf>,
    output: Option<PathBuf>,
}

impl ActionsRunner {
    /// The runner of this environment.
    pub(super) fn of(env: &Environment) -> Self {
        let file = |name| env.var(name).map(PathBuf::from);
        match env.var("GITHUB_ACTIONS") {
            Some("true") => {
                Self { is_there: true, summary: file("GITHUB_STEP_SUMMARY"), output: file("GITHUB_OUTPUT") }
            }
            _ => Self::default(),
        }
    }

    /// Tells what is known of executions when the command ends, by their reports as JSON. Gives the lines to print for the
    /// runner.
    pub(super) fn tell(&self, reports: &[Value]) -> io::Result<Vec<String>> {
        if !self.is_there || reports.is_empty() {
            return Ok(Vec::new());
        }
        let of = |name: &str| reports.iter().map(|report| text(&report[name])).collect::<Vec<_>>().join(" ");
        append(self.output.as_ref(), &format!("execution={}\noutcome={}\n", of("execution"), of("outcome")))?;
        append(self.summary.as_ref(), &reports.iter().map(summary).collect::<String>())?;
        Ok(reports.iter().filter_map(annotation).collect())
    }
}

/// The command that puts an error beside the step.
fn annotation(report: &Value) -> Option<String> {
    let outcome = text(&report["outcome"]);
    if ["SUCCEEDED", "STARTED"].contains(&outcome) {
        return None;
    }
    let first = report["failures"].get(0).map(|failure| format!(", first task {}", failed_task(failure)));
    let message = format!("{outcome} {}{}", text(&report["execution"]), first.unwrap_or_default());
    Some(format!("::error title=Cloud Run job::{}", escaped(&message)))
}

fn failed_task(failure: &Value) -> String {
    let number = |(field, words): (&str, &str)| Some(format!("{words} {}", failure[field].as_i64()?));
    let timed_out = || (failure["timedOut"] == true).then(|| "timed out".to_owned());
    let end = [("exitCode", "exit code"), ("signal", "signal")].into_iter().find_map(number).or_else(timed_out);
    let end = end.map(|end| format!(" {end}:")).unwrap_or_default();
    format!("{}:{end} {}", failure["task"], text(&failure["message"]))
}

/// A row of the summary: a list, because each step adds to it.
fn summary(report: &Value) -> String {
    let tasks = &report["tasks"];
    format!(
        "- **{}** `{}`: {} of {} tasks succeeded, {} failed, {} retried\n",
        text(&report["outcome"]),
        text(&report["execution"]),
        tasks["succeeded"],
        tasks["total"],
        tasks["failed"],
        tasks["retried"],
    )
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// As the runner reads the data of a command.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn append(path: Option<&PathBuf>, text: &str) -> io::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let about = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(about)?;
    file.write_all(text.as_bytes()).map_err(about)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_stays_one_command() {
        let report = json!({"outcome": "FAILED", "execution": "e", "failures": [
            {"task": 3, "exitCode": 1, "message": "100%\n::stop-commands::x"},
        ]});
        let expected = "::error title=Cloud Run job::FAILED e, first task 3: exit code 1: 100%25%0A::stop-commands::x";
        assert_eq!(annotation(&report).as_deref(), Some(expected));
        let late = json!({"outcome": "TIMED_OUT", "execution": "e", "failures": [
            {"task": 0, "timedOut": true, "message": "It ran too long."},
        ]});
        let expected = "::error title=Cloud Run job::TIMED_OUT e, first task 0: timed out: It ran too long.";
        assert_eq!(annotation(&late).as_deref(), Some(expected));
        assert_eq!(annotation(&json!({"outcome": "STARTED", "execution": "e"})), None);
    }
}
