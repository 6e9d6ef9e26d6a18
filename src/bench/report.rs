//! What a measurement has found: figures, plain data. How they are shown is in the modules below.

mod folder;
mod hgrm;
mod html;
mod lag;
mod svg;
mod table;

#[cfg(test)]
#[path = "../../tests/schema.rs"]
mod schema;

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, SystemTime},
};

use hdrhistogram::Histogram;
use serde::Serialize;

pub use self::folder::ReportFolder;
use super::{
    call::LogicalCall,
    caller::Arm,
    meter, notes,
    plan::{LoopKind, Plan},
    sample::ArmSample,
    server::Counters,
    stats::Interval,
};

/// The shares whose latencies are kept for plots.
const SHARES: [f64; 12] = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1.0];

/// What a measurement has found.
#[derive(Clone, Debug, Serialize)]
pub struct BenchReport {
    /// The version of this form of report.
    pub format: u32,
    /// The version of this crate.
    pub version: &'static str,
    /// When it began, in UTC.
    pub began: String,
    /// What was called: `neutral server`, `emulator`, or an address.
    pub server: String,
    /// Where it was made.
    pub machine: MachineInfo,
    /// The smallest step of the clock for latencies, in microseconds.
    pub clock_us: f64,
    /// Rounds of each arm at each level.
    pub rounds: usize,
    /// The length of a round in milliseconds.
    pub round_ms: u64,
    /// Whether each call connects first.
    pub cold: bool,
    /// Whether it was interrupted: the last level has fewer rounds.
    pub interrupted: bool,
    /// The levels, in the order in which they were measured.
    pub levels: Vec<Level>,
}

/// The machine that measured.
#[derive(Clone, Debug, Serialize)]
pub struct MachineInfo {
    /// `linux`, ...
    pub os: &'static str,
    /// `x86_64`, ...
    pub arch: &'static str,
    /// Processors that this process may use.
    pub processors: usize,
    /// What the system calls the processor, where it tells.
    pub model: Option<String>,
}

/// The arms at one call, distance and number in flight.
#[derive(Clone, Debug, Serialize)]
pub struct Level {
    /// The logical call, as [`LogicalCall`] prints it.
    pub call: String,
    /// How much further away the server was, in milliseconds.
    pub distance_ms: f64,
    /// Calls in flight; in open loop, the most that may be.
    pub in_flight: usize,
    /// Calls a second that should begin, in open loop.
    pub arrivals_per_second: Option<f64>,
    /// The arms; the others are compared with the first.
    pub arms: Vec<ArmReport>,
    /// What a reader should know of these figures, in words.
    pub notes: Vec<String>,
}

/// One arm at one level.
#[derive(Clone, Debug, Serialize)]
pub struct ArmReport {
    /// As [`Arm::name`] has it.
    pub arm: &'static str,
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that failed, by cause. They are in no latency.
    pub failures: BTreeMap<String, u64>,
    /// Calls of an open loop that never began.
    pub dropped: u64,
    /// Of the calls that were answered, in microseconds.
    pub latency_us: Latency,
    /// How late the generator of an open loop was.
    pub lateness_us: Option<Latency>,
    /// RPCs a second, the median of the rounds.
    pub rpcs_per_second: f64,
    /// Processor time of the client for an RPC, the median of the rounds.
    pub cpu_us_per_rpc: f64,
    /// What the server has counted in the same rounds.
    pub server: Option<Counters>,
    /// Bytes from the client for an RPC.
    pub sent_bytes_per_rpc: Option<f64>,
    /// Bytes to the client for an RPC.
    pub received_bytes_per_rpc: Option<f64>,
    /// The median latency beside that of the first arm.
    pub ratio: Option<Ratio>,
    /// The median latency beside that of the h2 crate alone, where that takes part.
    pub ratio_to_raw: Option<Ratio>,
    /// Shares of the calls, and the latency in microseconds that they did not pass.
    pub quantiles: Vec<(f64, f64)>,
    /// All latencies in nanoseconds.
    #[serde(skip)]
    pub histogram: Histogram<u64>,
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Half of them.
    pub p50: f64,
    /// 90 of 100.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    pub p999: f64,
    /// All of them.
    pub max: f64,
}

/// A ratio, and the interval in which that of another run falls.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ratio {
    /// The median of the rounds.
    pub value: f64,
    /// Not less than this.
    pub low: f64,
    /// Not more than this.
    pub high: f64,
}

