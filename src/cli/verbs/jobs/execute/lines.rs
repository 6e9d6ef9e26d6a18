//! The lines of `--each`: each is a start, by arguments as a shell splits them, or by a JSON object of overrides.
//!
//! Errors name the line, never its text: it may hold secrets.

use std::time::Duration;

use crate::{
    cli::{
        failure::Failure,
        flags::{
            file,
            overrides::{ContainerFlags, Overrides},
        },
        show::json,
    },
    proto::run::v2::{
        env_var,
        run_job_request::{self, overrides::ContainerOverride},
    },
};

/// The largest file: 10,000 lines of more than a kilobyte each.
const LARGEST: usize = 16 * 1024 * 1024;

/// A line that is a start.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EachLine {
    /// Its number in the file, from 1.
    pub(super) number: usize,
    pub(super) overrides: Overrides,
}

/// The starts of a file, or of stdin for `-`: the lines that are not empty and no comments. What every start has in
/// common is `common`.
pub(super) fn read(path: &str, common: &Overrides) -> Result<Vec<EachLine>, Failure> {
    let text = file::read_or_stdin(path, LARGEST)
        .map_err(|error| Failure::usage(format!("--each: cannot read {}: {error}", shown(path))))?;
    parse(&text, common).map_err(|(number, what)| bad_line(path, number, &what))
}

/// The failure that a line of this file is no start.
pub(super) fn bad_line(path: &str, number: usize, what: &str) -> Failure {
    Failure::usage(format!("--each: {}, line {number}: {what}", shown(path))).hint(
        "a line is arguments as for a shell, or the overrides that --dry-run --format=json shows; nothing was started",
    )
}

fn shown(path: &str) -> &str {
    if path == file::STDIN { "stdin" } else { path }
}

fn parse(text: &str, common: &Overrides) -> Result<Vec<EachLine>, (usize, String)> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let mut overrides = common.clone();
        if line.trim_start().starts_with('{') {
            let own = json::read(line).map_err(|what| (number, what))?;
            merge(&mut overrides, own).map_err(|what| (number, what.to_owned()))?;
        } else {
            let words = shlex::split(line).ok_or_else(|| (number, "a quote has no end".to_owned()))?;
            if words.is_empty() {
                continue;
            }
            container(&mut overrides, "").args = Some(words);
        }
        lines.push(EachLine { number, overrides });
    }
    Ok(lines)
}

/// Lays a line's own overrides over the common ones.
fn merge(overrides: &mut Overrides, own: run_job_request::Overrides) -> Result<(), &'static str> {
    for changed in own.container_overrides {
        merge_container(container(overrides, &changed.name), changed)?;
    }
    match u32::try_from(own.task_count) {
        Ok(0) => {}
        Ok(count) => overrides.task_count = Some(count),
        Err(_) => return Err("taskCount is negative"),
    }
    if let Some(timeout) = own.timeout {
        overrides.task_timeout = Some(Duration::try_from(timeout).map_err(|_| "timeout is negative")?);
    }
    Ok(())
}

fn merge_container(container: &mut ContainerFlags, changed: ContainerOverride) -> Result<(), &'static str> {
    match (changed.args.is_empty(), changed.clear_args) {
        (false, false) => container.args = Some(changed.args),
        (true, true) => container.args = Some(Vec::new()),
        (false, true) => return Err("args and clearArgs exclude each other"),
        (true, false) => {}
    }
    for variable in changed.env {
        let Some(env_var::Values::Value(value)) = variable.values else {
            return Err("an override of a variable has a value, and no other source");
        };
        container.env.retain(|(name, _)| *name != variable.name);
        container.env.push((variable.name, value));
    }
    Ok(())
}

/// The overrides of the container of this name. Without a name it is the one that the flags are about, or the only one.
fn container<'a>(overrides: &'a mut Overrides, name: &str) -> &'a mut ContainerFlags {
    let containers = &mut overrides.containers;
    let found = match name {
        "" => (!containers.is_empty()).then_some(0),
        name => containers.iter().position(|container| container.name.as_deref() == Some(name)),
    };
    let index = found.unwrap_or_else(|| {
        let name = Some(name.to_owned()).filter(|name| !name.is_empty());
        containers.push(ContainerFlags { name, ..ContainerFlags::default() });
        containers.len() - 1
    });
    &mut containers[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &EachLine) -> Vec<&str> {
        line.overrides.containers[0].args.iter().flatten().map(String::as_str).collect()
    }

    #[test]
    fn a_line_is_split_as_a_shell_splits_it_and_empty_ones_are_none() {
        let lines = parse("a 'b c' \"d\\\"e\"\n\n# no start\n  \n''\n{}\n", &Overrides::default()).expect("valid");
        let numbers: Vec<_> = lines.iter().map(|line| line.number).collect();
        assert_eq!((numbers, args(&lines[0]), args(&lines[1])), (vec![1, 5, 6], vec!["a", "b c", "d\"e"], vec![""]));
        assert_eq!(lines[2].overrides, Overrides::default());
    }

    #[test]
    fn a_lines_own_overrides_lie_over_the_common_ones() {
        let container = ContainerFlags {
            name: Some("main".to_owned()),
            args: None,
            env: [("A", "1"), ("B", "1")].map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        let common = Overrides { containers: vec![container], task_count: Some(2), task_timeout: None };
        let text = r#"{"containerOverrides": [{"name": "main", "args": ["x"], "env": [{"name": "B", "value": "2"}]},
            {"name": "side", "clearArgs": true}], "taskCount": 3, "timeout": "90s"}"#;
        let lines = parse(&format!("only args\n{}", text.replace('\n', "")), &common).expect("valid");
        assert_eq!((args(&lines[0]), lines[0].overrides.task_count), (vec!["only", "args"], Some(2)));
        let own = &lines[1].overrides;
        assert_eq!((own.task_count, own.task_timeout), (Some(3), Some(Duration::from_secs(90))));
        let env: Vec<_> = own.containers[0].env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!((args(&lines[1]), env), (vec!["x"], vec!["A=1".to_owned(), "B=2".to_owned()]));
        assert_eq!((own.containers[1].name.as_deref(), &own.containers[1].args), (Some("side"), &Some(Vec::new())));
    }

    #[test]
    fn a_line_that_is_no_start_is_named_by_its_number_without_its_text() {
        for (text, number, reason) in [
            ("a\n\"hunter2", 2, "a quote has no end"),
            ("{\"args\": [\"hunter2\"]}", 1, "column"),
            ("a\nb\n{\"taskCount\": \"hunter2\"}", 3, "column"),
            ("{\"taskCount\": -1}", 1, "negative"),
            ("{\"timeout\": \"-1s\"}", 1, "negative"),
            ("{\"containerOverrides\": [{\"env\": [{\"name\": \"hunter2\"}]}]}", 1, "no other source"),
            ("{} hunter2", 1, "column"),
        ] {
            let (at, what) = parse(text, &Overrides::default()).expect_err(text);
            assert_eq!(at, number, "{text}");
            assert!(what.contains(reason) && !what.contains("hunter2"), "{text}: {what}");
        }
    }
}
