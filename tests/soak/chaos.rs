//! What goes wrong, and when: a fault every tenth of a second on average, a GOAWAY every five seconds at least, and the
//! emulator killed outright again and again. All of it is drawn from one seed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    book::Book,
    proxy::{Proxy, Trouble, Way},
    server::{Server, page},
};

/// The average between two faults.
const GAP: Duration = Duration::from_millis(100);
const LONGEST_WITHOUT_GOAWAY: Duration = Duration::from_secs(5);
/// How long the emulator is gone at the most. Longer than a read is tried again.
const LONGEST_OUTAGE: Duration = Duration::from_secs(5);
/// How often the faults that have acted are counted and cleared away.
const HARVEST: Duration = Duration::from_secs(10);

/// Faults of single calls, as the emulator's page takes them.
const FAULTS: [(&str, &str); 20] = [
    ("before", r#"{"answer": {"code": "UNAVAILABLE"}}"#),
    ("before", r#"{"answer": {"code": "INTERNAL"}}"#),
    ("before", r#"{"answer": {"code": "RESOURCE_EXHAUSTED", "retryDelay": "0.3s"}}"#),
    ("before", r#"{"delay": "0.2s"}"#),
    ("before", r#"{"delay": "1.5s"}"#),
    ("before", r#""dropConnection""#),
    ("before", r#"{"reset": "REFUSED_STREAM"}"#),
    ("before", r#"{"reset": "INTERNAL_ERROR"}"#),
    ("after", r#"{"answer": {"code": "UNAVAILABLE"}}"#),
    ("after", r#"{"answer": {"code": "UNKNOWN"}}"#),
    ("after", r#"{"answer": {"code": "DEADLINE_EXCEEDED"}}"#),
    ("after", r#"{"delay": "0.7s"}"#),
    // Longer than an RPC may take: the reply comes too late.
    ("after", r#"{"delay": "7s"}"#),
    ("after", r#""dropConnection""#),
    ("after", r#"{"reset": "CANCEL"}"#),
    ("after", r#"{"reset": "INTERNAL_ERROR"}"#),
    ("after", r#""truncateReply""#),
    ("after", r#""corruptReply""#),
    ("before", r#"{"goAway": "ENHANCE_YOUR_CALM"}"#),
    ("after", r#"{"goAway": "NO_ERROR"}"#),
];
const GOAWAY: (&str, &str) = ("before", r#"{"goAway": "NO_ERROR"}"#);

/// Half of the faults wait for one of these; the others hit whatever comes next.
const RPCS: [&str; 6] = ["RunJob", "RunJob", "WaitOperation", "GetOperation", "GetExecution", "ListExecutions"];

pub(crate) struct Chaos {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
    pub(crate) book: Arc<Book>,
    pub(crate) random: fastrand::Rng,
    /// The time between two kills.
    pub(crate) life: Duration,
}

/// What has gone wrong so far, by kind.
pub(crate) type Tally = Arc<Mutex<BTreeMap<String, u64>>>;

impl Chaos {
    /// Goes on until it is told to stop, and leaves the emulator running without faults.
    pub(crate) async fn rage(mut self, tally: Tally, mut stopped: watch::Receiver<bool>) -> Server {
        let (mut next_fault, mut next_kill) = (Instant::now(), Instant::now() + self.lifetime());
        let (mut goaway, mut harvest) = (Instant::now(), Instant::now() + HARVEST);
        loop {
            select! {
                () = sleep_until(next_fault) => {}
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
            let now = Instant::now();
            next_fault += GAP.mul_f64(-(1.0 - self.random.f64()).ln());
            if now >= next_kill {
                self.harvest(&tally).await;
                self.kill(&tally).await;
                next_kill = Instant::now() + self.lifetime();
                // What was missed meanwhile is not made up for.
                next_fault = Instant::now();
            } else if now >= harvest {
                self.harvest(&tally).await;
                harvest = now + HARVEST;
            } else if now >= goaway + LONGEST_WITHOUT_GOAWAY {
                self.set(GOAWAY, None).await;
                goaway = now;
            } else if self.random.f64() < 0.3 {
                self.trouble(&tally);
            } else {
                let fault = *self.random.choice(&FAULTS).expect("there are some");
                let rpc = if self.random.bool() { self.random.choice(RPCS) } else { None };
                self.set(fault, rpc).await;
            }
        }
        self.harvest(&tally).await;
        self.server
    }

    fn lifetime(&mut self) -> Duration {
        self.life.mul_f64(0.8 + 0.2 * self.random.f64())
    }

    async fn kill(&mut self, tally: &Tally) {
        self.book.server_is(None);
        self.server.kill();
        count(tally, "kill -9", 1);
        sleep(LONGEST_OUTAGE.mul_f64(self.random.f64())).await;
        self.server.restart().await;
        self.book.server_is(self.server.pid());
    }

    async fn set(&self, (at, what): (&str, &str), rpc: Option<&str>) {
        let what: Value = serde_json::from_str(what).expect("it is JSON");
        let mut fault = json!({"at": at, "do": what, "times": 1});
        if let Some(rpc) = rpc {
            fault["rpc"] = json!(rpc);
        }
        page(self.server.address(), "POST", "faults", &fault).await.expect("the emulator runs");
    }

    /// Counts the faults that have acted, and clears them away with the others.
    async fn harvest(&self, tally: &Tally) {
        let shown = page(self.server.address(), "GET", "faults", &Value::Null).await.expect("the emulator runs");
        for fault in shown["faults"].as_array().expect("a list") {
            count(tally, &name(fault), fault["acted"].as_u64().expect("a number"));
        }
        page(self.server.address(), "DELETE", "faults", &Value::Null).await.expect("the emulator runs");
    }

    fn trouble(&mut self, tally: &Tally) {
        let for_ms = |most| Instant::now() + Duration::from_millis(most);
        let long = self.random.u64(100..3000);
        let (name, trouble) = match self.random.u32(0..5) {
            0 => ("proxy: cut", Trouble::Cut),
            1 => ("proxy: half close to the server", Trouble::HalfClose(Way::ToServer)),
            2 => ("proxy: half close to the client", Trouble::HalfClose(Way::ToClient)),
            3 => ("proxy: stall", Trouble::StallUntil(for_ms(long))),
            _ => ("proxy: slow", Trouble::SlowUntil(for_ms(long))),
        };
        if self.proxy.trouble(trouble, &mut self.random) {
            count(tally, name, 1);
        }
    }
}

fn count(tally: &Tally, name: &str, more: u64) {
    *tally.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default() += more;
}

/// `after goAway NO_ERROR`
fn name(fault: &Value) -> String {
    let at = fault["at"].as_str().unwrap_or_default();
    match &fault["do"] {
        Value::Object(what) => {
            let (what, how) = what.iter().next().expect("it does one thing");
            let how = how.as_str().or_else(|| how["code"].as_str()).unwrap_or_default();
            format!("{at} {what} {how}")
        }
        what => format!("{at} {}", what.as_str().unwrap_or_default()),
    }
}
