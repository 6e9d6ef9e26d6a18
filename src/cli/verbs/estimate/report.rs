//! How an estimate is shown: as lines for people, or as one object for programs. Everything in it is labelled an estimate.

use serde::Serialize;

use super::{
    bill::{Bill, Charge, DAYS, Workload},
    decimal,
    dollars::{Dollars, Price},
    prices::{Prices, Rates},
};
use crate::cli::{failure::Failure, flags::global::Format, printer::Printer};

/// What was estimated, of what, and by which prices.
pub(super) struct Estimated<'a> {
    /// The job or the execution that it is about.
    pub(super) of: Option<&'a str>,
    pub(super) region: &'a str,
    pub(super) work: &'a Workload,
    pub(super) bill: &'a Bill,
    pub(super) rates: &'a Rates<'a>,
    pub(super) prices: &'a Prices,
    /// What it leaves out in this case.
    pub(super) notes: &'a [String],
}

/// The object.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    estimate: Totals,
    of: Option<&'a str>,
    days: u32,
    per_day: u32,
    tasks: u32,
    duration: String,
    billed: String,
    cpu: Item,
    memory: Item,
    region: &'a str,
    tier: &'a str,
    prices: Origins<'a>,
    doubts: &'a [&'a str],
    notes: &'a [String],
}

/// US dollars for the month.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    usd_before_free_tier: Dollars,
    usd_after_free_tier: Dollars,
}

/// A resource: vCPUs, or memory in GiB.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    per_task: String,
    seconds: String,
    usd_per_second: Price,
    usd_before_free_tier: Dollars,
    usd_after_free_tier: Dollars,
}

/// Where the prices are from.
#[derive(Serialize)]
struct Origins<'a> {
    date: &'a str,
    source: &'a str,
}

impl Estimated<'_> {
    /// Writes the result, then what is to be known about it.
    pub(super) fn show(&self, printer: &Printer) -> Result<(), Failure> {
        match printer.format() {
            Format::Json => printer.json(&self.object())?,
            Format::Text => printer.pairs(self.rows())?,
        }
        for doubt in &self.rates.doubts {
            printer.line(&format!("warning: {doubt}"));
        }
        for note in self.notes {
            printer.note(&format!("note: {note}"));
        }
        printer.note(
            "note: this is an estimate, not a bill: it leaves out retries, network, storage and logs, and time to start \
             that the duration does not include; all that a billing account runs shares one free tier",
        );
        Ok(())
    }

    fn object(&self) -> Object<'_> {
        let Self { work, bill, rates, prices, .. } = self;
        Object {
            estimate: Totals { usd_before_free_tier: bill.before, usd_after_free_tier: bill.after },
            of: self.of,
            days: DAYS,
            per_day: work.per_day,
            tasks: work.tasks,
            duration: duration(work),
            billed: billed(bill),
            cpu: item(work.cpu.in_words(), &bill.cpu, rates.cpu.price),
            memory: item(work.memory.in_words(), &bill.memory, rates.memory.price),
            region: self.region,
            tier: rates.tier,
            prices: Origins { date: &prices.date, source: &prices.source },
            doubts: &rates.doubts,
            notes: self.notes,
        }
    }

    fn rows(&self) -> Vec<[String; 2]> {
        let Self { work, bill, rates, prices, .. } = self;
        let row = |name: &str, value: String| [name.to_owned(), value];
        let (before, after) = (bill.before.cents(), bill.after.cents());
        let mut rows = vec![row("estimate", format!("{before} a month before the free tier, {after} after it"))];
        rows.extend(self.of.map(|name| row("of", name.to_owned())));
        let (runs, tasks) = (counted(work.per_day, "execution"), counted(work.tasks, "task"));
        let (cpu, memory) = (work.cpu.in_words(), work.memory.in_words());
        rows.extend([
            row("runs", format!("{runs} a day for {DAYS} days, {tasks} each")),
            row("task", format!("{cpu} vCPU and {memory} GiB for {}, billed as {}", duration(work), billed(bill))),
            row("region", format!("{}, tier {}", self.region, rates.tier)),
            row("cpu", charge(&bill.cpu, "vCPU", rates.cpu.price)),
            row("memory", charge(&bill.memory, "GiB", rates.memory.price)),
            row("prices", format!("of {}: {}", prices.date, prices.source)),
        ]);
        rows
    }
}

fn item(per_task: String, charge: &Charge, price: Price) -> Item {
    Item {
        per_task,
        seconds: seconds(charge),
        usd_per_second: price,
        usd_before_free_tier: charge.cost,
        usd_after_free_tier: charge.after(),
    }
}

fn charge(charge: &Charge, unit: &str, price: Price) -> String {
    let (used, price, cost, free) = (seconds(charge), price.exact(), charge.cost.cents(), charge.free.cents());
    format!("{used} {unit}-seconds at ${price}: {cost}, of which up to {free} is free")
}

fn seconds(charge: &Charge) -> String {
    decimal::quotient(charge.used, charge.unit, 0, 3)
}

/// In seconds, as the API writes durations.
fn duration(work: &Workload) -> String {
    format!("{}s", decimal::quotient(work.duration.as_nanos(), decimal::ONE, 0, 9))
}

fn billed(bill: &Bill) -> String {
    format!("{}s", decimal::quotient(bill.billed, 1000, 0, 3))
}

fn counted(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
