//! One conversation from its first connection to its last: runtime, clock, sockets, panics.
//!
//! Sockets are real and time is not. Each conversation has a thread and a paused clock to itself. The clock moves by a
//! millisecond whenever nobody has anything to do, and by more while that lasts: limits of seconds pass in
//! milliseconds, and bytes on loopback take next to no time. A panic is counted for the thread it happens on.

use std::{
    cell::{Cell, RefCell},
    panic,
    sync::{
        Arc, Mutex, Once, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::{
    net::TcpListener,
    runtime::Builder,
    sync::watch,
    time::{Duration, sleep, timeout},
};

use crate::{
    caller::{self, Told},
    oracle::{self, Violation},
    peer::{self, Stage},
    script::Script,
    world::{Seen, World},
};

/// The longest step of the clock.
const STRIDE: u64 = 64;

/// What came of a conversation.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) told: Option<Told>,
    pub(crate) violation: Option<Violation>,
    pub(crate) started: usize,
    pub(crate) world: World,
    pub(crate) panics: Vec<String>,
}

impl Held {
    pub(crate) fn seen(&self) -> &Seen {
        &self.world.seen
    }
}

/// Holds the conversation of this script.
pub(crate) fn hold(script: &Script) -> Held {
    count_panics();
    IS_COUNTED.set(true);
    PANICS.take();
    // The jitter of the client.
    fastrand::seed(1);
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    let (told, world) = runtime.block_on(play(Arc::new(script.clone())));
    drop(runtime);
    IS_COUNTED.set(false);
    let panics = PANICS.take();
    let violation = oracle::judge(script, told.as_ref(), &world, &panics);
    Held { told, violation, started: world.started.len(), world, panics }
}

async fn play(script: Arc<Script>) -> (Option<Told>, World) {
    let (over, is_over) = watch::channel(false);
    let world = Arc::new(Mutex::new(World::new(script.clone())));
    let stage = Stage { world: world.clone(), over: is_over, activity: Arc::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let clock = tokio::spawn(turn(stage.activity.clone()));
    let peer = tokio::spawn(peer::listen(listener, stage.clone()));
    // A task, so that its panic is a result.
    let call = tokio::spawn(caller::call(script.caller, address, stage.clone()));
    let told = tokio::select! {
        told = call => told.ok(),
        () = flood(&stage) => None,
    };
    _ = over.send(true);
    _ = timeout(Duration::from_secs(600), peer).await.expect("the peer ends");
    clock.abort();
    drop(stage);
    let world = world.lock().unwrap_or_else(PoisonError::into_inner);
    (told, world.clone())
}

/// Returns when there are too many requests to go on.
async fn flood(stage: &Stage) {
    while stage.world().requests() < oracle::MOST_REQUESTS {
        sleep(Duration::from_millis(50)).await;
    }
}

/// Moves the clock: the runtime goes on to the next timer when there is nothing else to do, and this is the next one.
async fn turn(activity: Arc<AtomicU64>) {
    let (mut stride, mut known) = (1, 0);
    loop {
        sleep(Duration::from_millis(stride)).await;
        let now = activity.load(Relaxed);
        stride = if now == known { (stride * 2).min(STRIDE) } else { 1 };
        known = now;
    }
}

thread_local! {
    static IS_COUNTED: Cell<bool> = const { Cell::new(false) };
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Has panics on threads of conversations counted instead of printed, those in tasks of the client too.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_COUNTED.get() {
                return usual(info);
            }
            let payload = info.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let message = text.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("?");
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            PANICS.with_borrow_mut(|panics| panics.push(format!("{message} at {place}")));
        }));
    });
}
