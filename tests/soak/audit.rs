//! The reckoning: what callers were told, against the emulator's ledger and the marks of the tasks that ran.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::{StreamExt as _, stream};
use runjob::{Client, OperationName, proto::run::v2::Execution};
use serde_json::Value;

use crate::{
    book::Book,
    load::marker_of,
    server::{Server, page},
};

/// How the unknown ends of starts without a key turn out to have been.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unknown {
    pub(crate) started: usize,
    pub(crate) not_started: usize,
}

/// Every start that somebody was told of is there, no marker was started twice, and nothing ran that was said not to be.
pub(crate) async fn audit(server: &Server, book: &Book) -> Unknown {
    let by_marker = ledger(server).await;
    let stories = book.read();
    for (marker, executions) in &by_marker {
        assert_eq!(executions.len(), 1, "{marker} was started {} times: {executions:?}", executions.len());
        assert!(stories.contains_key(marker), "{marker} was started, and nobody was told anything");
    }
    let mut unknown = Unknown::default();
    for (marker, story) in &stories {
        let started = by_marker.get(marker).cloned().unwrap_or_default();
        match (story.executions.is_empty(), story.is_unknown) {
            (false, _) => assert_eq!(started, story.executions, "{marker}: what was told is not what was started"),
            (true, true) if started.is_empty() => unknown.not_started += 1,
            (true, true) => unknown.started += 1,
            (true, false) => assert!(started.is_empty(), "{marker} was said not to be started: {started:?}"),
        }
    }
    check_marks(server, &by_marker);
    unknown
}

/// The executions that were really started, by the marker that they were started with.
async fn ledger(server: &Server) -> BTreeMap<String, BTreeSet<String>> {
    let client = Client::builder().emulator(server.address().to_string()).build().await.expect("a client");
    let ledger = page(server.address(), "GET", "ledger", &Value::Null).await.expect("the emulator runs");
    let starts = ledger["starts"].as_array().expect("a list");
    let look = |start: &Value| {
        let client = client.clone();
        let name = |field: &str| start[field].as_str().expect("a name").to_owned();
        let (execution, operation) = (name("execution"), name("operation"));
        async move {
            let operation: OperationName = operation.parse().expect("a name");
            let mut operation = client.operation::<Execution>(&operation);
            // Not always over: nobody waits for what nobody knows.
            operation.poll().await.expect("it is kept");
            let started = operation.metadata().expect("an execution").expect("it has one");
            assert_eq!(started.name, execution, "the ledger mixes executions up");
            (marker_of(&started).expect("everybody marks"), execution)
        }
    };
    let marked: Vec<_> = stream::iter(starts.iter().map(look)).buffer_unordered(16).collect().await;
    let mut by_marker = BTreeMap::<String, BTreeSet<String>>::new();
    let entries = marked.len();
    for (marker, execution) in marked {
        by_marker.entry(marker).or_default().insert(execution);
    }
    assert_eq!(by_marker.values().map(BTreeSet::len).sum::<usize>(), entries, "the ledger has an execution twice");
    by_marker
}

/// Every attempt ran once at the most, and only for an execution that is in the ledger under that marker.
fn check_marks(server: &Server, by_marker: &BTreeMap<String, BTreeSet<String>>) {
    let id = |execution: &String| execution.rsplit('/').next().map(str::to_owned);
    let ids: HashMap<_, _> =
        by_marker.iter().map(|(marker, executions)| (marker.as_str(), executions.first().and_then(id))).collect();
    let marks = server.marks();
    let mut seen = BTreeSet::new();
    for mark in marks.lines() {
        assert!(seen.insert(mark), "{mark} ran twice");
        let mut words = mark.split(' ');
        let (marker, execution) = (words.next().expect("a marker"), words.next().map(str::to_owned));
        assert_eq!(ids.get(marker), Some(&execution), "{mark} ran, and the ledger says otherwise");
    }
}