impl BenchReport {
    pub(crate) fn new(plan: &Plan, server: &str) -> Self {
        Self {
            format: 1,
            version: env!("CARGO_PKG_VERSION"),
            began: prost_types::Timestamp { nanos: 0, ..SystemTime::now().into() }.to_string(),
            server: server.to_owned(),
            machine: MachineInfo::here(),
            clock_us: microseconds(meter::resolution(std::time::Instant::now).as_nanos() as u64),
            rounds: plan.rounds,
            round_ms: plan.round.as_millis() as u64,
            cold: plan.cold,
            interrupted: false,
            levels: Vec::new(),
        }
    }

    /// Adds what was measured at one level, unless an arm has no round there.
    pub(crate) fn add(
        &mut self,
        plan: &Plan,
        call: LogicalCall,
        distance: Duration,
        in_flight: usize,
        samples: &[ArmSample],
    ) {
        if samples.iter().all(|sample| !sample.rounds.is_empty()) {
            self.levels.push(Level::new(plan, call, distance, in_flight, samples, self.clock_us));
        }
    }

    /// The figures as JSON, as `docs/bench.schema.json` describes it.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_else(|_| unreachable!("numbers and texts under texts"))
    }

    /// The figures as a table in Markdown, with the notes below.
    pub fn table(&self) -> String {
        table::table(self)
    }

    /// One page with plots, which loads nothing.
    pub fn html(&self) -> String {
        html::page(self)
    }

    /// The latency distribution of each arm at each level as a file name and the text that HdrHistogram's plotter reads.
    pub fn hgrm(&self) -> Vec<(String, String)> {
        hgrm::files(self)
    }
}

impl MachineInfo {
    fn here() -> Self {
        let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("model name"))?;
            Some(line.trim_start_matches([' ', '\t', ':']).to_owned())
        });
        let processors = std::thread::available_parallelism().map_or(1, Into::into);
        Self { os: std::env::consts::OS, arch: std::env::consts::ARCH, processors, model }
    }
}

impl Level {
    fn new(
        plan: &Plan,
        call: LogicalCall,
        distance: Duration,
        in_flight: usize,
        samples: &[ArmSample],
        clock_us: f64,
    ) -> Self {
        let raw = samples.iter().find(|sample| sample.arm == Arm::Raw);
        let arm = |sample: &ArmSample| ArmReport::new(call, sample, samples.first(), raw, plan.seed);
        let mut level = Self {
            call: call.to_string(),
            distance_ms: distance.as_secs_f64() * 1e3,
            in_flight,
            arrivals_per_second: match plan.pace {
                LoopKind::PerSecond(rate) => Some(rate),
                LoopKind::Answered => None,
            },
            arms: samples.iter().map(arm).collect(),
            notes: Vec::new(),
        };
        level.notes = notes::of(&level, samples, plan.cold, clock_us);
        level
    }
}

impl ArmReport {
    fn new(
        call: LogicalCall,
        sample: &ArmSample,
        base: Option<&ArmSample>,
        raw: Option<&ArmSample>,
        seed: u64,
    ) -> Self {
        let histogram = sample.histogram();
        let server = sample.counters();
        let failures = sample.failures();
        let rpcs = (sample.answered() + failures.values().sum::<u64>()) * call.rpcs();
        let bytes = |of: fn(&Counters) -> u64| server.as_ref().map(|counters| of(counters) as f64 / rpcs as f64);
        let ratio = |base: Option<&ArmSample>| base.and_then(|base| sample.ratio_to(base, seed)).map(Ratio::from);
        Self {
            arm: sample.arm.name(),
            answered: sample.answered(),
            dropped: sample.dropped(),
            latency_us: Latency::of(&histogram),
            lateness_us: sample.lateness().as_ref().map(Latency::of),
            rpcs_per_second: sample.rpcs_per_second(call),
            cpu_us_per_rpc: sample.processor_per_rpc(call),
            sent_bytes_per_rpc: bytes(|counters| counters.received),
            received_bytes_per_rpc: bytes(|counters| counters.sent),
            server,
            ratio: ratio(base),
            ratio_to_raw: ratio(raw),
            quantiles: SHARES.map(|share| (share, microseconds(histogram.value_at_quantile(share)))).into(),
            failures,
            histogram,
        }
    }

    /// Calls that failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |share| microseconds(histogram.value_at_quantile(share));
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: microseconds(histogram.max()) }
    }
}

