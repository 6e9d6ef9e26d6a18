//! `runjob estimate`: exact output, from flags alone, of a job, of an execution, and for what cannot be estimated.

use std::{fs, io::ErrorKind, net::TcpListener, time::Duration};

use runjob::emulator::{Clock, Emulator, Runtime, Simulated, Simulation};
use serde_json::json;

use super::{JOBS, Ran, place::Place, ran, runjob};

const FLAGS: &str = "estimate --cpu=2 --memory=4Gi --region=asia-northeast1 --duration=60s";

const NOTE: &str = "note: this is an estimate, not a bill: it leaves out retries, network, storage and logs, and time to \
                    start that the duration does not include; all that a billing account runs shares one free tier\n";

const PRICES: &str = "prices    of 2025-08-19: the pricing page of Cloud Run; SKUs were compared on 2026-07-30 and in \
                      August 2026\n";

fn expected(stdout: &str, stderr: &str) -> Ran {
    Ran { status: 0, stdout: stdout.to_owned(), stderr: stderr.to_owned() }
}

#[test]
fn a_month_is_estimated_before_and_after_the_free_tier() {
    let lines = "\
estimate  $3.96 a month before the free tier, $0.00 after it
runs      50 executions a day for 30 days, 1 task each
task      2 vCPU and 4 GiB for 60s, billed as 60s
region    asia-northeast1, tier 1
cpu       180000 vCPU-seconds at $0.000018: $3.24, of which up to $4.32 is free
memory    360000 GiB-seconds at $0.000002: $0.72, of which up to $0.90 is free
";
    assert_eq!(ran(&format!("{FLAGS} --per-day=50")), expected(&format!("{lines}{PRICES}"), NOTE));
    assert_eq!(ran(&format!("{FLAGS} --per-day=50 --quiet")), expected(&format!("{lines}{PRICES}"), ""));
    let lines = "\
estimate  $396.00 a month before the free tier, $390.78 after it
runs      5000 executions a day for 30 days, 1 task each
task      2 vCPU and 4 GiB for 60s, billed as 60s
region    asia-northeast1, tier 1
cpu       18000000 vCPU-seconds at $0.000018: $324.00, of which up to $4.32 is free
memory    36000000 GiB-seconds at $0.000002: $72.00, of which up to $0.90 is free
";
    assert_eq!(ran(&format!("{FLAGS} --per-day=5000")), expected(&format!("{lines}{PRICES}"), NOTE));
}

#[test]
fn an_estimate_is_json_for_programs() {
    let ran = ran(&format!("{FLAGS} --per-day=5000 --format=json"));
    let right = json!({
        "estimate": {"usdBeforeFreeTier": "396.00", "usdAfterFreeTier": "390.78"},
        "of": null,
        "days": 30,
        "perDay": 5000,
        "tasks": 1,
        "duration": "60s",
        "billed": "60s",
        "cpu": {"perTask": "2", "seconds": "18000000", "usdPerSecond": "0.000018",
                "usdBeforeFreeTier": "324.00", "usdAfterFreeTier": "319.68"},
        "memory": {"perTask": "4", "seconds": "36000000", "usdPerSecond": "0.000002",
                   "usdBeforeFreeTier": "72.00", "usdAfterFreeTier": "71.10"},
        "region": "asia-northeast1",
        "tier": "1",
        "prices": {"date": "2025-08-19",
                   "source": "the pricing page of Cloud Run; SKUs were compared on 2026-07-30 and in August 2026"},
        "doubts": [],
        "notes": [],
    });
    assert_eq!((ran.status, ran.json(), ran.stderr.as_str()), (0, right, NOTE));
}

