//! The report as one page that loads nothing: plots first, then the figures and what is to be known of them.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    ArmReport, BenchReport, Level, lag,
    svg::{Axis, Plot, escaped, grouped},
    table,
};
use crate::bench::caller::Arm;

const STYLE: &str = include_str!("page.css");

pub(super) fn page(report: &BenchReport) -> String {
    let mut body = String::new();
    for call in distinct(report.levels.iter().map(|level| level.call.clone())) {
        let levels: Vec<&Level> = report.levels.iter().filter(|level| level.call == call).collect();
        body += &section(&call, &levels);
    }
    let interrupted = if report.interrupted { "<p>Interrupted: the last level has fewer rounds.</p>" } else { "" };
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>runjob bench</title><style>{STYLE}</style></head>\
         <body><h1>runjob bench: gRPC against REST</h1><p>{}</p>{interrupted}{}{body}{}</body></html>\n",
        escaped(&table::heading(report)),
        legend(report),
        lag::section(),
    )
}

fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.fold(Vec::new(), |mut all, value| {
        if !all.contains(&value) {
            all.push(value);
        }
        all
    })
}

/// The colour of an arm is the same in every plot.
fn colour(arm: &str) -> usize {
    Arm::ALL.iter().position(|known| known.name() == arm).unwrap_or_default()
}

fn title(arm: &str) -> &str {
    Arm::ALL.iter().find(|known| known.name() == arm).map_or(arm, |known| known.title())
}

fn legend(report: &BenchReport) -> String {
    let arms = distinct(report.levels.iter().flat_map(|level| &level.arms).map(|arm| arm.arm));
    let item =
        |arm: &str| format!("<li><i class=\"swatch c{}\"></i><b>{arm}</b> {}</li>", colour(arm), escaped(title(arm)));
    format!("<ul class=\"legend\">{}</ul>", arms.into_iter().map(item).collect::<String>())
}

/// All plots of one call, its table and its notes.
fn section(call: &str, levels: &[&Level]) -> String {
    let mut text = format!("<section><h2>{}</h2><div class=\"plots\">", escaped(call));
    for level in levels {
        text += &figure(&format!("Latency {}", place(level)), distribution(level));
    }
    let nearest = levels.iter().map(|level| level.distance_ms).fold(f64::INFINITY, f64::min);
    let near: Vec<&Level> = levels.iter().filter(|level| level.distance_ms <= nearest).copied().collect();
    text += &figure("Median latency beside the first arm, by calls in flight", ratios(&near));
    text += &figure("RPCs a second, by calls in flight", bars(&near, "RPCs/s", |arm| Some(arm.rpcs_per_second)));
    text += &figure("Processor time of the client for an RPC", bars(&near, "CPU µs", |arm| Some(arm.cpu_us_per_rpc)));
    let bytes = |arm: &ArmReport| Some(arm.sent_bytes_per_rpc? + arm.received_bytes_per_rpc?);
    text += &figure("Bytes for an RPC, both ways", bars(&near, "bytes", bytes));
    if levels.iter().any(|level| level.distance_ms > nearest) {
        text += &figure("Median latency by distance", distances(levels));
    }
    text += "</div>";
    text += &figures(levels);
    text += &notes(levels);
    text + "</section>"
}

fn figure(caption: &str, plot: String) -> String {
    format!("<figure><figcaption>{}</figcaption>{plot}</figure>", escaped(caption))
}

fn place(level: &Level) -> String {
    let distance = if level.distance_ms > 0.0 { format!(", {} ms away", level.distance_ms) } else { String::new() };
    match level.arrivals_per_second {
        Some(rate) => format!("at {rate} calls a second{distance}"),
        None => format!("with {} in flight{distance}", level.in_flight),
    }
}

/// Latency by percentile, both on a scale of tens, so that the tail is as wide as the middle.
fn distribution(level: &Level) -> String {
    let nines = [(0.0, "0"), (0.5, "50"), (0.9, "90"), (0.99, "99"), (0.999, "99.9"), (0.9999, "99.99")];
    let x = |share: f64| -(1.0 - share).max(0.00005).log10();
    let marks = nines.map(|(share, text)| (x(share), text.to_owned())).into();
    let percentiles = Axis { title: "percentile".to_owned(), low: 0.0, high: x(1.0), marks };
    let values = level.arms.iter().flat_map(|arm| arm.quantiles.iter().map(|(_, latency)| *latency));
    let mut plot = Plot::new(percentiles, Axis::powers_of_ten("µs", values));
    for arm in level.arms.iter().filter(|arm| arm.answered > 0) {
        let points: Vec<_> = arm.quantiles.iter().map(|&(share, us)| (x(share), us.max(0.001).log10())).collect();
        plot.line(colour(arm.arm), &points);
    }
    plot.finish(&format!("latency by percentile {}", place(level)))
}

