//! How long executions take to start: a setting, per job or for all, read from text. Knows no execution.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

/// A delayed execution starts, and ends, within this much time.
pub(crate) const DELAY_LIMIT: Duration = Duration::from_secs(12 * 60 * 60);

/// How long each phase of the start-up of an execution takes, on the emulator's clock. Default is no time at all.
///
/// ```
/// use runjob::emulator::Startup;
///
/// let slow: Startup = "image=1.1s,resources=27s,started=2s".parse()?;
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Startup {
    /// Until the image is imported: the condition `ContainerReady`.
    pub image: Duration,
    /// From then until there are machines for the containers: the condition `ResourcesAvailable`.
    pub resources: Duration,
    /// From then until the first task starts: the condition `Started`.
    pub started: Duration,
}

impl FromStr for Startup {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut startup = Self::default();
        for part in text.split(',') {
            let (phase, length) = part.split_once('=').ok_or_else(|| format!("'{part}' is not PHASE=DURATION"))?;
            let slot = match phase.trim() {
                "image" => &mut startup.image,
                "resources" => &mut startup.resources,
                "started" => &mut startup.started,
                other => return Err(format!("'{other}' is not a phase: use image, resources or started")),
            };
            let length: prost_types::Duration =
                length.trim().parse().map_err(|_| format!("'{length}' is not a duration: write it as 1.5s"))?;
            *slot = length.try_into().map_err(|_| format!("{phase} must not be negative"))?;
        }
        Ok(startup)
    }
}

/// How executions start: all of them, and those of single jobs.
#[derive(Clone, Debug)]
pub(crate) struct Startups {
    /// Of every job that is not named.
    pub(crate) default: Startup,
    /// By job id.
    pub(crate) jobs: BTreeMap<String, Startup>,
    /// The longest delay of a delayed execution.
    pub(crate) delay: Duration,
}

impl Default for Startups {
    fn default() -> Self {
        Self { default: Startup::default(), jobs: BTreeMap::new(), delay: DELAY_LIMIT }
    }
}

impl Startups {
    pub(crate) fn of(&self, job_id: &str) -> Startup {
        self.jobs.get(job_id).copied().unwrap_or(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_named_in_any_order_and_default_to_no_time() {
        let startup: Startup = "resources=27s,image=1.1s".parse().expect("valid");
        let expected = (Duration::from_millis(1100), Duration::from_secs(27), Duration::ZERO);
        assert_eq!((startup.image, startup.resources, startup.started), expected);
    }

    #[test]
    fn what_is_no_phase_or_no_duration_is_named() {
        for (text, named) in [("image", "image"), ("pull=1s", "pull"), ("image=fast", "fast"), ("image=-1s", "image")] {
            let error = text.parse::<Startup>().expect_err(text);
            assert!(error.contains(named), "{error}");
        }
    }
}
