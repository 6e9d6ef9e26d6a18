//! Latency distributions as HdrHistogram's tools print and plot them, in microseconds.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use super::{BenchReport, microseconds};

/// Steps between two halvings of the distance to 100 %.
const STEPS: u32 = 5;

pub(super) fn files(report: &BenchReport) -> Vec<(String, String)> {
    let levels = report.levels.iter().flat_map(|level| level.arms.iter().map(move |arm| (level, arm)));
    let file = |(level, arm): (&super::Level, &super::ArmReport)| {
        let call = level.call.replace([':', '+'], "-");
        let name = format!("{call}-{}ms-{}-{}.hgrm", level.distance_ms, level.in_flight, arm.arm);
        (name, distribution(&arm.histogram))
    };
    levels.map(file).collect()
}

fn distribution(histogram: &Histogram<u64>) -> String {
    let mut text = format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut count = 0;
    for step in histogram.iter_quantiles(STEPS) {
        count += step.count_since_last_iteration();
        let (value, share) = (microseconds(step.value_iterated_to()), step.quantile_iterated_to());
        let rest = if share < 1.0 { format!("{:14.2}", 1.0 / (1.0 - share)) } else { String::new() };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{value:12.3} {share:14.12} {count:10} {rest}");
    }
    let (mean, deviation) = (histogram.mean() / 1e3, histogram.stdev() / 1e3);
    let (max, total) = (microseconds(histogram.max()), histogram.len());
    let _ = writeln!(text, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {total:12}]");
    text
}
