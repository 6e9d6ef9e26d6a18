//! What a month of executions costs: time as it is billed, and money before and after the free tier.
//!
//! Pure arithmetic over whole numbers; knows no file and no flag.

use std::time::Duration;

use super::{
    dollars::{CPU_SECOND, Dollars, GIB_SECOND},
    prices::{Prices, Rate, Rates},
    size::{Cpu, Memory},
};

/// How many days a month has here.
pub(super) const DAYS: u32 = 30;

/// What runs each month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Workload {
    pub(super) cpu: Cpu,
    pub(super) memory: Memory,
    /// Of one task.
    pub(super) duration: Duration,
    /// Of one execution.
    pub(super) tasks: u32,
    /// Executions.
    pub(super) per_day: u32,
}

/// What that costs.
#[derive(Debug)]
pub(super) struct Bill {
    /// The time that each task is billed for, in milliseconds.
    pub(super) billed: u128,
    pub(super) cpu: Charge,
    pub(super) memory: Charge,
    pub(super) before: Dollars,
    pub(super) after: Dollars,
}

/// The cost of one resource.
#[derive(Debug)]
pub(super) struct Charge {
    /// In units that `unit` of make one that has a price.
    pub(super) used: u128,
    pub(super) unit: u128,
    pub(super) cost: Dollars,
    /// The most that the free tier takes off.
    pub(super) free: Dollars,
}

impl Bill {
    /// Nothing when the numbers are beyond all sums.
    pub(super) fn of(work: &Workload, prices: &Prices, rates: &Rates<'_>) -> Option<Self> {
        let billed = billed(work.duration, prices)?;
        let tasks = u128::from(work.tasks) * u128::from(work.per_day) * u128::from(DAYS);
        let millis = billed.checked_mul(tasks)?;
        let cpu = Charge::of(millis.checked_mul(work.cpu.0)?, CPU_SECOND, rates.cpu)?;
        let memory = Charge::of(millis.checked_mul(work.memory.0)?, GIB_SECOND, rates.memory)?;
        let before = cpu.cost.plus(memory.cost)?;
        let after = cpu.after().plus(memory.after())?;
        Some(Self { billed, cpu, memory, before, after })
    }
}

/// Milliseconds, rounded up, and at least what the table says.
fn billed(duration: Duration, prices: &Prices) -> Option<u128> {
    let step = u128::from(prices.step_millis);
    let steps = duration.as_nanos().div_ceil(step.checked_mul(1_000_000)?);
    Some(steps.checked_mul(step)?.max(u128::from(prices.least_millis)))
}

impl Charge {
    fn of(used: u128, unit: u128, rate: Rate) -> Option<Self> {
        let free = rate.free_price.cost(u128::from(rate.free_seconds).checked_mul(unit)?, unit)?;
        Some(Self { used, unit, cost: rate.price.cost(used, unit)?, free })
    }

    /// What is left to pay.
    pub(super) fn after(&self) -> Dollars {
        self.cost.less(self.free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn bill(work: &Workload, region: &str) -> Option<Bill> {
        let prices = Prices::read(None).expect("the program's own");
        Bill::of(work, &prices, &prices.rates(region).expect("known"))
    }

    fn work(duration: Duration, per_day: u32) -> Workload {
        Workload { cpu: Cpu(2000), memory: Memory(4 << 30), duration, tasks: 1, per_day }
    }

    #[test]
    fn the_free_tier_comes_off_as_money_of_tier_1() {
        // Tier 1: 1500 minutes of $0.00264. Tier 2 costs a fifth more, and the free tier is worth the same there.
        for (region, per_day, before, after) in [
            ("asia-northeast1", 50, "$3.96", "$0.00"),
            ("asia-northeast1", 5000, "$396.00", "$390.78"),
            ("asia-northeast3", 50, "$4.75", "$0.00"),
            ("asia-northeast3", 5000, "$475.20", "$469.98"),
        ] {
            let bill = bill(&work(MINUTE, per_day), region).expect("small");
            assert_eq!((bill.before.cents().as_str(), bill.after.cents().as_str()), (before, after), "{region}");
        }
    }

    #[test]
    fn a_task_is_billed_for_a_minute_at_least_and_in_tenths_of_a_second() {
        for (millis, expected) in
            [(0, 60_000), (1, 60_000), (60_000, 60_000), (60_001, 60_100), (60_100, 60_100), (3_600_050, 3_600_100)]
        {
            let bill = bill(&work(Duration::from_millis(millis), 1), "us-central1").expect("small");
            assert_eq!(bill.billed, expected, "{millis}");
        }
        let longer = bill(&work(MINUTE + Duration::from_nanos(1), 1), "us-central1").expect("small");
        assert_eq!(longer.billed, 60_100);
    }

    #[test]
    fn what_is_beyond_all_sums_is_no_bill() {
        let endless = Workload { tasks: u32::MAX, per_day: u32::MAX, ..work(Duration::MAX, 1) };
        assert!(bill(&endless, "us-central1").is_none());
    }
}
