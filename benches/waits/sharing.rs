//! The requests to wait for many executions of one job, with and without sharing, and how they grow.

use crate::{
    Result,
    claims::Claims,
    ends::quantile,
    simulated::{SPAN, Waited, Way, wait_for},
};

/// What a watch may cost at the most, however many executions it is for: two lists a second, and two long polls for each of
/// the last thirty.
const MOST: u64 = 2 * SPAN.as_secs() + 60;

pub(crate) fn measure(sizes: &[usize], claims: &mut Claims) -> Result<()> {
    println!("Requests to wait for executions of one job that end at random within {} s\n", SPAN.as_secs());
    println!(
        "| executions | `wait` for each: requests | per execution | longest lag | `watch`: requests | lists | growth | mean lag | longest lag |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut previous = None;
    for &count in sizes {
        let (each, watch) = (wait_for(count, Way::Each)?, wait_for(count, Way::Watch)?);
        let requests = watch.asked.all();
        println!(
            "| {count} | {} | {:.2} | {:.2} s | {requests} | {} | {} | {:.2} s | {:.2} s |",
            each.asked.all(),
            each.asked.all() as f64 / count as f64,
            longest(&each),
            watch.asked.lists,
            previous.map_or_else(|| "-".to_owned(), |previous| format!("{:.1}", requests as f64 / previous as f64)),
            mean(&watch),
            longest(&watch),
        );
        previous = Some(requests);
        claims.count(format!("`wait` for each of {count}: ended"), count, each.ends.len());
        claims.count(format!("`watch` of {count}: ended"), count, watch.ends.len());
        claims.count(format!("`watch` of {count}: requests beyond {MOST}"), 0, requests.saturating_sub(MOST) as usize);
    }
    println!();
    Ok(())
}

fn longest(waited: &Waited) -> f64 {
    quantile(&mut waited.lags(), 1.0).as_secs_f64()
}

fn mean(waited: &Waited) -> f64 {
    let lags = waited.lags();
    lags.iter().sum::<std::time::Duration>().as_secs_f64() / lags.len() as f64
}
