//! Flags of every command: how results are printed, and what is called.

use std::path::PathBuf;

use clap::ValueEnum;

/// Flags that every command takes.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(in crate::cli) struct Global {
    /// How the result is printed on stdout.
    #[arg(long, global = true, value_enum, default_value_t = Notation::Text)]
    pub(in crate::cli) format: Notation,
    /// Print results, warnings and errors only, and do not ask before deleting.
    #[arg(long, short, global = true)]
    pub(in crate::cli) quiet: bool,
    /// Print a line on stderr for each RPC: its method, its status and how long it took.
    #[arg(short = 'v', global = true)]
    pub(in crate::cli) verbose: bool,
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
    #[command(flatten)]
    pub(in crate::cli) access: Access,
}

/// Flags that say who calls the service, and by which way. An emulator takes none of them.
#[derive(Debug, Default, clap::Args)]
pub(in crate::cli) struct Access {
    /// File that holds an access token. Else CLOUDSDK_AUTH_ACCESS_TOKEN, CLOUDSDK_AUTH_ACCESS_TOKEN_FILE, gcloud's
    /// auth/access_token_file, Application Default Credentials.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "emulator")]
    pub(in crate::cli) access_token_file: Option<PathBuf>,
    /// Service account to act as; with commas, each acts as the next. Else CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT,
    /// gcloud's auth/impersonate_service_account.
    #[arg(long, global = true, value_name = "ACCOUNT", conflicts_with = "emulator")]
    pub(in crate::cli) impersonate_service_account: Option<String>,
    /// Proxy to the service and to token servers, `http://[USER:PASSWORD@]HOST:PORT`. Else HTTPS_PROXY and NO_PROXY.
    #[arg(long, global = true, value_name = "URL", conflicts_with = "emulator")]
    pub(in crate::cli) proxy: Option<String>,
    /// File of certificate authorities (PEM) to trust instead of the machine's.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "emulator")]
    pub(in crate::cli) ca_file: Option<PathBuf>,
}

impl Access {
    /// The first of the flags that was typed.
    pub(in crate::cli) fn typed(&self) -> Option<&'static str> {
        let flags = [
            (self.access_token_file.is_some(), "--access-token-file"),
            (self.impersonate_service_account.is_some(), "--impersonate-service-account"),
            (self.proxy.is_some(), "--proxy"),
            (self.ca_file.is_some(), "--ca-file"),
        ];
        flags.into_iter().find_map(|(is_typed, flag)| is_typed.then_some(flag))
    }
}

/// How a result is printed, as it is typed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Notation {
    /// For people.
    #[default]
    Text,
    /// For programs: resources as canonical proto3 JSON.
    Json,
    /// The same as JSON, written as YAML.
    Yaml,
}

/// For whom a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Format {
    /// For people.
    Text,
    /// For programs: a JSON value, in whichever notation.
    Json,
}

impl Notation {
    pub(in crate::cli) fn format(self) -> Format {
        match self {
            Self::Text => Format::Text,
            Self::Json | Self::Yaml => Format::Json,
        }
    }
}
