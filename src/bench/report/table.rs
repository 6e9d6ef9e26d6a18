//! The figures as a table in Markdown.

use std::fmt::Write as _;

use super::{ArmReport, BenchReport, Level, Ratio};

pub(super) fn table(report: &BenchReport) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(text, "{}\n", heading(report));
    let _ = writeln!(
        text,
        "| call | distance | in flight | arm | p50 µs | p90 | p99 | p99.9 | max | RPCs/s | CPU µs/RPC | bytes out/in | \
         failed | dropped | p50 to {} | p50 to raw |\n|{}",
        report.levels.first().and_then(|level| level.arms.first()).map_or("the first", |arm| arm.arm),
        "---|".repeat(16)
    );
    for level in &report.levels {
        for arm in &level.arms {
            let _ = writeln!(text, "{}", row(level, arm));
        }
    }
    for level in &report.levels {
        for note in &level.notes {
            let _ = write!(text, "\n- {}, {} in flight: {note}", level.call, level.in_flight);
        }
    }
    text
}

pub(super) fn heading(report: &BenchReport) -> String {
    let BenchReport { version, began, server, machine, rounds, round_ms, cold, interrupted, .. } = report;
    let connections = if *cold { "a new connection for each call" } else { "kept connections" };
    let interrupted = if *interrupted { "; interrupted" } else { "" };
    let model = machine.model.as_deref().unwrap_or(machine.arch);
    format!(
        "runjob {version}, {began}, {server}, {} processors ({model}, {}), {rounds} rounds of {round_ms} ms in turns, \
         {connections}{interrupted}",
        machine.processors, machine.os
    )
}

fn row(level: &Level, arm: &ArmReport) -> String {
    let latency = &arm.latency_us;
    let bytes = match (arm.sent_bytes_per_rpc, arm.received_bytes_per_rpc) {
        (Some(sent), Some(received)) => format!("{sent:.0}/{received:.0}"),
        _ => "-".to_owned(),
    };
    format!(
        "| {} | {} ms | {} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.2} | {bytes} | {} | {} | {} | {} |",
        level.call,
        level.distance_ms,
        level.in_flight,
        arm.arm,
        latency.p50,
        latency.p90,
        latency.p99,
        latency.p999,
        latency.max,
        arm.rpcs_per_second,
        arm.cpu_us_per_rpc,
        arm.failed(),
        arm.dropped,
        ratio(arm.ratio),
        ratio(arm.ratio_to_raw),
    )
}

fn ratio(ratio: Option<Ratio>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |Ratio { value, low, high }| format!("{value:.3} [{low:.3}, {high:.3}]"))
}
