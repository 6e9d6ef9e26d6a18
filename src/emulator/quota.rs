//! How much of everything there may be: rates of requests, running executions, jobs, each per project and region.
//!
//! Decides from numbers and times that it is given.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use serde::Deserialize;

use crate::{emulator::refusal::Refusal, name::Location};

/// What the quota of run requests is counted over.
const MINUTE: Duration = Duration::from_secs(60);

/// The quotas of each project and region. Default is none: nothing is limited.
///
/// A request over a quota is answered RESOURCE_EXHAUSTED with a `google.rpc.QuotaFailure`, and over a rate also with a
/// `google.rpc.RetryInfo`.
///
/// ```
/// use runjob::emulator::{Emulator, Quota};
///
/// let strict = Emulator::builder().quota(Quota::documented().run_requests_per_minute(60));
/// ```
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Quota {
    run_requests_per_minute: Option<u32>,
    running_executions: Option<u32>,
    jobs: Option<u32>,
}

impl Quota {
    /// What a new project has, as far as it is known: 180 run requests a minute, 1000 running executions, 1000 jobs.
    pub fn documented() -> Self {
        Self { run_requests_per_minute: Some(180), running_executions: Some(1000), jobs: Some(1000) }
    }

    /// Calls of RunJob in a minute, which begins with its first call.
    #[must_use]
    pub fn run_requests_per_minute(self, limit: u32) -> Self {
        Self { run_requests_per_minute: Some(limit), ..self }
    }

    /// Executions that are not finished.
    #[must_use]
    pub fn running_executions(self, limit: u32) -> Self {
        Self { running_executions: Some(limit), ..self }
    }

    /// Jobs that exist.
    #[must_use]
    pub fn jobs(self, limit: u32) -> Self {
        Self { jobs: Some(limit), ..self }
    }
}

/// Counts against the quotas.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    quota: Quota,
    /// The current minute of each location, and the calls in it.
    minutes: HashMap<Location, (SystemTime, u32)>,
}

impl Meter {
    pub(crate) fn new(quota: Quota) -> Self {
        Self { quota, minutes: HashMap::new() }
    }

    /// Counts a call of RunJob.
    pub(crate) fn run_request(&mut self, location: &Location, now: SystemTime) -> Result<(), Refusal> {
        let Some(limit) = self.quota.run_requests_per_minute else { return Ok(()) };
        let (start, calls) = self.minutes.entry(location.clone()).or_insert((now, 0));
        if *start + MINUTE <= now {
            (*start, *calls) = (now, 0);
        }
        if *calls >= limit {
            let rest = (*start + MINUTE).duration_since(now).unwrap_or_default();
            return Err(Refusal::over_quota("Job run requests per minute per region", location, Some(rest)));
        }
        *calls += 1;
        Ok(())
    }

    /// Whether another execution may run beside those that do.
    pub(crate) fn another_execution(
        &self,
        location: &Location,
        running: impl FnOnce() -> usize,
    ) -> Result<(), Refusal> {
        another(self.quota.running_executions, running, "Running executions per region", location)
    }

    /// Whether there may be another job.
    pub(crate) fn another_job(&self, location: &Location, present: impl FnOnce() -> usize) -> Result<(), Refusal> {
        another(self.quota.jobs, present, "Jobs per region", location)
    }
}

/// Counts only if there is a limit.
fn another(
    limit: Option<u32>,
    present: impl FnOnce() -> usize,
    name: &str,
    location: &Location,
) -> Result<(), Refusal> {
    match limit {
        Some(limit) if present() >= limit as usize => Err(Refusal::over_quota(name, location, None)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_per_location_and_begins_anew_after_a_minute() {
        let mut meter = Meter::new(Quota::default().run_requests_per_minute(2));
        let here = Location::new("p", "here").expect("valid");
        let there = Location::new("p", "there").expect("valid");
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let mut call = |location: &Location, after| meter.run_request(location, start + Duration::from_secs(after));
        assert!(call(&here, 0).is_ok() && call(&here, 59).is_ok());
        let refused =
            Refusal::over_quota("Job run requests per minute per region", &here, Some(Duration::from_secs(1)));
        assert_eq!(call(&here, 59), Err(refused));
        assert!(call(&there, 59).is_ok());
        assert!(call(&here, 60).is_ok());
    }
}
