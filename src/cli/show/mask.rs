//! Values of environment variables, hidden: they are often secrets, and a terminal or a CI log keeps what it is shown.

use crate::proto::run::v2::{Container, Execution, Job, Task, env_var};

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
        for variable in resource.containers_mut().iter_mut().flat_map(|container| &mut container.env) {
            if let Some(env_var::Values::Value(value)) = &mut variable.values {
                MASK.clone_into(value);
            }
        }
    }
    resource
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::run::v2::{EnvVar, EnvVarSource, TaskTemplate};

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
