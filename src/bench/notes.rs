//! What a reader should know before believing a figure, in words. Pure.

use super::{
    report::{ArmReport, Level},
    sample::ArmSample,
    stats::percentile,
};

/// Medians of rounds that differ by more than this share of their median come from a machine that was not quiet.
const QUIET: f64 = 0.3;

/// The largest value beside the 99th percentile, from which on it is called an outlier.
const OUTLIER: f64 = 10.0;

/// In flight from here on, two calls should meet at the server.
const MANY: usize = 8;

/// The notes on a level.
pub(crate) fn of(level: &Level, samples: &[ArmSample], cold: bool, clock_us: f64) -> Vec<String> {
    let fastest = level.arms.iter().map(|arm| arm.latency_us.p50).fold(f64::INFINITY, f64::min);
    let mut notes = Vec::from_iter(coarse_clock(clock_us, fastest));
    for (arm, sample) in level.arms.iter().zip(samples) {
        let said = [
            failures(arm),
            requests(arm, rpcs_per_call(level)),
            connections(arm).filter(|_| !cold),
            alone(arm, level.in_flight),
            dropped(arm),
            lateness(arm),
            unrest(arm, &sample.medians()),
            outlier(arm),
            no_difference(arm, level.arms.first()),
        ];
        notes.extend(said.into_iter().flatten());
    }
    notes
}

fn coarse_clock(clock_us: f64, p50_us: f64) -> Option<String> {
    (clock_us > p50_us / 100.0)
        .then(|| format!("the clock moves in steps of {clock_us:.1} µs, too coarse for latencies of {p50_us:.0} µs"))
}

fn rpcs_per_call(level: &Level) -> u64 {
    level.call.parse::<super::LogicalCall>().map_or(1, super::LogicalCall::rpcs)
}

fn failures(arm: &ArmReport) -> Option<String> {
    let (cause, _) = arm.failures.iter().max_by_key(|(_, count)| **count)?;
    let (failed, all) = (arm.failed(), arm.failed() + arm.answered);
    let verdict = if arm.ratio.is_none() { "; it is not compared" } else { "" };
    Some(format!("{}: {failed} of {all} calls failed, most with \"{cause}\"{verdict}", arm.arm))
}

/// More requests than RPCs are second tries; fewer went to another server, or to a cache.
fn requests(arm: &ArmReport, rpcs_per_call: u64) -> Option<String> {
    let (answered, failed) = (arm.answered * rpcs_per_call, arm.failed() * rpcs_per_call);
    let (requests, rpcs) = (arm.server?.requests, answered + failed);
    if requests as f64 > 1.01 * rpcs as f64 {
        Some(format!("{}: {requests} requests for {rpcs} RPCs; its latencies hold second tries", arm.arm))
    } else if (requests as f64) < 0.99 * answered as f64 {
        Some(format!("{}: {requests} requests for {rpcs} RPCs; something else than this server answered", arm.arm))
    } else {
        None
    }
}

fn connections(arm: &ArmReport) -> Option<String> {
    let opened = arm.server?.connections;
    (opened > 0)
        .then(|| format!("{}: opened {opened} connections while it was measured; they are in its latencies", arm.arm))
}

fn alone(arm: &ArmReport, in_flight: usize) -> Option<String> {
    let peak = arm.server?.peak;
    (in_flight >= MANY && peak <= 1 && arm.answered > 0).then(|| {
        format!("{}: no two of its {in_flight} calls in flight met at the server; they wait for each other", arm.arm)
    })
}

fn dropped(arm: &ArmReport) -> Option<String> {
    let all = arm.answered + arm.failed() + arm.dropped;
    (arm.dropped > 0)
        .then(|| format!("{}: {} of {all} calls never began; it does not keep up with the rate", arm.arm, arm.dropped))
}

fn lateness(arm: &ArmReport) -> Option<String> {
    let late = arm.lateness_us?;
    (late.p99 > arm.latency_us.p50 / 10.0).then(|| {
        format!(
            "{}: the generator was late by {:.0} µs (p99) beside a median latency of {:.0} µs, which has that in it",
            arm.arm, late.p99, arm.latency_us.p50
        )
    })
}

