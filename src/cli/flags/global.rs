//! Flags of every command: how results are printed, and what is called.

use clap::ValueEnum;

/// Flags that every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(in crate::cli) struct Global {
    /// How the result is printed on stdout.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(in crate::cli) format: Format,
    /// Print results, warnings and errors only, and do not ask before deleting.
    #[arg(long, short, global = true)]
    pub(in crate::cli) quiet: bool,
    /// Project of short names. Else CLOUDSDK_CORE_PROJECT, GOOGLE_CLOUD_PROJECT, gcloud's active configuration.
    #[arg(long, global = true, value_name = "ID")]
    pub(in crate::cli) project: Option<String>,
    /// Region of short names. Else CLOUDSDK_RUN_REGION, GOOGLE_CLOUD_REGION, gcloud's active configuration.
    #[arg(long, global = true, value_name = "REGION")]
    pub(in crate::cli) region: Option<String>,
    /// Scheme and host to speak to instead of the service's own, e.g. `https://us-central1-run.googleapis.com`.
    #[arg(long, global = true, value_name = "URL", conflicts_with = "emulator")]
    pub(in crate::cli) endpoint: Option<String>,
    /// Use an emulator inside this process, with its sample jobs: echo, env, sleep, fail, flaky.
    #[arg(long, global = true)]
    pub(in crate::cli) emulator: bool,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// For people.
    Text,
    /// For programs: resources as canonical proto3 JSON.
    Json,
}
