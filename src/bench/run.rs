//! The measurement: arms in turns, round by round, level by level. Prints nothing.

use std::{fmt::Display, ops::ControlFlow};

use futures_util::{StreamExt as _, TryStreamExt as _, future::try_join_all};
use tokio::time::Instant;

use super::{
    call::{Ask, LogicalCall, Names, PAGE},
    caller::{Arm, Lanes},
    error::{Error, Result},
    plan::{LoopKind, Plan},
    process::Site,
    report::BenchReport,
    round::{Round, Sample, Work},
    sample::{ArmSample, Observed},
};
use crate::{client::Client, name::JobName};

/// How far a measurement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BenchProgress {
    /// Rounds that are done, those that warm up included.
    pub done: usize,
    /// Rounds in all.
    pub of: usize,
    /// What is being measured.
    pub call: LogicalCall,
    /// With how many in flight.
    pub in_flight: usize,
}

/// Called with the progress; returns whether to go on.
pub type Watcher<'a> = dyn FnMut(BenchProgress) -> ControlFlow<()> + Send + 'a;

/// Measures what the plan says, at this site. `watcher` is called after each round; when it breaks off, the report has what
/// was measured until then.
///
/// # Errors
/// When the plan cannot be carried out or the server cannot be reached. Calls that fail are part of the report.
pub async fn run(plan: &Plan, site: &Site, watcher: &mut Watcher<'_>) -> Result<BenchReport> {
    plan.check_at(site)?;
    let mut report = BenchReport::new(plan, site.title());
    let mut progress = BenchProgress { done: 0, of: plan.steps(), call: LogicalCall::StartPoll, in_flight: 0 };
    for &call in &plan.calls {
        let ask = Ask::new(call, prepare(call, site).await?);
        for &distance in &plan.distances {
            let address = site.at_distance(distance)?;
            for &in_flight in &plan.in_flight {
                (progress.call, progress.in_flight) = (call, in_flight);
                let stage = Stage { plan, site, ask: &ask, address: &address, in_flight };
                let (samples, ended) = stage.level(&mut progress, watcher).await?;
                report.add(plan, call, distance, in_flight, &samples);
                if ended.is_break() {
                    report.interrupted = true;
                    return Ok(report);
                }
            }
        }
    }
    Ok(report)
}

/// A fixed number of calls by one arm, for a count from outside of the process.
///
/// # Errors
/// When the server cannot be reached, or a call fails.
pub async fn repeat(arm: Arm, call: LogicalCall, in_flight: usize, calls: u64, site: &Site) -> Result<()> {
    let ask = Ask::new(call, site.names().clone());
    let mut lanes = arm.connect(site.address(), in_flight).await?;
    let round = lanes.round(&ask, Work::Times(calls / in_flight as u64)).await?;
    match round.sample.failures.into_iter().next() {
        Some((cause, count)) => Err(Error::new(format!("{count} calls of {arm} failed: {cause}"))),
        None => Ok(()),
    }
}

/// What a call is about: what the neutral server answers with; elsewhere executions that are started first, or found where
/// nothing may be started.
async fn prepare(call: LogicalCall, site: &Site) -> Result<Names> {
    let names = site.names().clone();
    if call.starts() || !names.operation.is_empty() {
        return Ok(names);
    }
    let unusable = |cause: &dyn Display| Error::new(format!("cannot prepare calls to {}: {cause}", site.address()));
    let client = Client::builder().emulator(site.address()).build().await.map_err(|cause| unusable(&cause))?;
    let job: JobName = names.job.parse().map_err(|cause| unusable(&cause))?;
    let count = if call == LogicalCall::List { PAGE } else { 1 };
    let prepared = if site.may_start() { started(&client, &job, count).await } else { found(&client, &job).await };
    let names = prepared.map_err(|cause| unusable(&cause))?;
    if names.execution.is_empty() {
        return Err(unusable(&format!("{job} has no execution yet")));
    }
    Ok(names)
}

async fn started(client: &Client, job: &JobName, count: usize) -> crate::Result<Names> {
    let mut names = Names { job: job.to_string(), listed: PAGE, ..Names::default() };
    for _ in 0..count {
        let run = client.run(job).start().await?;
        names.execution = run.execution().to_string();
        names.operation = run.operation().map(ToString::to_string).unwrap_or_default();
    }
    Ok(names)
}

async fn found(client: &Client, job: &JobName) -> crate::Result<Names> {
    let executions: Vec<_> = client.executions(job).take(PAGE).try_collect().await?;
    let execution = executions.first().map(|execution| execution.name.clone()).unwrap_or_default();
    Ok(Names { job: job.to_string(), execution, listed: executions.len(), ..Names::default() })
}

/// One level: a call, a distance and a number in flight.
struct Stage<'a> {
    plan: &'a Plan,
    site: &'a Site,
    ask: &'a Ask,
    address: &'a str,
    in_flight: usize,
}