impl From<Interval> for Ratio {
    fn from(Interval { value, low, high }: Interval) -> Self {
        Self { value, low, high }
    }
}

fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{
        round::{Round, Sample},
        sample::Observed,
    };

    /// Two levels of two arms, the second twice as slow; at 1 in flight nothing of the second was answered.
    fn report() -> BenchReport {
        let plan = Plan::default();
        let mut report = BenchReport::new(&plan, "neutral server");
        let arm = |arm, times: Vec<u64>| {
            let failures =
                if times.is_empty() { BTreeMap::from([("<b>refused</b>".to_owned(), 3)]) } else { BTreeMap::new() };
            let sample = Sample { latencies: times, failures, ..Sample::default() };
            let round = Round { sample, elapsed: Duration::from_millis(1), ..Round::default() };
            ArmSample { arm, rounds: vec![Observed { round, counters: None }; 5] }
        };
        let samples = [arm(Arm::Bare, vec![100_000; 10]), arm(Arm::Verbs, vec![])];
        report.add(&plan, LogicalCall::Poll, Duration::ZERO, 1, &samples);
        let samples = [arm(Arm::Bare, vec![100_000; 10]), arm(Arm::Verbs, vec![200_000; 10])];
        report.add(&plan, LogicalCall::Poll, Duration::ZERO, 16, &samples);
        report
    }

    #[test]
    fn a_level_that_was_broken_off_before_every_arm_had_its_turn_is_left_out() {
        let (plan, mut report) = (Plan::default(), report());
        report.add(&plan, LogicalCall::Poll, Duration::ZERO, 64, &[ArmSample { arm: Arm::Bare, rounds: vec![] }]);
        assert_eq!(report.levels.len(), 2);
    }

    #[test]
    fn the_table_has_a_row_for_each_arm_and_the_notes() {
        let table = report().table();
        assert!(table.contains("| poll | 0 ms | 16 | verbs | 200 | 200 | 200 | 200 | 200 | 10000 |"), "{table}");
        assert!(table.contains("| 2.000 [2.000, 2.000] | - |"), "{table}");
        assert!(table.contains("- poll, 1 in flight: verbs: 15 of 15 calls failed"), "{table}");
    }

    #[test]
    fn the_json_is_what_the_schema_describes() {
        let report: serde_json::Value = serde_json::from_str(&report().json()).expect("JSON");
        schema::assert_described(&report, include_str!("../../docs/bench.schema.json"));
    }

    #[test]
    fn the_page_has_all_plots_loads_nothing_and_lets_no_text_out_of_its_place() {
        let page = report().html();
        for plot in [
            "latency by percentile with 1 in flight",
            "latency by percentile with 16 in flight",
            "ratio of median",
            "CPU µs by",
            "RPCs/s by",
        ] {
            assert!(page.contains(&format!("aria-label=\"{plot}")), "{plot}");
        }
        for outside in ["http", "src=", "href=", "url(", "@import", "<script", "<b>refused"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
        assert!(!page.contains("NaN") && !page.contains("inf"), "a figure that is no number");
    }

    #[test]
    fn a_folder_is_refused_before_and_filled_after_the_measurement() {
        let base = tempfile::tempdir().expect("a folder");
        let folder = ReportFolder::open(base.path().join("new/report")).expect("a folder");
        folder.save(&report()).expect("files");
        let mut names: Vec<_> = fs::read_dir(base.path().join("new/report"))
            .expect("a folder")
            .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names[names.len() - 3..], ["report.html", "report.json", "report.md"]);
        assert_eq!(names.len(), 7);
        let inside_a_file = base.path().join("new/report/report.md/report");
        let error = ReportFolder::open(inside_a_file).expect_err("a file is no folder").to_string();
        assert!(error.starts_with("cannot write "), "{error}");
    }

    #[test]
    fn distributions_are_in_the_form_of_hdr_histogram() {
        let files = report().hgrm();
        assert_eq!(files.len(), 4);
        let (name, text) = &files[3];
        assert_eq!(name, "poll-0ms-16-verbs.hgrm");
        assert!(text.starts_with("       Value     Percentile TotalCount 1/(1-Percentile)\n\n"), "{text}");
        assert!(
            text.contains("     200.063 1.000000000000         50") && text.contains("#[Max     =      200.063"),
            "{text}"
        );
    }
}