fn widths(levels: &[&Level]) -> Axis {
    Axis::places("calls in flight", &levels.iter().map(|level| level.in_flight.to_string()).collect::<Vec<_>>())
}

/// Where an arm stands within the place of a level.
fn offset(number: usize, of: usize) -> f64 {
    (number as f64 + 0.5) / of.max(1) as f64 * 0.8 - 0.4
}

fn ratios(levels: &[&Level]) -> String {
    let highest = levels.iter().flat_map(|level| level.arms.iter().filter_map(|arm| arm.ratio)).map(|ratio| ratio.high);
    let mut plot = Plot::new(widths(levels), Axis::linear("ratio", 0.0, highest.chain([1.0])));
    plot.level(1.0);
    for (at, level) in levels.iter().enumerate() {
        for (number, arm) in level.arms.iter().enumerate() {
            let Some(ratio) = arm.ratio else { continue };
            let title = format!("{}: {:.3} [{:.3}, {:.3}]", arm.arm, ratio.value, ratio.low, ratio.high);
            let x = at as f64 + offset(number, level.arms.len());
            plot.dot(colour(arm.arm), x, ratio.value, Some((ratio.low, ratio.high)), &title);
        }
    }
    plot.finish("ratio of median latencies by calls in flight, with intervals")
}

fn bars(levels: &[&Level], unit: &str, value: impl Fn(&ArmReport) -> Option<f64>) -> String {
    let values = levels.iter().flat_map(|level| level.arms.iter().filter_map(&value));
    let mut plot = Plot::new(widths(levels), Axis::linear(unit, 0.0, values));
    for (at, level) in levels.iter().enumerate() {
        for (number, arm) in level.arms.iter().enumerate() {
            let Some(value) = value(arm).filter(|value| value.is_finite()) else { continue };
            let (x, width) = (at as f64 + offset(number, level.arms.len()), 0.7 / level.arms.len() as f64);
            plot.bar(colour(arm.arm), x, width, value, &format!("{}: {} {unit}", arm.arm, grouped(value)));
        }
    }
    plot.finish(&format!("{unit} by calls in flight"))
}

/// With the fewest calls in flight.
fn distances(levels: &[&Level]) -> String {
    let fewest = levels.iter().map(|level| level.in_flight).min().unwrap_or_default();
    let levels: Vec<_> = levels.iter().filter(|level| level.in_flight == fewest).collect();
    let x = Axis::linear("round-trip time added, ms", 0.0, levels.iter().map(|level| level.distance_ms));
    let p50 = |arm: &ArmReport| arm.latency_us.p50 / 1e3;
    let mut plot = Plot::new(x, Axis::linear("ms", 0.0, levels.iter().flat_map(|level| level.arms.iter().map(p50))));
    for arm in distinct(levels.iter().flat_map(|level| &level.arms).map(|arm| arm.arm)) {
        let of_arm = |level: &&&Level| {
            let found = level.arms.iter().find(|found| found.arm == arm)?;
            Some((level.distance_ms, p50(found)))
        };
        plot.line(colour(arm), &levels.iter().filter_map(of_arm).collect::<Vec<_>>());
    }
    plot.finish(&format!("median latency by distance, with {fewest} in flight"))
}

fn figures(levels: &[&Level]) -> String {
    let mut text = "<div class=\"scroll\"><table><thead><tr><th>where<th>arm<th>p50 µs<th>p90<th>p99<th>p99.9<th>max\
                    <th>RPCs/s<th>CPU µs<th>failed<th>dropped<th>ratio</tr></thead><tbody>"
        .to_owned();
    for level in levels {
        for arm in &level.arms {
            let latency = &arm.latency_us;
            let ratio = arm.ratio.map_or_else(
                || "-".to_owned(),
                |ratio| format!("{:.3} [{:.3}, {:.3}]", ratio.value, ratio.low, ratio.high),
            );
            // Writing to a string does not fail.
            let _ =
                write!(text, "<tr><td>{}<td><i class=\"swatch c{}\"></i>{}", place(level), colour(arm.arm), arm.arm);
            for value in [latency.p50, latency.p90, latency.p99, latency.p999, latency.max, arm.rpcs_per_second] {
                let _ = write!(text, "<td>{}", grouped(value));
            }
            let _ =
                write!(text, "<td>{:.2}<td>{}<td>{}<td>{ratio}</tr>", arm.cpu_us_per_rpc, arm.failed(), arm.dropped);
        }
    }
    text + "</tbody></table></div>"
}

fn notes(levels: &[&Level]) -> String {
    let notes = levels.iter().flat_map(|level| level.notes.iter().map(|note| format!("{}: {note}", place(level))));
    let notes: BTreeSet<String> = notes.collect();
    if notes.is_empty() {
        return String::new();
    }
    let items: String = notes.iter().map(|note| format!("<li>{}</li>", escaped(note))).collect();
    format!("<h3>To be known of these figures</h3><ul>{items}</ul>")
}
