//! What one start changes of its job's template: `RunJobRequest.overrides`.
//!
//! A pure function from template and overrides to the template of the execution; the job stays as it is.

use crate::{
    emulator::{refusal::Refusal, validate},
    proto::run::v2::{
        Container, EnvVar, ExecutionTemplate,
        run_job_request::{Overrides, overrides::ContainerOverride},
    },
};

/// The template that an execution with these overrides runs.
pub(crate) fn apply(template: &ExecutionTemplate, overrides: &Overrides) -> Result<ExecutionTemplate, Refusal> {
    let mut merged = template.clone();
    if overrides.task_count != 0 {
        merged.task_count = overrides.task_count;
    }
    let task = merged.template.get_or_insert_default();
    if let Some(timeout) = &overrides.timeout {
        validate::timeout("overrides.timeout", Some(timeout))?;
        task.timeout = Some(*timeout);
    }
    for (index, change) in overrides.container_overrides.iter().enumerate() {
        let field = format!("overrides.container_overrides[{index}]");
        validate::env(&format!("{field}.env"), &change.env)?;
        apply_to(container(&mut task.containers, &change.name, &field)?, change);
    }
    validate::template(&merged)?;
    Ok(merged)
}

/// The container of that name; a job's only container also answers to any other name, and to none.
fn container<'a>(containers: &'a mut [Container], name: &str, field: &str) -> Result<&'a mut Container, Refusal> {
    let unknown = || {
        let known: Vec<_> = containers.iter().map(|container| format!("'{}'", container.name)).collect();
        let text = format!("The job has no container named '{name}'; its containers are {}.", known.join(", "));
        Refusal::invalid(format!("{field}.name"), text)
    };
    let named = containers.iter().position(|container| !name.is_empty() && container.name == name);
    let index = named.or((containers.len() == 1).then_some(0)).ok_or_else(unknown)?;
    Ok(&mut containers[index])
}

fn apply_to(container: &mut Container, change: &ContainerOverride) {
    if change.clear_args {
        container.args.clear();
    }
    if !change.args.is_empty() {
        container.args.clone_from(&change.args);
    }
    for variable in &change.env {
        set(&mut container.env, variable);
    }
}

/// An entry of the same name is replaced in its place, a new one goes to the end.
fn set(env: &mut Vec<EnvVar>, variable: &EnvVar) {
    match env.iter_mut().find(|present| present.name == variable.name) {
        Some(present) => present.clone_from(variable),
        None => env.push(variable.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::run::v2::{TaskTemplate, env_var::Values};

    fn variable(name: &str, value: &str) -> EnvVar {
        EnvVar { name: name.to_owned(), values: Some(Values::Value(value.to_owned())) }
    }

    fn template(names: &[&str]) -> ExecutionTemplate {
        let container = |name: &&str| Container {
            name: (*name).to_owned(),
            image: "image".to_owned(),
            args: vec!["old".to_owned()],
            env: vec![variable("A", "1"), variable("B", "2")],
            ..Container::default()
        };
        ExecutionTemplate {
            task_count: 3,
            template: Some(TaskTemplate {
                containers: names.iter().map(container).collect(),
                ..TaskTemplate::default()
            }),
            ..ExecutionTemplate::default()
        }
    }

    fn change(name: &str) -> ContainerOverride {
        ContainerOverride { name: name.to_owned(), args: vec!["new".to_owned()], ..ContainerOverride::default() }
    }

    fn applied(names: &[&str], change: ContainerOverride) -> Result<Vec<Container>, Refusal> {
        let overrides = Overrides { container_overrides: vec![change], ..Overrides::default() };
        apply(&template(names), &overrides).map(|merged| merged.template.unwrap_or_default().containers)
    }

    #[test]
    fn nothing_overridden_changes_nothing() {
        assert_eq!(apply(&template(&["a"]), &Overrides::default()), Ok(template(&["a"])));
    }

    #[test]
    fn the_only_container_answers_to_any_name() {
        for name in ["", "a", "other"] {
            assert_eq!(applied(&["a"], change(name)).map(|all| all[0].args.clone()), Ok(vec!["new".to_owned()]));
        }
    }

    #[test]
    fn one_of_several_containers_must_be_named() {
        let all = applied(&["a", "b"], change("b")).expect("b is there");
        assert_eq!((all[0].args[0].as_str(), all[1].args[0].as_str()), ("old", "new"));
        for name in ["", "c"] {
            assert!(applied(&["a", "b"], change(name)).is_err(), "{name:?} is no container");
        }
    }

    #[test]
    fn env_is_merged_by_name_in_place_and_new_names_follow() {
        let env = vec![variable("C", "3"), variable("A", "9")];
        let all = applied(&["a"], ContainerOverride { env, ..ContainerOverride::default() }).expect("valid");
        assert_eq!(all[0].env, [variable("A", "9"), variable("B", "2"), variable("C", "3")]);
        assert_eq!(all[0].args, ["old"]);
    }

    #[test]
    fn clear_args_leaves_none() {
        let all = applied(&["a"], ContainerOverride { clear_args: true, ..ContainerOverride::default() });
        assert_eq!(all.map(|all| all[0].args.len()), Ok(0));
    }

    #[test]
    fn reserved_and_empty_env_names_are_refused() {
        for name in ["", "CLOUD_RUN_JOB", "PORT", "A=B"] {
            let env = vec![variable(name, "x")];
            assert!(applied(&["a"], ContainerOverride { env, ..ContainerOverride::default() }).is_err(), "{name:?}");
        }
    }

    #[test]
    fn counts_and_timeouts_out_of_range_are_refused() {
        for task_count in [-1, 10_001] {
            assert!(apply(&template(&["a"]), &Overrides { task_count, ..Overrides::default() }).is_err());
        }
        for seconds in [-1, 0, 168 * 3600 + 1] {
            let timeout = Some(prost_types::Duration { seconds, nanos: 0 });
            assert!(apply(&template(&["a"]), &Overrides { timeout, ..Overrides::default() }).is_err());
        }
    }
}
