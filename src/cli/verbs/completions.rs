//! `runjob completions`: the script that lets a shell ask this program what a line can go on with.

use clap::ValueEnum;
use clap_complete::env::Shells;

use crate::cli::{complete::VARIABLE, exit::Exit, failure::Failure, printer::Printer};

/// `runjob completions`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Completions {
    /// Shell to complete lines in.
    #[arg(value_enum)]
    shell: Shell,
}

/// The shells that are known.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

impl Completions {
    /// Prints the script.
    pub(in crate::cli) fn run(&self, printer: &Printer) -> Result<Exit, Failure> {
        let name = match self.shell {
            Shell::Bash => "bash",
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
            Shell::Powershell => "powershell",
        };
        let shells = Shells::builtins();
        let shell = shells.completer(name).ok_or_else(|| Failure::usage(format!("{name} is not known")))?;
        let mut script = Vec::new();
        shell.write_registration(VARIABLE, "runjob", "runjob", "runjob", &mut script)?;
        printer.text(String::from_utf8_lossy(&script).trim_end())?;
        Ok(Exit::Done)
    }
}
