//! The flag that shows what is masked otherwise.

/// Whether the values of environment variables are shown.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ShowEnv {
    /// Show the values of environment variables, which are masked otherwise, in text and in JSON.
    #[arg(long)]
    pub(in crate::cli) show_env: bool,
}
