//! Examples at the end of each command's help, and the variables at the end of the program's.

use clap::Command;

use super::gcloud::counterpart;

/// What each example does, and its line.
const EXAMPLES: &str = include_str!("examples.tsv");

/// The variables that count, for the program's own help.
const VARIABLES: &str = "\
Environment variables:
  RUN_EMULATOR_HOST, CLOUD_RUN_EMULATOR_HOST
          HOST:PORT of an emulator to call instead of the service
  CLOUDSDK_CORE_PROJECT, GOOGLE_CLOUD_PROJECT
          Project of short names
  CLOUDSDK_RUN_REGION, GOOGLE_CLOUD_REGION
          Region of short names
  GOOGLE_APPLICATION_CREDENTIALS
          File of Application Default Credentials
  CLOUDSDK_AUTH_ACCESS_TOKEN, CLOUDSDK_AUTH_ACCESS_TOKEN_FILE
          Access token, or the file that holds one
  CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT
          Service account to act as
  CLOUDSDK_CONFIG, CLOUDSDK_ACTIVE_CONFIG_NAME
          Directory and name of gcloud's configuration
  HTTPS_PROXY, NO_PROXY
          Proxy to the service, and the hosts to reach without it
  XDG_STATE_HOME
          Where the start log is kept, in runjob/
  NO_COLOR
          No colours, which are for terminals only anyway";

/// The program with examples and variables in its help.
pub(super) fn added(program: Command) -> Command {
    program.mut_subcommands(|command| with_examples(command, &[])).after_help(VARIABLES)
}

fn with_examples(command: Command, parent: &[String]) -> Command {
    let path: Vec<_> = parent.iter().cloned().chain([command.get_name().to_owned()]).collect();
    let command = command.mut_subcommands(|child| with_examples(child, &path));
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    let own: Vec<_> = examples().filter(|(_, line)| is_of(line, &path)).collect();
    if own.is_empty() || command.has_subcommands() {
        return command;
    }
    let text: String = own.iter().map(|(what, line)| format!("\n  {line}\n          {what}")).collect();
    command.after_help(format!("Examples:{text}"))
}

/// What each example does, and its line.
fn examples() -> impl Iterator<Item = (&'static str, &'static str)> {
    EXAMPLES.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'))
}

/// Whether this is an example of the command, by whichever of its names.
fn is_of(line: &str, path: &[&str]) -> bool {
    let words = line.split_once("runjob ").map_or("", |(_, words)| words);
    let own: Vec<_> = words.split([' ', ')']).take_while(|word| word.chars().all(|c| c.is_ascii_lowercase())).collect();
    let wanted = counterpart(path);
    (1..=own.len()).any(|count| counterpart(&own[..count]) == wanted)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::cli::verbs::Args;

    /// Every command that does something, with its path.
    fn leaves<'a>(command: &'a Command, path: &str, leaves: &mut Vec<(String, &'a Command)>) {
        for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
            let path = format!("{path} {}", child.get_name());
            if child.has_subcommands() { self::leaves(child, &path, leaves) } else { leaves.push((path, child)) }
        }
    }

    #[test]
    fn every_command_has_an_example_and_every_example_is_read() {
        let mut program = Args::documented();
        program.build();
        let (mut all, mut shown) = (Vec::new(), String::new());
        leaves(&program, "runjob", &mut all);
        assert!(all.len() > 25, "commands are found");
        for (path, command) in all {
            let help = command.clone().render_help().to_string();
            assert!(help.contains("Examples:\n  "), "{path} has no example");
            shown += &help;
        }
        for (_, line) in examples() {
            assert!(shown.contains(&format!("  {line}\n")), "in no help: {line}");
            let line = line.trim_start_matches("source <(").split([')', '>']).next().unwrap_or_default();
            Args::read(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
                .unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
