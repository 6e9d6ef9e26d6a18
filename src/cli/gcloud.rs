//! What gcloud has for jobs, and what this program says about what it lacks of that.
//!
//! `surface.tsv` is gcloud's side, read from an installed one; ours is clap's tree of commands. `advice.tsv` is for the
//! difference between the two. A test keeps it complete, and docs/gcloud.md is made of all three.

use std::ffi::OsString;

use clap::{
    Command, Error,
    error::{ContextKind, ContextValue},
};

/// gcloud's commands and flags.
const SURFACE: &str = include_str!("gcloud/surface.tsv");

/// What to do instead of what is not here.
const ADVICE: &str = include_str!("gcloud/advice.tsv");

/// The error with advice in place of its tips, where it is about something that gcloud has.
pub(super) fn advised(mut error: Error, program: &Command, line: &[OsString]) -> Error {
    let Some(advice) = about(&error, program, line) else { return error };
    for kind in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
        error.remove(kind);
    }
    let tip = format!("gcloud has this; {advice}");
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

/// What there is to say about the flag or the command that the error is about.
fn about(error: &Error, program: &Command, line: &[OsString]) -> Option<&'static str> {
    let command = counterpart(&path(program, line));
    if let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) {
        let is_gclouds = rows(SURFACE).any(|[of, known, _]| (of == command || of == "*") && known == flag);
        return is_gclouds.then(|| advice(&command, flag)).flatten();
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let command = format!("{command} {word}");
    let longer = format!("{command} ");
    rows(ADVICE)
        .find(|[of, flag, _]| *flag == "*" && (*of == command || of.starts_with(&longer)))
        .map(|[.., text]| text)
}

/// What is advised for a flag of a gcloud command.
fn advice(command: &str, flag: &str) -> Option<&'static str> {
    let find = |of: &str, about: &str| rows(ADVICE).find(|row| row[..2] == [of, about]).map(|[.., text]| text);
    find(command, flag).or_else(|| find("*", flag)).or_else(|| find(command, "*"))
}

/// The rows of a table without its comments.
fn rows(table: &'static str) -> impl Iterator<Item = [&'static str; 3]> {
    let cells = |row: &'static str| {
        let mut cells = row.splitn(3, '\t');
        Some([cells.next()?, cells.next()?, cells.next()?])
    };
    table.lines().filter(|row| !row.starts_with('#')).filter_map(cells)
}

/// The command that a line names, as far as it is one of ours.
fn path<'a>(program: &'a Command, line: &[OsString]) -> Vec<&'a str> {
    let (mut command, mut path) = (program, Vec::new());
    for word in line.iter().skip(1) {
        if let Some(next) = command.find_subcommand(word) {
            command = next;
            path.push(next.get_name());
        }
    }
    path
}

