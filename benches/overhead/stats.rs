//! Medians, percentiles and intervals of plain numbers. Pure.

use fastrand::Rng;

/// Resamples of an interval: enough for two digits of its ends.
const RESAMPLES: usize = 2_000;

/// The value that this share of the sorted values does not pass; not a number without any.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    percentile(&values, 0.5)
}

/// The median of ratios, with the interval that holds it in 95 of 100 cases (percentile bootstrap).
pub(crate) fn median_with_interval(ratios: &[f64], random: &mut Rng) -> (f64, f64, f64) {
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| median((0..ratios.len()).map(|_| ratios[random.usize(..ratios.len())]).collect()))
        .collect();
    medians.sort_by(f64::total_cmp);
    (median(ratios.to_vec()), percentile(&medians, 0.025), percentile(&medians, 0.975))
}
