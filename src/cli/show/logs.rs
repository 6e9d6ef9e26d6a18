//! Where the logs of an execution are: the link to the console, and the line that reads them.

use serde::Serialize;

use super::safe;
use crate::{ExecutionName, proto::run::v2::Execution};

/// The two ways to an execution's logs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct LogLinks {
    /// The link to the console, as the service gives it.
    #[serde(skip_serializing_if = "String::is_empty")]
    log_uri: String,
    /// The line for a shell.
    log_command: String,
}

impl LogLinks {
    pub(in crate::cli) fn of(name: &ExecutionName, execution: &Execution) -> Self {
        Self { log_uri: execution.log_uri.clone(), log_command: command(name, execution) }
    }

    /// Names with their values.
    pub(in crate::cli) fn pairs(&self) -> impl Iterator<Item = (&'static str, String)> {
        let link = Some(safe::line(&self.log_uri).into_owned()).filter(|link| !link.is_empty());
        [("logs", self.log_command.clone())].into_iter().chain(link.map(|link| ("console", link)))
    }
}

/// gcloud reads a day back, and from the newest entry, by default. Names need no escape in a shell.
fn command(name: &ExecutionName, execution: &Execution) -> String {
    let (job, location) = (name.job(), name.job().location());
    let since = execution.create_time.as_ref().map(|time| format!(" AND timestamp>=\"{time}\"")).unwrap_or_default();
    format!(
        "gcloud logging read 'resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"{}\" AND \
         resource.labels.location=\"{}\" AND labels.\"run.googleapis.com/execution_name\"=\"{}\"{since}' \
         --project={} --order=asc",
        job.id(),
        location.region(),
        name.id(),
        location.project(),
    )
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    #[test]
    fn the_line_asks_for_one_execution_however_old_it_is() {
        let name = "projects/p/locations/r/jobs/j/executions/j-a".parse().expect("a name");
        let execution = Execution {
            create_time: Some(Timestamp { seconds: 0, nanos: 0 }),
            log_uri: "https://console".into(),
            ..Execution::default()
        };
        let expected = "gcloud logging read 'resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"j\" AND \
                        resource.labels.location=\"r\" AND labels.\"run.googleapis.com/execution_name\"=\"j-a\" AND \
                        timestamp>=\"1970-01-01T00:00:00Z\"' --project=p --order=asc";
        let pairs: Vec<_> = LogLinks::of(&name, &execution).pairs().collect();
        assert_eq!(pairs, [("logs", expected.to_owned()), ("console", "https://console".to_owned())]);
    }
}