impl Stage<'_> {
    async fn level(
        &self,
        progress: &mut BenchProgress,
        watcher: &mut Watcher<'_>,
    ) -> Result<(Vec<ArmSample>, ControlFlow<()>)> {
        let mut arms = Vec::new();
        for &arm in &self.plan.arms {
            arms.push((self.contestant(arm).await?, ArmSample { arm, rounds: Vec::new() }));
        }
        let mut ended = ControlFlow::Continue(());
        let count = arms.len();
        'rounds: for number in 0..=self.plan.rounds {
            for turn in 0..count {
                // Each round begins with another arm, so that none is always the first.
                let (contestant, sample) = &mut arms[(number + turn) % count];
                let observed = self.observe(contestant).await?;
                // The first round warms up.
                if number > 0 {
                    sample.rounds.push(observed);
                }
                progress.done += 1;
                ended = watcher(*progress);
                if ended.is_break() {
                    break 'rounds;
                }
            }
        }
        Ok((arms.into_iter().map(|(_, sample)| sample).collect(), ended))
    }

    async fn contestant(&self, arm: Arm) -> Result<Contestant> {
        if self.plan.cold {
            return Ok(Contestant::Cold(arm));
        }
        Ok(Contestant::Warm(arm.connect(self.address, self.in_flight).await?))
    }

    async fn observe(&self, contestant: &mut Contestant) -> Result<Observed> {
        // What was counted before is of another arm.
        self.site.counters()?;
        let length = self.plan.round;
        let round = match (contestant, self.plan.pace) {
            (Contestant::Cold(arm), _) => self.cold_round(*arm).await?,
            (Contestant::Warm(lanes), LoopKind::Answered) => lanes.round(self.ask, Work::For(length)).await?,
            (Contestant::Warm(lanes), LoopKind::PerSecond(per_second)) => {
                lanes.round(self.ask, Work::Arrivals { per_second, length }).await?
            }
        };
        Ok(Observed { round, counters: self.site.counters()? })
    }

    /// Each call connects first, and that is part of its latency.
    async fn cold_round(&self, arm: Arm) -> Result<Round> {
        let meter = super::meter::Stopwatch::start();
        let lane = || async {
            let mut sample = Sample::default();
            while meter.began().elapsed() < self.plan.round {
                sample.absorb(self.cold_call(arm).await?);
            }
            Ok::<_, Error>(sample)
        };
        let samples = try_join_all((0..self.in_flight).map(|_| lane())).await?;
        let mut round = Round::default();
        samples.into_iter().for_each(|sample| round.sample.absorb(sample));
        (round.elapsed, round.processor) = meter.stop();
        Ok(round)
    }

    async fn cold_call(&self, arm: Arm) -> Result<Sample> {
        let begun = Instant::now();
        let mut sample = arm.connect(self.address, 1).await?.round(self.ask, Work::Times(1)).await?.sample;
        let whole = begun.elapsed();
        sample.latencies.iter_mut().for_each(|latency| *latency = super::round::nanoseconds(whole));
        Ok(sample)
    }
}

/// An arm that takes its turns.
enum Contestant {
    /// Connected once.
    Warm(Box<dyn Lanes>),
    /// Connects for each call.
    Cold(Arm),
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::bench::{canned, server};

    /// Two arms and three short rounds at a neutral server.
    async fn level(plan: &Plan, watcher: &mut Watcher<'_>) -> (Vec<ArmSample>, ControlFlow<()>) {
        let address = server::spawn().await;
        let (site, ask) = (Site::neutral(&*address), Ask::new(LogicalCall::Poll, canned::names()));
        let stage = Stage { plan, site: &site, ask: &ask, address: &address, in_flight: 2 };
        let mut progress = BenchProgress { done: 0, of: plan.steps(), call: LogicalCall::Poll, in_flight: 2 };
        stage.level(&mut progress, watcher).await.expect("a level")
    }

    fn plan(cold: bool) -> Plan {
        let arms = vec![Arm::Verbs, Arm::Rest];
        let (calls, in_flight, round) = (vec![LogicalCall::Poll], vec![2], Duration::from_millis(5));
        Plan { arms, calls, in_flight, round, rounds: 3, cold, ..Plan::default() }
    }

    #[tokio::test]
    async fn arms_take_turns_and_the_round_that_warms_up_does_not_count() {
        let mut told = Vec::new();
        let mut watcher = |progress: BenchProgress| {
            told.push((progress.done, progress.of));
            ControlFlow::Continue(())
        };
        let (samples, ended) = level(&plan(false), &mut watcher).await;
        assert_eq!(samples.iter().map(|sample| sample.rounds.len()).collect::<Vec<_>>(), [3, 3]);
        assert_eq!((told, ended), ((1..=8).map(|done| (done, 8)).collect(), ControlFlow::Continue(())));
    }

    #[tokio::test]
    async fn an_interrupted_level_has_the_rounds_until_then() {
        let mut watcher = |progress: BenchProgress| match progress.done {
            5 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let (samples, ended) = level(&plan(false), &mut watcher).await;
        assert_eq!(samples.iter().map(|sample| sample.rounds.len()).sum::<usize>(), 3);
        assert_eq!(ended, ControlFlow::Break(()));
    }

    #[tokio::test]
    async fn cold_calls_connect_and_are_answered() {
        let (samples, _) = level(&plan(true), &mut |_| ControlFlow::Continue(())).await;
        for sample in samples {
            assert_eq!((sample.failures(), sample.answered() > 0), (BTreeMap::new(), true), "{}", sample.arm);
        }
    }
}
