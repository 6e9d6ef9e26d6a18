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
