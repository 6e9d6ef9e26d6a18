//! Starts that are killed, interrupted or never answered, and what the program finds out about them afterwards.

use std::fs;

use runjob::emulator::{Fault, Rpc};
use rustix::process::Signal;
use serde_json::json;
use tokio::task::yield_now;

use super::{
    JOBS, Ran,
    place::{HELD, Place},
    runjob,
};

/// A start that has its effect, and whose answer the program does not live to see.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_killed_at_the_send_is_found_by_its_key() {
    let place = Place::new().await;
    place.emulator.fault(Fault::after(Rpc::RunJob).delay(HELD));
    let killed = place.sending("execute echo --start-key=order-1").await;
    while place.starts() == 0 {
        yield_now().await;
    }
    drop(killed);
    place.emulator.clear_faults();

    let ran = place.ran("recover --format=json");
    let rows = ran.json();
    assert_eq!((ran.status, &rows[0]["state"], &rows[0]["key"]), (0, &json!("STARTED"), &json!("order-1")), "{ran:#?}");
    assert_eq!(rows[0]["execution"], json!(format!("{JOBS}/echo/executions/echo-ID")));
    let again = place.ran("recover");
    assert_eq!((again.status, again.stdout.as_str()), (0, ""), "it is settled: {again:#?}");

    let repeated = place.ran("execute echo --start-key=order-1");
    assert_eq!((repeated.status, place.starts()), (0, 1), "{repeated:#?}");
    assert!(repeated.stderr.contains("not started again"), "{repeated:#?}");
}

/// The same for the caller, and nothing has happened.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_not_seen_stays_open_until_it_is_seen_or_forgotten() {
    let place = Place::new().await;
    place.emulator.fault(Fault::before(Rpc::RunJob).delay(HELD));
    drop(place.sending("execute echo --start-key=order-2").await);
    place.emulator.clear_faults();

    for _ in 0..2 {
        let ran = place.ran("recover --job=echo");
        assert_eq!(ran.status, 4, "{ran:#?}");
        assert!(ran.stdout.starts_with(&format!("NOT_SEEN {JOBS}/echo key=order-2 time=20")), "{ran:#?}");
        assert!(ran.stderr.contains("NOT_SEEN is no proof"), "{ran:#?}");
    }
    assert_eq!(place.ran("recover --job=sleep").stdout, "", "another job");
    assert_eq!(place.ran("recover --forget").status, 4);
    assert_eq!(place.ran("recover").status, 0);
    assert_eq!(place.starts(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_start_says_how_to_find_out() {
    let place = Place::new().await;
    place.emulator.fault(Fault::after(Rpc::RunJob).delay(HELD));
    let sending = place.sending("execute echo --start-key=order-3").await;
    sending.signal(Signal::INT);
    let ran = sending.end();
    assert_eq!(ran.status, 130, "{ran:#?}");
    let way = format!("runjob recover --job={JOBS}/echo --key=order-3");
    assert!(ran.stderr.ends_with(&format!("before starting again: {way}\n")), "{ran:#?}");
    place.emulator.clear_faults();

    let found = place.ran(way.strip_prefix("runjob ").expect("a command"));
    assert_eq!(found.status, 0, "{found:#?}");
    assert!(found.stdout.starts_with(&format!("STARTED {JOBS}/echo/executions/echo-ID key=order-3 ")), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_unknown_without_a_key_and_found_with_one() {
    let place = Place::new().await;
    place.emulator.fault(Fault::after(Rpc::RunJob).lose_reply());
    let unknown = place.ran("execute echo");
    assert_eq!((unknown.status, place.starts()), (4, 1), "{unknown:#?}");
    let way = format!(
        "hint: look at its newest executions before starting again: runjob executions list --job={JOBS}/echo\n"
    );
    assert!(unknown.stderr.ends_with(&way), "{unknown:#?}");

    let found = place.ran("execute echo --start-key=order-4");
    assert_eq!((found.status, place.starts()), (0, 2), "{found:#?}");

    let open = place.ran("recover");
    assert_eq!(open.status, 4, "{open:#?}");
    assert!(open.stdout.starts_with(&format!("NO_KEY {JOBS}/echo key=- time=20")), "{open:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_up_where_none_is_given_and_works_like_any_other() {
    let place = Place::new().await;
    let ran = place.ran("execute echo --start-key");
    let key = ran.stderr.lines().find_map(|line| line.strip_prefix("note: the start key is ")).expect("a key");
    let again = place.ran(&format!("execute echo --start-key={key} --format=json"));
    assert_eq!(again.json()["adopted"], json!(true), "{again:#?}");
    assert!(!again.stderr.contains("note: started"), "{again:#?}");
    assert_eq!((ran.status, again.status, place.starts()), (0, 0, 1), "{again:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_can_be_asked_about_that_no_start_log_knows() {
    let place = Place::new().await;
    assert_eq!(Ran::of(place.homeless("execute echo --start-key=order-5")).status, 0);
    let found = Ran::of(place.homeless("recover --job=echo --key=order-5"));
    assert!(found.stdout.starts_with("STARTED "), "{found:#?}");
    let unseen = Ran::of(place.homeless("recover --job=echo --key=order-6"));
    assert_eq!((unseen.status, unseen.stdout), (4, format!("NOT_SEEN {JOBS}/echo key=order-6 time=-\n")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_start_log_only_a_key_that_would_be_lost_is_refused() {
    let place = Place::new().await;
    let warned = Ran::of(place.homeless("execute echo"));
    assert_eq!((warned.status, place.starts()), (0, 1), "{warned:#?}");
    assert!(warned.stderr.contains("warning: no start log is kept"), "{warned:#?}");
    let refused = Ran::of(place.homeless("execute echo --start-key"));
    assert_eq!((refused.status, place.starts()), (3, 1), "{refused:#?}");
    assert!(refused.stderr.contains("XDG_STATE_HOME"), "{refused:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_log_tells_what_was_started_and_no_secrets() {
    let place = Place::new().await;
    let ran = place.ran("execute echo --args=hush1 --update-env-vars=TOKEN=hush2");
    assert_eq!(ran.status, 0, "{ran:#?}");
    let log = fs::read_to_string(place.home.path().join("runjob/journal")).expect("a log");
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&lines[0]["line"], &lines[0]["job"]), (&json!("intent"), &json!(format!("{JOBS}/echo"))));
    assert_eq!((&lines[1]["outcome"], &lines[1]["id"]), (&json!("STARTED"), &lines[0]["id"]));
    assert!(!log.contains("hush") && !log.contains("TOKEN"), "{log}");
    assert_eq!(lines.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_start_is_settled() {
    let place = Place::new().await;
    assert_eq!(place.ran("execute none --start-key=order-7 --validate-first").status, 7);
    assert_eq!(place.ran("recover").stdout, "");
}

#[test]
fn an_emulator_inside_the_program_has_no_start_log() {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = runjob("execute echo --wait --start-key --emulator");
    command.env("XDG_STATE_HOME", home.path());
    assert_eq!(Ran::of(command).status, 0);
    assert_eq!(fs::read_dir(home.path()).expect("there").count(), 0);
    assert_eq!(Ran::of(runjob("recover --emulator")).status, 2);
}

#[test]
fn a_key_that_is_none_is_refused_before_anything_is_called() {
    let mut command = runjob("execute echo --emulator");
    command.arg("--start-key=two words");
    let ran = Ran::of(command);
    assert_eq!(ran.status, 2, "{ran:#?}");
    assert!(ran.stderr.contains("letters, digits and . _ - : / only"), "{ran:#?}");
}
