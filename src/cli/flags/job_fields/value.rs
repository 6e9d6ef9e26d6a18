//! What the text of a flag of a job is read as. Knows syntax, and no job.

use super::{
    super::{arguments, lists, values},
    volumes::{self, Properties},
};
use crate::{
    cli::failure::Failure,
    proto::run::v2::{Volume, VolumeMount},
};

/// How the text of a flag is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// No text: the flag alone says it.
    Switch,
    /// Any text but the empty one.
    Text,
    /// Any text; the empty one takes back what was set.
    TextOrNothing,
    /// `A,B`, which may be empty.
    List,
    /// The same, or `@FILE`.
    Arguments,
    /// `A,B` of names.
    Names,
    /// `K=V,...`
    Pairs,
    /// `K=SECRET:VERSION,...`
    Secrets,
    /// A whole number of at least this.
    Count(u32),
    /// The limit of a task's attempt.
    TaskTimeout,
    /// An amount of processors, as in `2` or `500m`.
    Cpu,
    /// An amount of memory, as in `512Mi`.
    Memory,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `name=N,type=T,...`
    Volumes,
    /// `volume=N,mount-path=/P`
    Mounts,
}

/// The text of a flag, read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FieldValue {
    Nothing,
    Text(String),
    List(Vec<String>),
    Pairs(Vec<(String, String)>),
    Number(i32),
    Duration(prost_types::Duration),
    Volumes(Vec<Volume>),
    Mounts(Vec<VolumeMount>),
}

impl ValueKind {
    /// Whether the flag may be repeated, because lists add up.
    pub(super) fn is_list(self) -> bool {
        matches!(
            self,
            Self::List | Self::Arguments | Self::Names | Self::Pairs | Self::Secrets | Self::Volumes | Self::Mounts
        )
    }

    /// Reads what the flag was given, each time that it was.
    pub(super) fn read(self, flag: &str, texts: &[String]) -> Result<FieldValue, Failure> {
        let flag = format!("--{flag}");
        let text = texts.first().map(String::as_str).unwrap_or_default();
        let wrong = |what: String| Failure::usage(format!("{flag}: {what}"));
        match self {
            Self::Word(words) if !words.contains(&text) => Err(wrong(format!("expected one of {}", words.join(", ")))),
            Self::Word(_) => Ok(FieldValue::Text(text.to_owned())),
            Self::Volumes => Ok(FieldValue::Volumes(each(&flag, texts, volumes::volume)?)),
            Self::Mounts => Ok(FieldValue::Mounts(each(&flag, texts, volumes::mount)?)),
            Self::Switch => Ok(FieldValue::Nothing),
            Self::Text if text.is_empty() => Err(wrong("the value is empty".to_owned())),
            Self::Text | Self::TextOrNothing => Ok(FieldValue::Text(text.to_owned())),
            Self::List | Self::Names => Ok(FieldValue::List(lists::list(&flag, texts)?)),
            Self::Arguments => Ok(FieldValue::List(arguments::list(texts)?)),
            Self::Pairs => Ok(FieldValue::Pairs(lists::pairs(&flag, texts)?)),
            Self::Secrets => secrets(&flag, texts),
            Self::Count(least) => number(text, least).map(FieldValue::Number).map_err(wrong),
            Self::TaskTimeout => {
                let timeout = values::task_timeout(text).map_err(wrong)?;
                let timeout = prost_types::Duration::try_from(timeout).map_err(|error| wrong(error.to_string()))?;
                Ok(FieldValue::Duration(timeout))
            }
            Self::Cpu => quantity(text, &["", "m"], "2, 0.5 or 500m").map_err(wrong),
            Self::Memory => {
                let units = ["", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"];
                quantity(text, &units, "512Mi or 2Gi").map_err(wrong)
            }
        }
    }
}

impl FieldValue {
    pub(super) fn text(&self) -> String {
        if let Self::Text(text) = self { text.clone() } else { String::new() }
    }

    pub(super) fn list(&self) -> Vec<String> {
        if let Self::List(list) = self { list.clone() } else { Vec::new() }
    }

    pub(super) fn pairs(&self) -> &[(String, String)] {
        if let Self::Pairs(pairs) = self { pairs } else { &[] }
    }

    pub(super) fn volumes(&self) -> &[Volume] {
        if let Self::Volumes(volumes) = self { volumes } else { &[] }
    }

    pub(super) fn mounts(&self) -> &[VolumeMount] {
        if let Self::Mounts(mounts) = self { mounts } else { &[] }
    }

