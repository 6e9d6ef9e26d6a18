//! Percentiles, medians and intervals of plain numbers. Pure: random numbers are given.

use std::f64::consts::SQRT_2;

use fastrand::Rng;

/// Resamples of an interval: enough for two digits of its ends.
const RESAMPLES: usize = 2_000;

/// A ratio with the interval in which it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The smallest value that this share of the sorted values does not pass; not a number where there is no value.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// The middle value; the mean of the two in the middle where there are two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 {
        values[half]
    } else {
        (percentile(&values, 0.5) + percentile(&values[half..], 0.0)) / 2.0
    }
}

/// The median ratio of pairs that were measured in one round each, with an interval that holds the ratio of another run: the
/// percentile bootstrap of 99 in 100, made wider by the square root of 2, because both runs are off.
///
/// 99 and not 95, because with a dozen rounds the bootstrap of a median promises a little too much.
pub(crate) fn ratio(pairs: &[(f64, f64)], random: &mut Rng) -> Option<Interval> {
    let ratios: Vec<f64> = pairs.iter().map(|(this, that)| this / that).filter(|ratio| ratio.is_finite()).collect();
    if ratios.is_empty() {
        return None;
    }
    let resample = |random: &mut Rng| ratios.iter().map(|_| ratios[random.usize(..ratios.len())]).collect();
    let mut medians: Vec<f64> = (0..RESAMPLES).map(|_| median(resample(random))).collect();
    medians.sort_by(f64::total_cmp);
    let value = median(ratios.clone());
    let end = |share| value + SQRT_2 * (percentile(&medians, share) - value);
    Some(Interval { value, low: end(0.005).max(0.0), high: end(0.995) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| percentile(&hundred, share)), [1.0, 50.0, 99.0, 100.0]);
        assert!(percentile(&[], 0.5).is_nan());
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }

    /// Fifteen rounds of an arm whose time is `factor` that of the other, on a machine whose speed changes from round to
    /// round and with noise of each.
    fn rounds(factor: f64, random: &mut Rng) -> Vec<(f64, f64)> {
        let noise = |random: &mut Rng| 1.0 + 0.1 * (random.f64() + random.f64() - 1.0);
        (0..15)
            .map(|_| {
                let machine = 100.0 + 100.0 * random.f64();
                (factor * machine * noise(random), machine * noise(random))
            })
            .collect()
    }

    #[test]
    fn two_equal_arms_have_an_interval_that_holds_one_in_nineteen_of_twenty_runs() {
        let holds = |seed: &u64| {
            let mut random = Rng::with_seed(*seed);
            let interval = ratio(&rounds(1.0, &mut random), &mut random).expect("an interval");
            (interval.low..=interval.high).contains(&1.0)
        };
        let held = (0..200).filter(holds).count();
        assert!(held >= 190, "{held} of 200");
    }

    #[test]
    fn a_slower_arm_is_slower_by_what_it_is_slower_by_in_every_run() {
        for seed in 0..50 {
            let mut random = Rng::with_seed(seed);
            let interval = ratio(&rounds(1.2, &mut random), &mut random).expect("an interval");
            assert!(interval.low > 1.0 && (1.1..1.3).contains(&interval.value), "{seed}: {interval:?}");
        }
    }

    #[test]
    fn the_ratio_of_another_run_falls_within_the_interval_in_nineteen_of_twenty_runs() {
        let holds = |seed: &u64| {
            let mut random = Rng::with_seed(*seed);
            let printed = ratio(&rounds(1.2, &mut random), &mut random).expect("an interval");
            let again = ratio(&rounds(1.2, &mut random), &mut random).expect("an interval");
            (printed.low..=printed.high).contains(&again.value)
        };
        let held = (0..200).filter(holds).count();
        assert!(held >= 190, "{held} of 200");
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let interval = || ratio(&rounds(1.1, &mut Rng::with_seed(7)), &mut Rng::with_seed(8));
        assert_eq!(interval(), interval());
        assert_eq!(ratio(&[], &mut Rng::with_seed(0)), None);
        assert_eq!(ratio(&[(f64::NAN, 1.0)], &mut Rng::with_seed(0)), None);
    }
}
