//! When other clients poll: the pause before each poll, as a function of its number and of a random number.
//!
//! Read in the sources that are named; nothing of them runs here. Seconds throughout; `random` is in `0..1`.

/// Another client, by its schedule.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// The pause before poll number `poll`, from 0, the first one after the start was accepted.
    pub(crate) pause: fn(poll: i32, random: f64) -> f64,
}

pub(crate) const PEERS: [Peer; 5] = [
    Peer { name: "Python, google-api-core", pause: python },
    Peer { name: "Node, google-gax", pause: node },
    Peer { name: "Go, longrunning", pause: go },
    Peer { name: "Rust, google-cloud-lro", pause: rust },
    Peer { name: "gcloud run jobs execute --wait", pause: gcloud },
];

/// python-api-core, `future/polling.py` (`DEFAULT_POLLING`) and `retry/retry_base.py` (`exponential_sleep_generator`): at
/// once, then a random part of 1 s that grows by half up to 20 s. It gives up after 900 s.
fn python(poll: i32, random: f64) -> f64 {
    after_the_first(poll, |n| random * grown(1.0, 1.5, n, 20.0))
}

/// gax-nodejs, `longRunningCalls/longrunning.ts` (`startPolling_`), with the settings that @google-cloud/run generates: at
/// once, then 100 ms that grow by 1.3 up to 60 s, without a random part.
fn node(poll: i32, _: f64) -> f64 {
    after_the_first(poll, |n| grown(0.1, 1.3, n, 60.0))
}

/// google-cloud-go, `longrunning/longrunning.go` (`WaitWithInterval`, with `DefaultWaitInterval`), and gax-go's `Backoff`: at
/// once, then a random part of 1 s that doubles up to 60 s.
fn go(poll: i32, random: f64) -> f64 {
    after_the_first(poll, |n| random * grown(1.0, 2.0, n, 60.0))
}

/// google-cloud-rust, `lro` (`until_done`) with gax's `ExponentialBackoff`: as Go, but the answer to the start counts as the
/// first poll.
fn rust(poll: i32, random: f64) -> f64 {
    random * grown(1.0, 2.0, poll, 60.0)
}

/// The Cloud SDK's waiter with the ceiling that its run commands give it: once a second.
fn gcloud(poll: i32, _: f64) -> f64 {
    after_the_first(poll, |_| 1.0)
}

fn after_the_first(poll: i32, pause: impl Fn(i32) -> f64) -> f64 {
    if poll == 0 { 0.0 } else { pause(poll - 1) }
}

fn grown(first: f64, factor: f64, times: i32, most: f64) -> f64 {
    most.min(first * factor.powi(times))
}