    pub(super) fn number(&self) -> i32 {
        if let Self::Number(number) = self { *number } else { 0 }
    }

    pub(super) fn duration(&self) -> Option<prost_types::Duration> {
        if let Self::Duration(duration) = self { Some(*duration) } else { None }
    }
}

/// What each text of `name=value` pairs makes by itself.
fn each<T>(flag: &str, texts: &[String], make: fn(Properties) -> Result<T, String>) -> Result<Vec<T>, Failure> {
    let one = |text: &String| {
        let pairs = lists::pairs(flag, std::slice::from_ref(text))?;
        make(Properties(pairs)).map_err(|reason| Failure::usage(format!("{flag}: {reason}")))
    };
    texts.iter().map(one).collect()
}

/// Pairs whose values are references to secrets.
fn secrets(flag: &str, texts: &[String]) -> Result<FieldValue, Failure> {
    let pairs = lists::pairs(flag, texts)?;
    for (name, reference) in &pairs {
        if name.starts_with('/') {
            return Err(Failure::usage(format!("{flag}: {name} is a path, and names of variables are expected")).hint(
                format!(
                    "for a file: --add-volume=name=V,type=secret,secret=S --add-volume-mount=volume=V,mount-path={name}"
                ),
            ));
        }
        let is_whole =
            reference.rsplit_once(':').is_some_and(|(secret, version)| !secret.is_empty() && !version.is_empty());
        if !is_whole {
            return Err(Failure::usage(format!("{flag}: the secret of {name} is not SECRET:VERSION"))
                .hint("the newest version of a secret is SECRET:latest"));
        }
    }
    Ok(FieldValue::Pairs(pairs))
}

fn number(text: &str, least: u32) -> Result<i32, String> {
    let count = values::count(text).ok().and_then(|count| i32::try_from(count).ok());
    count
        .filter(|count| u32::try_from(*count).is_ok_and(|count| count >= least))
        .ok_or_else(|| format!("expected a whole number, {least} to {}", i32::MAX))
}

/// A number with one of these units, as it was typed.
fn quantity(text: &str, units: &[&str], example: &str) -> Result<FieldValue, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let is_number = number.starts_with(|c: char| c.is_ascii_digit()) && number.parse::<f64>().is_ok_and(|n| n > 0.0);
    if is_number && units.contains(&unit) {
        Ok(FieldValue::Text(text.to_owned()))
    } else {
        Err(format!("expected an amount such as {example}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_value_names_the_flag_and_what_is_accepted() {
        let cases = [
            (ValueKind::Text, "", "the value is empty"),
            (ValueKind::Count(1), "0", "expected a whole number, 1 to 2147483647"),
            (ValueKind::Count(0), "-1", "expected a whole number, 0 to 2147483647"),
            (ValueKind::Count(0), "2147483648", "expected a whole number, 0 to 2147483647"),
            (ValueKind::TaskTimeout, "0", "a task may take from 1s to 168h (7 days)"),
            (ValueKind::Cpu, "1Gi", "expected an amount such as 2, 0.5 or 500m"),
            (ValueKind::Cpu, "0", "expected an amount such as 2, 0.5 or 500m"),
            (ValueKind::Cpu, "1.2.3", "expected an amount such as 2, 0.5 or 500m"),
            (ValueKind::Memory, "1GB", "expected an amount such as 512Mi or 2Gi"),
            (ValueKind::Memory, "much", "expected an amount such as 512Mi or 2Gi"),
            (ValueKind::Secrets, "KEY=hunter2", "the secret of KEY is not SECRET:VERSION"),
            (ValueKind::Secrets, "KEY=s:", "the secret of KEY is not SECRET:VERSION"),
            (ValueKind::Word(&["a", "b"]), "c", "expected one of a, b"),
            (ValueKind::Volumes, "type=nfs", "name is missing"),
            (ValueKind::Volumes, "name=v,type=disk", "type is secret, cloud-storage, nfs or in-memory"),
            (ValueKind::Volumes, "name=v,type=nfs,location=x", "location is SERVER:/PATH"),
            (ValueKind::Volumes, "name=v,type=in-memory,bucket=b", "bucket is not known here"),
            (ValueKind::Mounts, "volume=v", "mount-path is missing"),
            (ValueKind::Secrets, "/k=s:1", "/k is a path, and names of variables are expected"),
        ];
        for (kind, text, expected) in cases {
            let failure = kind.read("flag", &[text.to_owned()]).expect_err(text);
            assert_eq!(failure.message(), format!("--flag: {expected}"), "{text}");
        }
    }
}