#[test]
fn flags_alone_send_nothing_and_need_no_credentials() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    listener.set_nonblocking(true).expect("it is a socket");
    for (name, value) in [("RUN_EMULATOR_HOST", address.as_str()), ("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere")] {
        let mut command = runjob(FLAGS);
        command.env(name, value);
        let ran = Ran::of(command);
        assert_eq!((ran.status, ran.stderr.as_str()), (0, NOTE), "{ran:#?}");
    }
    let called = listener.accept().expect_err("nothing calls");
    assert_eq!(called.kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_doubtful_price_is_called_doubtful() {
    for (region, warning) in [
        ("asia-south1", "sources disagree whether asia-south1 is in tier 1 or in tier 2, which costs a fifth more"),
        (
            "europe-west3",
            "the prices of tier 2 are those of instance-based services; that jobs cost the same is not proven",
        ),
    ] {
        let ran = ran(&format!("estimate --cpu=1 --memory=1Gi --duration=1h --region={region}"));
        assert_eq!((ran.status, ran.stderr), (0, format!("warning: {warning}\n{NOTE}")), "{region}");
    }
}

#[test]
fn a_job_says_what_a_task_has_and_not_how_long_it_runs() {
    let lines = format!(
        "\
estimate  $0.51 a month before the free tier, $0.00 after it
of        {JOBS}/echo
runs      10 executions a day for 30 days, 1 task each
task      1 vCPU and 0.5 GiB for 90s, billed as 90s
region    us-central1, tier 1
cpu       27000 vCPU-seconds at $0.000018: $0.49, of which up to $4.32 is free
memory    13500 GiB-seconds at $0.000002: $0.03, of which up to $0.90 is free
{PRICES}"
    );
    for job in ["echo", &format!("{JOBS}/echo")] {
        let ran = ran(&format!("estimate {job} --duration=90s --per-day=10 --emulator"));
        assert_eq!(ran, expected(&lines, NOTE));
    }
    let other = ran("estimate echo --duration=90s --tasks=3 --cpu=8 --emulator");
    assert!(other.stdout.contains("1 execution a day for 30 days, 3 tasks each"), "{other:#?}");
    assert!(other.stdout.contains("8 vCPU and 0.5 GiB"), "{other:#?}");
    let hint = "hint: add --duration=D, for instance --duration=5m, or name an execution that has ended\n";
    let refused = ran("estimate echo --emulator");
    assert_eq!(refused.stderr, format!("error: a job does not say how long its tasks run\n{hint}"));
    assert_eq!((refused.status, refused.stdout.as_str()), (2, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_says_it_all_once_it_has_ended() {
    let tasks = Simulation::new(|_| Simulated::exits(0).after(Duration::from_millis(95_250)));
    let builder = Emulator::builder().clock(Clock::Virtual).runtime(Runtime::Simulated(tasks));
    let place = Place::of(builder).await;
    assert_eq!(place.ran("execute echo --tasks=2 --async").status, 0);
    let name = place.emulator.ledger()[0].execution.to_string();
    let id = name.rsplit('/').next().expect("an id");

    let running = place.ran(&format!("estimate {name}"));
    assert_eq!((running.status, running.stdout.as_str()), (7, ""));
    assert!(running.stderr.contains("has not ended, so that its duration is not known"), "{running:#?}");
    assert!(running.stderr.contains("hint: give it with --duration=D"), "{running:#?}");
    assert_eq!(place.ran(&format!("estimate {id} --duration=5m")).status, 0);

    place.emulator.clock().advance(Duration::from_secs(3600));
    let lines = format!(
        "\
estimate  $1.09 a month before the free tier, $0.00 after it
of        {JOBS}/echo/executions/echo-ID
runs      10 executions a day for 30 days, 2 tasks each
task      1 vCPU and 0.5 GiB for 95.25s, billed as 95.3s
region    us-central1, tier 1
cpu       57180 vCPU-seconds at $0.000018: $1.03, of which up to $4.32 is free
memory    28590 GiB-seconds at $0.000002: $0.06, of which up to $0.90 is free
{PRICES}"
    );
    for word in [name.as_str(), id, &format!("{id} --job=echo")] {
        let ran = place.ran(&format!("estimate {word} --per-day=10 --quiet"));
        assert_eq!(ran.stdout, lines, "{word}: {ran:#?}");
        assert_eq!(ran.status, 0, "{word}");
    }
}

#[test]
fn a_word_that_names_nothing_is_status_7() {
    let ran = ran("estimate no-such --emulator");
    let error = format!("error: there is no {JOBS}/no/executions/no-such\n");
    assert_eq!(ran.stderr, format!("{error}hint: for a job add --duration=D, for instance --duration=5m\n"));
    assert_eq!((ran.status, ran.stdout.as_str()), (7, ""));
    let ran = super::ran("estimate no-such --duration=5m --emulator");
    let error = format!("error: there is no {JOBS}/no-such and no {JOBS}/no/executions/no-such\n");
    assert_eq!(ran.stderr, format!("{error}hint: check the project, the region and the name\n"));
    assert_eq!((ran.status, ran.stdout.as_str()), (7, ""));
}

#[test]
fn what_cannot_be_estimated_says_what_to_do() {
    let usage = "\n\nFor more information, try '--help'.\n";
    let example = "hint: for instance: runjob estimate --cpu=2 --memory=4Gi --duration=60s\n";
    let needs = "error: without a job or an execution an estimate needs";
    let cpu = "error: invalid value '0' for '--cpu <N>': a task has more than 0 CPUs, such as 1, 0.5 or 500m";
    let memory = "error: invalid value '4GB' for '--memory <SIZE>': expected an amount of memory such as 512Mi or 4Gi";
    let duration = "error: invalid value '-5s' for '--duration <DURATION>': a duration cannot be negative";
    let tasks = "error: invalid value '0' for '--tasks <N>': an execution has at least 1 task";
    let size = "--cpu=1 --memory=1Gi --duration=5m";
    let no_region = "error: the price table of 2025-08-19 has no region 'us-east7'\n\
                     hint: it has us-east1, us-east4, us-east5; --prices=FILE reads another table\n";
    for (flags, stderr) in [
        (String::new(), format!("{needs} --cpu=N, --memory=SIZE, --duration=D\n{example}")),
        ("--cpu=2".to_owned(), format!("{needs} --memory=SIZE, --duration=D\n{example}")),
        ("--cpu=0".to_owned(), format!("{cpu}{usage}")),
        ("--memory=4GB".to_owned(), format!("{memory}{usage}")),
        ("--duration=-5s".to_owned(), format!("{duration}{usage}")),
        ("--tasks=0".to_owned(), format!("{tasks}{usage}")),
        (
            size.to_owned(),
            "error: no region is known\nhint: give --region=REGION, set GOOGLE_CLOUD_REGION, or use a full name\n"
                .to_owned(),
        ),
        (format!("{size} --region=us-east7"), no_region.to_owned()),
        (
            format!("{size} --region=us-east1 --duration=999999999999h --memory=999999Ti").replacen(size, "--cpu=9", 1),
            "error: the numbers are too large\nhint: check them: no bill can be as high as this\n".to_owned(),
        ),
    ] {
        let ran = ran(&format!("estimate {flags} --per-day=4294967295"));
        assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr), (2, "", stderr), "{flags}");
    }
    let mut command = runjob(&format!("estimate {size}"));
    command.env("GOOGLE_CLOUD_REGION", "hunter2");
    let ran = Ran::of(command);
    let hidden = "error: GOOGLE_CLOUD_REGION holds no region of the price table (what it holds is not shown)\n";
    assert!(ran.status == 2 && ran.stderr.starts_with(hidden) && !ran.stderr.contains("hunter2"), "{ran:#?}");
}

#[test]
fn another_table_can_be_given_and_an_error_says_where_in_it() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("prices.json");
    let path = file.to_str().expect("Unicode");
    let own = fs::read_to_string("src/cli/verbs/estimate/prices.json").expect("the program's own");
    let with = |from: &str, to: &str| {
        fs::write(&file, own.replacen(from, to, 1)).expect("a file");
        ran(&format!("{FLAGS} --per-day=50 --prices={path}"))
    };
    let dearer = with("\"0.000018\"", "\"1\"");
    assert_eq!(dearer.status, 0, "{dearer:#?}");
    assert!(dearer.stdout.starts_with("estimate  $180000.72 a month before the free tier, $0.00 after it\n"));
    let number = with("\"0.000018\"", "0.000018");
    assert_eq!((number.status, number.stdout.as_str()), (2, ""));
    let place = format!("error: --prices: {path}: tiers[0].usdPerVcpuSecond: invalid type: floating point `0.000018`");
    assert!(number.stderr.starts_with(&place) && number.stderr.contains("at line 10 column"), "{number:#?}");
    let large = with("\"name\"", &format!("{}\"name\"", " ".repeat(1024 * 1024)));
    assert_eq!(large.stderr, format!("error: --prices: {path}: it is larger than 1048576 bytes\n"));
    let missing = ran(&format!("{FLAGS} --prices=/nowhere/at/all"));
    let error = "error: --prices: /nowhere/at/all: No such file or directory (os error 2)\n";
    assert_eq!((missing.status, missing.stderr.as_str()), (2, error));
}
