//! How large a task is: CPUs and memory, as they are typed and as a job has them.
//!
//! Knows quantities as Kubernetes writes them, in whole thousandths of a CPU and whole bytes. What a job does not say is not
//! assumed.

use super::decimal;
use crate::proto::run::v2::TaskTemplate;

/// Thousandths of a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cpu(pub(super) u128);

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory(pub(super) u128);

const GIB: u128 = 1 << 30;

/// `2`, `0.5`, `500m`.
pub(super) fn cpu(text: &str) -> Result<Cpu, String> {
    match scaled(text, 1000) {
        Some(0) => Err("a task has more than 0 CPUs, such as 1, 0.5 or 500m".to_owned()),
        Some(thousandths) => Ok(Cpu(thousandths)),
        None => Err("expected a number of CPUs such as 1, 0.5 or 500m".to_owned()),
    }
}

/// `512Mi`, `4Gi`, `1.5G`.
pub(super) fn memory(text: &str) -> Result<Memory, String> {
    match scaled(text, 1) {
        Some(0) => Err("a task has more than 0 bytes of memory, such as 512Mi or 4Gi".to_owned()),
        Some(bytes) => Ok(Memory(bytes)),
        None => Err("expected an amount of memory such as 512Mi or 4Gi".to_owned()),
    }
}

/// A quantity in parts of which `parts` are one, rounded up.
fn scaled(text: &str, parts: u128) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let binary = |power| 1024_u128.pow(power);
    let (factor, divisor) = match unit {
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "Ki" => (binary(1), 1),
        "Mi" => (binary(2), 1),
        "Gi" => (binary(3), 1),
        "Ti" => (binary(4), 1),
        _ => return None,
    };
    let whole = decimal::billionths(number)?.checked_mul(factor)?.checked_mul(parts)?;
    Some(whole.div_ceil(decimal::ONE * divisor))
}

/// What the containers of a task have together, or what is in the way of knowing that.
pub(super) fn of_template(task: &TaskTemplate) -> Result<(Cpu, Memory), String> {
    let (mut thousandths, mut bytes) = (0, 0);
    for container in &task.containers {
        let limits = container.resources.as_ref().map(|resources| &resources.limits);
        let limit = |name: &str| limits.and_then(|limits| limits.get(name));
        if limit("nvidia.com/gpu").is_some() {
            return Err("has a GPU, and the price table has no price of GPUs".to_owned());
        }
        let text = |name| limit(name).ok_or_else(|| format!("has no limit of {name}"));
        let unread = |name, why: String| format!("has a limit of {name} that cannot be read: {why}");
        thousandths += cpu(text("cpu")?).map_err(|why| unread("cpu", why))?.0;
        bytes += memory(text("memory")?).map_err(|why| unread("memory", why))?.0;
    }
    if task.containers.is_empty() { Err("has no container".to_owned()) } else { Ok((Cpu(thousandths), Memory(bytes))) }
}

impl Cpu {
    /// `2` or `0.5`.
    pub(super) fn in_words(self) -> String {
        decimal::quotient(self.0, 1000, 0, 3)
    }
}

impl Memory {
    /// In GiB.
    pub(super) fn in_words(self) -> String {
        decimal::quotient(self.0, GIB, 0, 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::run::v2::{Container, ResourceRequirements};

    type Limits<'a> = &'a [(&'a str, &'a str)];

    fn task(containers: &[Limits<'_>]) -> TaskTemplate {
        let containers = containers.iter().map(|limits| {
            let limits = limits.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            Container {
                resources: Some(ResourceRequirements { limits, ..ResourceRequirements::default() }),
                ..Container::default()
            }
        });
        TaskTemplate { containers: containers.collect(), ..TaskTemplate::default() }
    }

    #[test]
    fn quantities_are_exact() {
        for (text, thousandths) in [("1", 1000), (".08", 80), ("0.5", 500), ("1000m", 1000), ("0.5m", 1)] {
            assert_eq!(cpu(text), Ok(Cpu(thousandths)), "{text}");
        }
        for (text, bytes) in [("128Mi", 128 << 20), ("4Gi", 4 << 30), ("1.5Gi", 3 << 29), ("1G", 1_000_000_000)] {
            assert_eq!(memory(text), Ok(Memory(bytes)), "{text}");
        }
        for text in ["", "0", "-1", "Gi", "1 Gi", "1gi", "1GB", "0.0", "99999999999999999999", "\u{661}"] {
            assert!(cpu(text).is_err() && memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn containers_are_added_up() {
        let pair = task(&[&[("cpu", "1"), ("memory", "512Mi")], &[("cpu", "500m"), ("memory", "1Gi")]]);
        let (cpu, memory) = of_template(&pair).expect("it says all");
        assert_eq!((cpu.in_words(), memory.in_words()), ("1.5".to_owned(), "1.5".to_owned()));
    }

    #[test]
    fn what_a_job_does_not_say_is_not_assumed() {
        let cases: [(&[Limits<'_>], &str); 4] = [
            (&[&[("cpu", "1")]], "has no limit of memory"),
            (&[&[("cpu", "much"), ("memory", "1Gi")]], "has a limit of cpu that cannot be read: expected"),
            (&[&[("cpu", "4"), ("memory", "16Gi"), ("nvidia.com/gpu", "1")]], "no price of GPUs"),
            (&[], "has no container"),
        ];
        for (containers, expected) in cases {
            let what = of_template(&task(containers)).expect_err(expected);
            assert!(what.contains(expected), "{what}");
        }
    }
}
