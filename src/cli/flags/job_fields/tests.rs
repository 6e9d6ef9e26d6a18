//! Each row of the table on jobs that are drawn: it changes its own field and nothing else, and can take that back.

use std::{collections::BTreeMap, fs, path::Path};

use fastrand::Rng;
use serde_json::Value;

use super::*;
use crate::{
    cli::show::{changes, json},
    proto::run::v2::{
        EnvVar, EnvVarSource, ExecutionTemplate, ResourceRequirements, SecretKeySelector, TaskTemplate,
        env_var::Values, task_template::Retries,
    },
};

const ROUNDS: u64 = 200;

fn word(rng: &mut Rng) -> String {
    (0..rng.usize(1..6)).map(|_| rng.lowercase()).collect()
}

fn some<T>(rng: &mut Rng, draw: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    let mut draw = draw;
    (0..rng.usize(0..4)).map(|_| draw(rng)).collect()
}

fn variable(name: String, rng: &mut Rng) -> EnvVar {
    let secret = SecretKeySelector { secret: word(rng), version: "latest".to_owned() };
    let values = if rng.bool() {
        Values::Value(word(rng))
    } else {
        Values::ValueSource(EnvVarSource { secret_key_ref: Some(secret) })
    };
    EnvVar { name, values: Some(values) }
}

fn drawn_container(rng: &mut Rng) -> Container {
    let env: BTreeMap<_, _> = some(rng, |rng| (word(rng).to_uppercase(), ())).into_iter().collect();
    Container {
        image: word(rng),
        command: some(rng, word),
        args: some(rng, word),
        env: env.into_keys().map(|name| variable(name, rng)).collect(),
        working_dir: word(rng),
        resources: rng.bool().then(|| ResourceRequirements {
            limits: some(rng, |rng| (["cpu", "memory"][rng.usize(0..2)].to_owned(), "7".to_owned()))
                .into_iter()
                .collect(),
            ..ResourceRequirements::default()
        }),
        ..Container::default()
    }
}

fn drawn_job(rng: &mut Rng) -> Job {
    let template = TaskTemplate {
        containers: vec![drawn_container(rng)],
        retries: rng.bool().then(|| Retries::MaxRetries(rng.i32(1..9))),
        timeout: rng.bool().then(|| prost_types::Duration { seconds: rng.i64(1..99), nanos: 0 }),
        service_account: word(rng),
        ..TaskTemplate::default()
    };
    let template = ExecutionTemplate {
        task_count: rng.i32(0..5),
        parallelism: rng.i32(0..5),
        template: Some(template),
        ..ExecutionTemplate::default()
    };
    let labels = some(rng, |rng| (word(rng), word(rng))).into_iter().collect();
    Job { name: word(rng), labels, template: Some(template), client: word(rng), ..Job::default() }
}

/// A text that the flag accepts.
fn text(kind: ValueKind, rng: &mut Rng) -> String {
    match kind {
        ValueKind::Switch => String::new(),
        ValueKind::Text | ValueKind::TextOrNothing => word(rng),
        ValueKind::List | ValueKind::Arguments | ValueKind::Names => some(rng, word).join(","),
        ValueKind::Pairs => format!("{}={}", word(rng), word(rng)),
        ValueKind::Secrets => format!("{}={}:1", word(rng), word(rng)),
        ValueKind::Count(least) => rng.u32(least..50).to_string(),
        ValueKind::TaskTimeout => format!("{}s", rng.u32(1..3600)),
        ValueKind::Cpu => rng.u32(1..9).to_string(),
        ValueKind::Memory => format!("{}Mi", rng.u32(1..999)),
        ValueKind::Word(words) => words[rng.usize(..words.len())].to_owned(),
        ValueKind::Volumes => format!("name={},type=cloud-storage,bucket={}", word(rng), word(rng)),
        ValueKind::Mounts => format!("volume={},mount-path=/{}", word(rng), word(rng)),
    }
}

fn change(flag: &'static FieldFlag, text: String) -> JobChanges {
    JobFlags::<UPDATE>(vec![TypedFlag { flag, container: None, texts: vec![text] }]).changes().expect("it is accepted")
}