/// The gcloud command of one of ours, below `gcloud run`.
pub(super) fn counterpart(path: &[&str]) -> String {
    let below = match path.first() {
        Some(&"jobs") => "",
        Some(&("describe" | "cancel" | "wait")) => "jobs executions ",
        Some(&"tasks") => "jobs executions ",
        _ => "jobs ",
    };
    format!("{below}{}", path.join(" "))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

    use super::*;
    use crate::cli::verbs::Args;

    fn program() -> Command {
        let mut program = Args::documented();
        program.build();
        program
    }

    /// Our command at the same path as gcloud's.
    fn ours<'a>(program: &'a Command, command: &str) -> Option<&'a Command> {
        command.split(' ').try_fold(program, |command, word| command.find_subcommand(word))
    }

    fn has(command: &Command, flag: &str) -> bool {
        command.get_arguments().any(|arg| {
            let names = arg.get_long().into_iter().chain(arg.get_all_aliases().unwrap_or_default());
            names.into_iter().any(|name| flag.strip_prefix("--") == Some(name))
        })
    }

    /// gcloud's commands, each with its flags and with those that every command has.
    fn commands() -> Vec<(&'static str, Vec<&'static str>)> {
        let mut commands: Vec<(_, Vec<_>)> = Vec::new();
        for [command, flag, _] in rows(SURFACE).filter(|[command, ..]| *command != "*") {
            match commands.last_mut() {
                Some((last, flags)) if *last == command => flags.push(flag),
                _ => commands.push((command, vec![flag])),
            }
        }
        let everywhere = rows(SURFACE).filter(|[command, ..]| *command == "*");
        let everywhere: Vec<_> = everywhere.map(|[_, flag, _]| flag).collect();
        commands.iter_mut().for_each(|(_, flags)| flags.extend(&everywhere));
        commands
    }

    #[test]
    fn every_flag_of_gcloud_is_ours_or_has_advice_and_no_advice_is_left_over() {
        let program = program();
        let (mut missing, mut used) = (Vec::new(), BTreeSet::new());
        for (command, flags) in commands() {
            let own = ours(&program, command);
            for flag in flags.into_iter().filter(|flag| !own.is_some_and(|own| has(own, flag))) {
                match advice(command, flag) {
                    Some(advice) => _ = used.insert(advice),
                    None => missing.push(format!("{command} {flag}")),
                }
            }
        }
        assert!(missing.is_empty(), "neither ours nor with advice: {missing:#?}");
        let unused: Vec<_> = rows(ADVICE).filter(|[.., advice]| !used.contains(advice)).collect();
        assert!(unused.is_empty(), "advice about what is ours by now: {unused:#?}");
    }

    #[test]
    fn what_gcloud_has_is_refused_with_advice() {
        let cases = [
            ("jobs list --flatten=a", "--format=json prints the whole result"),
            ("execute echo --verbosity=debug", "--quiet leaves out"),
            ("tasks list echo-x7k2p --failed", "use --filter=failed"),
            ("executions tasks list echo-x7k2p --pending", "use --filter=pending"),
            ("jobs executions tasks list --no-started", "use --filter=pending"),
            ("jobs logs read echo", "logs are in Cloud Logging"),
            ("jobs set-iam-policy echo p.json", "policies are set by the library"),
        ];
        for (line, expected) in cases {
            let error = Args::read(&format!("runjob {line}").split(' ').map(OsString::from).collect::<Vec<_>>())
                .expect_err(line)
                .to_string();
            assert!(error.contains("  tip: gcloud has this; ") && error.contains(expected), "{line}: {error}");
        }
        let error =
            Args::read(&["runjob", "jobs", "list", "--flattened"].map(OsString::from)).expect_err("no such flag");
        assert!(!error.to_string().contains("gcloud"), "{error}");
    }

    #[test]
    fn lines_of_gcloud_are_read_with_jobs_or_the_program_alone_in_place_of_its_beginning() {
        let lines = [
            "jobs execute echo --args=a,b --args=c --update-env-vars=A=1 --update-env-vars=B=2 --tasks=3 --region=us-east1",
            "jobs execute echo --container=one --args=a --container=two --update-env-vars=A=1 --task-timeout=PT2H --wait",
            "execute echo --task-timeout=30M --async --quiet --format=yaml --project=acme",
            "jobs create echo --image=i --command=c --args=a --set-env-vars=A=1 --tasks=2 --max-retries=0 --parallelism=1",
            "jobs list --limit=5 --page-size=50 --sort-by=~metadata.creationTimestamp --uri",
            "jobs executions list --job=echo --filter=state=failed --limit=1",
            "executions cancel echo-x7k2p --async --quiet",
            "jobs executions tasks list --execution=echo-x7k2p --sort-by=~status.startTime",
            "executions tasks describe echo-x7k2p-task0 --region=us-east1 --impersonate-service-account=a@b",
        ];
        for line in lines {
            Args::read(&format!("runjob {line}").split(' ').map(OsString::from).collect::<Vec<_>>())
                .unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// The page, made of gcloud's side, ours and the advice.
    fn page() -> String {
        let program = program();
        let made_from = SURFACE.lines().next().unwrap_or_default().trim_start_matches("# ");
        let mut page = format!(
            "# Lines of gcloud\n\nA line of `gcloud run jobs ...` works after `gcloud run jobs` is replaced by `runjob jobs`, with \
             the flags that the table calls the same.\nThe others are refused with what stands here, and nothing is sent.\n\n\
             Made from: {made_from}, from `runjob`'s own commands, and from `src/cli/gcloud/advice.tsv`, by\n\
             `UPDATE_DOCS=1 cargo test --lib cli::gcloud`. The same test fails when they differ.\n"
        );
        for (command, flags) in commands() {
            let own = ours(&program, command);
            _ = write!(page, "\n## {command}\n\n");
            let Some(own) = own else {
                _ = writeln!(page, "Not in `runjob`: {}.", advice(command, "*").unwrap_or_default());
                continue;
            };
            let (same, other): (Vec<_>, Vec<_>) = flags.into_iter().partition(|flag| has(own, flag));
            let same: Vec<_> = same.iter().map(|flag| format!("`{flag}`")).collect();
            _ = writeln!(page, "The same: {}.\n\n| not here | instead |\n|---|---|", same.join(", "));
            let mut advised: Vec<(&str, Vec<String>)> = Vec::new();
            for flag in other {
                let (advice, flag) = (advice(command, flag).unwrap_or_default(), format!("`{flag}`"));
                match advised.iter_mut().find(|(known, _)| *known == advice) {
                    Some((_, flags)) => flags.push(flag),
                    None => advised.push((advice, vec![flag])),
                }
            }
            for (advice, flags) in advised {
                _ = writeln!(page, "| {} | {advice} |", flags.join(", "));
            }
        }
        page
    }

    #[test]
    fn the_page_about_gcloud_says_what_is_so() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/gcloud.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, page()).expect("written");
        }
        let written = fs::read_to_string(&path).expect("the page is there");
        assert!(written == page(), "docs/gcloud.md is out of date: UPDATE_DOCS=1 cargo test --lib cli::gcloud");
    }
}
