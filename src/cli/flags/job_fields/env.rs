//! Variables of a container: literal ones and those that refer to secrets, which share one list and have flags of their own.

use super::value::FieldValue;
use crate::proto::run::v2::{Container, EnvVar, EnvVarSource, SecretKeySelector, env_var::Values};

/// Of which kind a variable is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EnvKind {
    Literal,
    Secret,
}

impl EnvKind {
    fn of(variable: &EnvVar) -> Self {
        if matches!(variable.values, Some(Values::ValueSource(_))) { Self::Secret } else { Self::Literal }
    }

    /// The content of a variable of this kind.
    fn content(self, text: &str) -> Values {
        match self {
            Self::Literal => Values::Value(text.to_owned()),
            Self::Secret => {
                let (secret, version) = text.rsplit_once(':').unwrap_or((text, "latest"));
                let selector = SecretKeySelector { secret: secret.to_owned(), version: version.to_owned() };
                Values::ValueSource(EnvVarSource { secret_key_ref: Some(selector) })
            }
        }
    }

    /// Why a variable that is of the other kind is not replaced, as gcloud does not replace it either.
    fn refusal(self, name: &str) -> String {
        match self {
            Self::Literal => format!("{name} refers to a secret in the job; remove it first: --remove-secrets={name}"),
            Self::Secret => format!("{name} has a plain value in the job; remove it first: --remove-env-vars={name}"),
        }
    }
}

pub(super) fn merge_literals(container: &mut Container, value: &FieldValue) -> Result<(), String> {
    merge(container, EnvKind::Literal, value)
}

pub(super) fn merge_secrets(container: &mut Container, value: &FieldValue) -> Result<(), String> {
    merge(container, EnvKind::Secret, value)
}

pub(super) fn set_literals(container: &mut Container, value: &FieldValue) -> Result<(), String> {
    clear_literals(container, value)?;
    merge_literals(container, value)
}

pub(super) fn set_secrets(container: &mut Container, value: &FieldValue) -> Result<(), String> {
    clear_secrets(container, value)?;
    merge_secrets(container, value)
}

pub(super) fn remove_literals(container: &mut Container, value: &FieldValue) -> Result<(), String> {
    remove(container, EnvKind::Literal, &value.list())
}

pub(super) fn remove_secrets(container: &mut Container, value: &FieldValue) -> Result<(), String> {
    remove(container, EnvKind::Secret, &value.list())
}

pub(super) fn clear_literals(container: &mut Container, _: &FieldValue) -> Result<(), String> {
    container.env.retain(|variable| EnvKind::of(variable) != EnvKind::Literal);
    Ok(())
}

pub(super) fn clear_secrets(container: &mut Container, _: &FieldValue) -> Result<(), String> {
    container.env.retain(|variable| EnvKind::of(variable) != EnvKind::Secret);
    Ok(())
}

/// Replaces the variables where they stand, and adds new ones behind.
fn merge(container: &mut Container, kind: EnvKind, value: &FieldValue) -> Result<(), String> {
    for (name, text) in value.pairs() {
        let values = Some(kind.content(text));
        match container.env.iter_mut().find(|variable| variable.name == *name) {
            Some(variable) if EnvKind::of(variable) != kind => return Err(kind.refusal(name)),
            Some(variable) => variable.values = values,
            None => container.env.push(EnvVar { name: name.clone(), values }),
        }
    }
    Ok(())
}

fn remove(container: &mut Container, kind: EnvKind, names: &[String]) -> Result<(), String> {
    container.env.retain(|variable| EnvKind::of(variable) != kind || !names.contains(&variable.name));
    Ok(())
}