/// The paths that differ in meaning, with `[]` for each element of a list: an empty `resources` means the same as none.
fn paths(before: &Job, after: &Job) -> Vec<String> {
    let [before, after] = [before, after].map(|job| json::resource(job).expect("JSON"));
    let element = |path: String| {
        let parts = path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest).to_owned());
        parts.collect::<Vec<_>>().join("[]")
    };
    let is_empty = |value: &Value| value.as_object().map_or(value.is_null(), |object| object.is_empty());
    let found = changes::between(&before, &after).into_iter();
    let told = found
        .filter(|found| !(found.path.ends_with(".resources") && is_empty(&found.before) && is_empty(&found.after)));
    told.map(|found| element(found.path)).collect()
}

/// Whether a difference at this path is within the field. A variable or volume that comes or goes brings its name.
fn is_within(path: &str, field: &str) -> bool {
    let name = |list| field.rsplit_once(list).map(|(before, _)| format!("{before}{list}.name"));
    let name = name("env[]").or_else(|| name("volumes[]"));
    // A container sees the sockets of Cloud SQL by a mount.
    let is_mounted = field.contains("cloudSqlInstance") && path.contains("volumeMounts");
    is_mounted || path.starts_with(field) || field.starts_with(&format!("{path}[]")) || name.as_deref() == Some(path)
}

#[test]
fn each_flag_changes_its_own_field_and_nothing_else() {
    for flag in FLAGS {
        let mut changed = 0;
        for seed in 0..ROUNDS {
            let rng = &mut Rng::with_seed(seed);
            let before = drawn_job(rng);
            let mut after = before.clone();
            change(flag, text(flag.kind, rng)).apply(&mut after).expect("the names are new");
            for path in paths(&before, &after) {
                assert!(is_within(&path, flag.path), "--{} changes {path}", flag.name);
                changed += 1;
            }
        }
        let takes_away = matches!(flag.action, FieldAction::Remove | FieldAction::Clear);
        assert!(changed > 0 || takes_away, "--{} changes nothing", flag.name);
    }
}

#[test]
fn what_was_set_and_cleared_leaves_the_job_as_it_was() {
    let mut pairs = 0;
    for clear in FLAGS.iter().filter(|flag| flag.action == FieldAction::Clear) {
        let sets = |flag: &&FieldFlag| matches!(flag.action, FieldAction::Set | FieldAction::Merge);
        for flag in FLAGS.iter().filter(|flag| flag.path == clear.path).filter(sets) {
            pairs += 1;
            for seed in 0..ROUNDS {
                let rng = &mut Rng::with_seed(seed);
                let mut before = drawn_job(rng);
                change(clear, String::new()).apply(&mut before).expect("it can be cleared");
                let mut after = before.clone();
                change(flag, text(flag.kind, rng)).apply(&mut after).expect("the names are new");
                change(clear, String::new()).apply(&mut after).expect("it can be cleared");
                assert_eq!(after, before, "--{} and --{}", flag.name, clear.name);
            }
        }
    }
    assert!(pairs >= 6, "{pairs}");
}

#[test]
fn what_a_flag_sets_is_there_whatever_was_there_before() {
    for flag in FLAGS.iter().filter(|flag| flag.action == FieldAction::Set) {
        for seed in 0..ROUNDS {
            let rng = &mut Rng::with_seed(seed);
            let (mut once, mut twice) = (drawn_job(rng), Job::default());
            twice.clone_from(&once);
            let last = text(flag.kind, rng);
            change(flag, text(flag.kind, rng)).apply(&mut twice).expect("the names are new");
            change(flag, last.clone()).apply(&mut twice).expect("the names are new");
            change(flag, last).apply(&mut once).expect("the names are new");
            assert_eq!(once, twice, "--{}", flag.name);
        }
    }
}

fn page() -> String {
    let rows = FLAGS.iter().map(|flag| {
        let value = if flag.value.is_empty() { String::new() } else { format!("={}", flag.value) };
        let verbs = [(CREATE, "create"), (UPDATE, "update"), (DEPLOY, "deploy")];
        let verbs: Vec<_> = verbs.iter().filter(|(verb, _)| flag.is_of(*verb)).map(|(_, name)| *name).collect();
        let action = format!("{:?}", flag.action).to_lowercase();
        format!("| `--{}{value}` | {action} `{}` | {} |\n", flag.name, flag.path, verbs.join(", "))
    });
    rows.collect()
}