fn unrest(arm: &ArmReport, medians: &[f64]) -> Option<String> {
    let mut sorted = medians.to_vec();
    sorted.sort_by(f64::total_cmp);
    let [low, middle, high] = [0.0, 0.5, 1.0].map(|share| percentile(&sorted, share) / 1e3);
    (high - low > QUIET * middle).then(|| {
        format!(
            "{}: the median of a round went from {low:.0} to {high:.0} µs; the machine was not quiet, so that ratios \
             tell more than times",
            arm.arm
        )
    })
}

fn outlier(arm: &ArmReport) -> Option<String> {
    let latency = &arm.latency_us;
    (latency.max > OUTLIER * latency.p99 && latency.p99 > 0.0).then(|| {
        let times = latency.max / latency.p99;
        format!("{}: its slowest call took {:.0} µs, {times:.0} times its p99: an outlier", arm.arm, latency.max)
    })
}

fn no_difference(arm: &ArmReport, base: Option<&ArmReport>) -> Option<String> {
    let (base, ratio) = (base.filter(|base| base.arm != arm.arm)?, arm.ratio?);
    (ratio.low <= 1.0 && ratio.high >= 1.0).then(|| {
        format!(
            "{} and {} do not differ: the interval [{:.3}, {:.3}] holds 1",
            arm.arm, base.arm, ratio.low, ratio.high
        )
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use crate::bench::{
        call::LogicalCall,
        caller::Arm,
        plan::Plan,
        report::{BenchReport, Level},
        round::{Round, Sample},
        sample::{ArmSample, Observed},
        server::Counters,
    };

    const US: u64 = 1_000;

    /// A round of a hundred polls of 200 µs each, as the server saw it.
    fn observed() -> Observed {
        let sample = Sample { latencies: vec![200 * US; 100], ..Sample::default() };
        let round = Round { sample, elapsed: Duration::from_millis(20), ..Round::default() };
        let counters = Counters { requests: 100, peak: 16, ..Counters::default() };
        Observed { round, counters: Some(counters) }
    }

    fn arm(arm: Arm, mistake: impl Fn(&mut Observed)) -> ArmSample {
        let mut rounds = vec![observed(); 15];
        rounds.iter_mut().for_each(mistake);
        ArmSample { arm, rounds }
    }

    fn level(samples: &[ArmSample], clock_us: f64) -> Level {
        let mut report = BenchReport { clock_us, ..BenchReport::new(&Plan::default(), "neutral server") };
        report.add(&Plan::default(), LogicalCall::Poll, Duration::ZERO, 16, samples);
        report.levels.remove(0)
    }

    /// The level at which the verbs have this mistake in them, beside stubs that have none.
    fn planted(mistake: impl Fn(&mut Observed)) -> Level {
        level(&[arm(Arm::Bare, |_| {}), arm(Arm::Verbs, mistake)], 0.03)
    }

    #[track_caller]
    fn assert_noted(level: &Level, text: &str) {
        assert!(level.notes.iter().any(|note| note.contains(text)), "{:?}", level.notes);
    }

    #[test]
    fn arms_without_a_mistake_and_without_a_difference_are_said_not_to_differ() {
        let level = planted(|_| {});
        assert_eq!(level.notes, ["verbs and bare do not differ: the interval [1.000, 1.000] holds 1"]);
    }

    #[test]
    fn a_slowed_arm_is_slower_by_the_injected_amount_and_has_no_note() {
        let level = planted(|observed| observed.round.sample.latencies.iter_mut().for_each(|time| *time += 50 * US));
        let ratio = level.arms[1].ratio.expect("a ratio");
        assert_eq!((ratio.value, level.notes.len()), (1.25, 0));
    }

    #[test]
    fn a_failure_path_that_is_fast_is_counted_and_not_compared() {
        let level = planted(|observed| {
            observed.round.sample.latencies.truncate(50);
            observed.round.sample.failures = BTreeMap::from([("UNAVAILABLE".to_owned(), 50)]);
        });
        assert_noted(&level, "verbs: 750 of 1500 calls failed, most with \"UNAVAILABLE\"; it is not compared");
        assert!(level.arms[1].ratio.is_none());
        assert_eq!((level.arms[1].failed(), level.arms[1].answered), (750, 750));
    }

    #[test]
    fn an_arm_whose_calls_all_fail_has_no_latency() {
        let level = planted(|observed| {
            let failures = BTreeMap::from([("refused".to_owned(), 100)]);
            observed.round.sample = Sample { failures, ..Sample::default() };
        });
        assert_noted(&level, "1500 of 1500 calls failed");
        assert_eq!(level.arms[1].latency_us.max, 0.0);
    }

    #[test]
    fn second_tries_inside_the_latency_are_noticed_at_the_server() {
        let level =
            planted(|observed| observed.counters = observed.counters.map(|seen| Counters { requests: 150, ..seen }));
        assert_noted(&level, "2250 requests for 1500 RPCs; its latencies hold second tries");
    }

    #[test]
    fn an_arm_that_another_server_answers_is_noticed() {
        let level = planted(|observed| observed.counters = Some(Counters::default()));
        assert_noted(&level, "verbs: 0 requests for 1500 RPCs; something else than this server answered");
    }

    #[test]
    fn a_cold_start_in_one_arm_only_is_noticed() {
        let mut samples = [arm(Arm::Bare, |_| {}), arm(Arm::Verbs, |_| {})];
        samples[1].rounds[0].counters =
            Some(Counters { requests: 100, peak: 16, connections: 1, ..Counters::default() });
        let notes = self::level(&samples, 0.03).notes;
        assert!(
            notes.contains(&"verbs: opened 1 connections while it was measured; they are in its latencies".to_owned()),
            "{notes:?}"
        );
    }

    #[test]
    fn a_new_connection_for_each_call_is_noticed() {
        let level =
            planted(|observed| observed.counters = observed.counters.map(|seen| Counters { connections: 100, ..seen }));
        assert_noted(&level, "opened 1500 connections while it was measured");
    }

    #[test]
    fn calls_that_are_not_multiplexed_are_noticed() {
        let level = planted(|observed| observed.counters = observed.counters.map(|seen| Counters { peak: 1, ..seen }));
        assert_noted(&level, "no two of its 16 calls in flight met at the server");
    }

    #[test]
    fn a_generator_that_is_the_bottleneck_is_noticed() {
        let level = planted(|observed| observed.round.sample.lateness = vec![90 * US; 100]);
        assert_noted(&level, "the generator was late by 90 µs (p99) beside a median latency of 200 µs");
    }

    #[test]
    fn arrivals_that_were_dropped_are_noticed() {
        assert_noted(&planted(|observed| observed.round.dropped = 10), "150 of 1650 calls never began");
    }

    #[test]
    fn a_clock_that_is_too_coarse_is_noticed() {
        let both = [arm(Arm::Bare, |_| {}), arm(Arm::Verbs, |_| {})];
        assert_noted(&level(&both, 10.0), "steps of 10.0 µs, too coarse for latencies of 200 µs");
    }

    #[test]
    fn half_of_the_calls_that_are_slow_show_in_the_percentiles_where_a_mean_would_hide_them() {
        let level = planted(|observed| observed.round.sample.latencies[40..].fill(2_000 * US));
        let latency = level.arms[1].latency_us;
        assert!(latency.p50 >= 2_000.0 && latency.p99 >= 2_000.0, "{latency:?}");
        assert!((level.arms[1].quantiles[2].1 - 200.0).abs() < 1.0);
    }

    #[test]
    fn an_outlier_and_an_unquiet_machine_are_noticed() {
        let mut samples = [arm(Arm::Bare, |_| {}), arm(Arm::Verbs, |_| {})];
        samples[1].rounds[3].round.sample.latencies[7] = 90_000 * US;
        samples[0].rounds[9].round.sample.latencies.fill(400 * US);
        let level = self::level(&samples, 0.03);
        assert_noted(&level, "its slowest call took 90");
        assert_noted(&level, "bare: the median of a round went from 200 to 400 µs");
    }
}
