//! How resources are named on the command line.

/// An execution, as it is named on the command line.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ExecutionArg {
    /// Execution: its id, as in `echo-x7k2p`, or its full name `projects/P/locations/R/jobs/J/executions/E`.
    pub(in crate::cli) execution: String,
    /// Job of a short execution id. The default is the id without its last `-xxxxx`.
    #[arg(long, value_name = "JOB")]
    pub(in crate::cli) job: Option<String>,
}

/// The execution whose tasks are listed: by itself, or as gcloud names it.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ParentArg {
    /// Execution: its id, as in `echo-x7k2p`, or its full name `projects/P/locations/R/jobs/J/executions/E`.
    #[arg(required_unless_present = "of")]
    execution: Option<String>,
    /// The execution, as another way to name it.
    #[arg(long = "execution", id = "of", value_name = "EXECUTION", conflicts_with = "execution")]
    of: Option<String>,
    /// Job of a short execution id. The default is the id without its last `-xxxxx`.
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
}

impl From<ParentArg> for ExecutionArg {
    fn from(typed: ParentArg) -> Self {
        // clap lets no line through that names none.
        Self { execution: typed.execution.or(typed.of).unwrap_or_default(), job: typed.job }
    }
}

/// A task, as it is named on the command line.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TaskArg {
    /// Task: its id, as in `echo-x7k2p-task0`, or its full name `projects/P/locations/R/jobs/J/executions/E/tasks/T`.
    pub(in crate::cli) task: String,
    /// Job of a short task id. The default is the id without `-xxxxx-taskN`.
    #[arg(long, value_name = "JOB")]
    pub(in crate::cli) job: Option<String>,
}