#[test]
fn the_page_about_jobs_has_the_table() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/jobs.md")).expect("the page");
    let rows: String = text
        .lines()
        .skip_while(|line| *line != "| flag | what it does | verbs |")
        .filter(|line| line.starts_with("| `--"))
        .map(|line| line.to_owned() + "\n")
        .collect();
    assert_eq!(rows, page());
}

fn job_of(containers: &[&str]) -> Job {
    let named = |name: &&str| Container { name: (*name).to_owned(), image: "i".to_owned(), ..Container::default() };
    let mut job = Job::default();
    task(&mut job).containers = containers.iter().map(named).collect();
    job
}

/// What these words make of the job.
fn updated(mut job: Job, line: &[&str]) -> Result<Job, String> {
    let command = <JobFlags<UPDATE> as clap::Args>::augment_args(Command::new("update").no_binary_name(true));
    let matches = command.try_get_matches_from(line).map_err(|error| error.to_string())?;
    let flags = JobFlags::<UPDATE>::from_arg_matches(&matches).map_err(|error| error.to_string())?;
    let told = |failure: Failure| format!("{}; {}", failure.message(), failure.way_out().unwrap_or_default());
    flags.changes().map_err(told)?.apply(&mut job).map_err(told)?;
    Ok(job)
}

fn env_of(job: &Job) -> Vec<String> {
    let json: Value = json::resource(job).expect("JSON");
    let env = json["template"]["template"]["containers"][0]["env"].as_array().cloned().unwrap_or_default();
    env.iter().map(|variable| format!("{}={}", variable["name"], variable["value"]).replace('"', "")).collect()
}

#[test]
fn variables_are_removed_before_others_are_merged_and_keep_their_places() {
    let job = updated(job_of(&[""]), &["--set-env-vars=A=1,B=2,C=3"]).expect("a job");
    let job = updated(job, &["--update-env-vars=B=9", "--update-env-vars=D=4", "--remove-env-vars=A"]).expect("a job");
    assert_eq!(env_of(&job), ["B=9", "C=3", "D=4"]);
    let job = updated(job, &["--clear-env-vars", "--update-secrets=B=s:1"]).expect("a job");
    assert_eq!(env_of(&job), ["B=null"]);
}

#[test]
fn a_variable_of_the_other_kind_is_not_replaced() {
    let job = updated(job_of(&[""]), &["--set-secrets=A=s:1"]).expect("a job");
    let refused = updated(job.clone(), &["--update-env-vars=A=hunter2"]).expect_err("a secret");
    assert_eq!(refused, "--update-env-vars: A refers to a secret in the job; remove it first: --remove-secrets=A; ");
    let job = updated(job, &["--remove-secrets=A", "--update-env-vars=A=1"]).expect("removed first");
    assert_eq!(env_of(&job), ["A=1"]);
}

#[test]
fn flags_are_for_the_container_named_before_them() {
    let job = updated(job_of(&["a", "b"]), &["--tasks=2", "--container=b", "--image=x", "--container=c", "--image=y"]);
    let mut job = job.expect("a job");
    let images: Vec<_> = task(&mut job).containers.iter().map(|c| format!("{}:{}", c.name, c.image)).collect();
    assert_eq!(images, ["a:i", "b:x", "c:y"]);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let cases: [(&[&str], &[&str], &str); 8] = [
        (&["a", "b"], &["--cpu=2"], "--cpu: the job has 2 containers: a, b; say which before it: --container=NAME"),
        (&["a"], &["--container=z", "--cpu=2"], "container 'z' is not in the job, and a new one needs an image"),
        (&[""], &["--container=z"], "no flag about a container follows '--container=z'"),
        (&[""], &["--cpu=2", "--container=z", "--cpu=1"], "with --container, '--cpu' stands after the one it is for"),
        (&["a"], &["--container=a", "--cpu=2", "--container=a", "--cpu=2"], "named by more than one '--container'"),
        (&[""], &["--cpu=2", "--cpu=2"], "the argument '--cpu' cannot be used multiple times"),
        (&[""], &["--set-env-vars=A=1", "--update-env-vars=B=1"], "cannot be used with '--set-env-vars'"),
        (&[""], &["--remove-labels=a", "--clear-labels"], "'--clear-labels' cannot be used with '--remove-labels'"),
    ];
    for (containers, line, expected) in cases {
        let error = updated(job_of(containers), line).expect_err(expected);
        assert!(error.contains(expected), "{line:?}: {error}");
    }
}
