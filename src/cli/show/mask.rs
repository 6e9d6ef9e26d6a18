//! Values of environment variables, hidden: they are often secrets, and a terminal or a CI log keeps what it is shown.

use crate::{
    StartKey,
    proto::run::v2::{Container, EnvVar, Execution, Job, RunJobRequest, Task, env_var},
};

/// What stands in place of a value.
pub(in crate::cli) const MASK: &str = "***";

/// Something that runs containers.
pub(in crate::cli) trait Containers {
    fn containers_mut(&mut self) -> &mut [Container];
}

impl Containers for Job {
    fn containers_mut(&mut self) -> &mut [Container] {
        let template = self.template.as_mut().and_then(|template| template.template.as_mut());
        template.map_or(&mut [], |template| template.containers.as_mut_slice())
    }
}

impl Containers for Execution {
    fn containers_mut(&mut self) -> &mut [Container] {
        self.template.as_mut().map_or(&mut [], |template| template.containers.as_mut_slice())
    }
}

impl Containers for Task {
    fn containers_mut(&mut self) -> &mut [Container] {
        &mut self.containers
    }
}

/// Hides the values, unless they are to be shown. References to secrets stay: they say where, not what.
pub(in crate::cli) fn mask<R: Containers>(mut resource: R, show_env: bool) -> R {
    if !show_env {
        resource.containers_mut().iter_mut().flat_map(|container| &mut container.env).for_each(hide);
    }
    resource
}

/// A value, hidden unless it is to be shown.
pub(in crate::cli) fn shown(value: &str, show_env: bool) -> String {
    if show_env { value.to_owned() } else { MASK.to_owned() }
}

/// Hides the values that a start sends, unless they are to be shown. Its key is no secret.
pub(in crate::cli) fn mask_start(mut request: RunJobRequest, show_env: bool) -> RunJobRequest {
    if !show_env && let Some(overrides) = &mut request.overrides {
        let variables = overrides.container_overrides.iter_mut().flat_map(|container| &mut container.env);
        variables.filter(|variable| variable.name != StartKey::VARIABLE).for_each(hide);
    }
    request
}

fn hide(variable: &mut EnvVar) {
    if let Some(env_var::Values::Value(value)) = &mut variable.values {
        MASK.clone_into(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::run::v2::{EnvVarSource, TaskTemplate};

    #[test]
    fn values_are_hidden_and_references_are_not() {
        let reference = EnvVar {
            name: "B".into(),
            values: Some(env_var::Values::ValueSource(EnvVarSource { secret_key_ref: None })),
        };
        let value = EnvVar { name: "A".into(), values: Some(env_var::Values::Value("hunter2".into())) };
        let container = Container { env: vec![value.clone(), reference.clone()], ..Container::default() };
        let template = TaskTemplate { containers: vec![container], ..TaskTemplate::default() };
        let execution = Execution { template: Some(template), ..Execution::default() };

        let mut masked = mask(execution.clone(), false);
        let env = &masked.containers_mut()[0].env;
        assert_eq!(env[0].values, Some(env_var::Values::Value("***".into())));
        assert_eq!(env[1], reference);
        assert_eq!(mask(execution.clone(), true), execution);
    }
}
