//! The machine by itself: events at given times, and what they lead to.

use std::time::Duration;

use super::*;
use crate::{
    emulator::{defaults, iam::Principal},
    name::Location,
    proto::{
        longrunning::Operation,
        run::v2::{
            Container, Execution, Job, TaskTemplate, condition::State, run_job_request::Overrides,
            task_template::Retries,
        },
    },
};

const EXIT: AttemptEnd = AttemptEnd::Exited(0);
const FAIL: AttemptEnd = AttemptEnd::Exited(1);

/// A machine with one job, and a clock that a test sets.
struct Bench {
    machine: Machine,
    job: JobName,
    now: SystemTime,
}

impl Bench {
    fn new(task_count: i32, parallelism: i32, retries: i32) -> Self {
        Self::seeded(7, task_count, parallelism, retries)
    }

    fn seeded(seed: u64, task_count: i32, parallelism: i32, retries: i32) -> Self {
        let location = Location::new("p", "r").expect("valid");
        let job = location.job("j").expect("valid");
        let task = TaskTemplate {
            containers: vec![Container { image: "image".to_owned(), ..Container::default() }],
            retries: Some(Retries::MaxRetries(retries)),
            timeout: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..TaskTemplate::default()
        };
        let template = ExecutionTemplate { task_count, parallelism, template: Some(task), ..Default::default() };
        let mut definition = Job { template: Some(template), ..Job::default() };
        defaults::fill(&mut definition, "p");
        let mut machine = Machine::new(Ids::seeded(seed), Iam::default(), Quota::default(), Startups::default());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let request = JobRequest {
            caller: Principal::Unchecked,
            name: job.clone(),
            definition,
            rest_only: None,
            missing_image: None,
            validate_only: false,
        };
        machine.create_job(request, now).expect("it is new");
        machine.take_effects();
        Self { machine, job, now }
    }

    fn run(&mut self) -> (ExecutionName, Operation) {
        let request = RunRequest {
            caller: Principal::Unchecked,
            job: self.job.clone(),
            overrides: None,
            delay: None,
            validate_only: false,
        };
        let operation = self.machine.run_job(&request, self.now).expect("the job is there");
        (self.machine.ledger().last().expect("it was started").execution.clone(), operation)
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.machine.tick(self.now);
    }

    /// Orders since the last call: `+task.attempt` to start, `-task.attempt` to stop.
    fn orders(&mut self) -> Vec<String> {
        let text = |sign, id: &AttemptId| format!("{sign}{}.{}", id.task_index, id.attempt);
        let orders = self.machine.take_effects().orders;
        let texts = orders.iter().map(|order| match order {
            Order::Start(launch) => text('+', &launch.id),
            Order::Stop(id) => text('-', id),
        });
        texts.collect()
    }

    fn started(&mut self, execution: &ExecutionName, task_index: u32, attempt: u32) {
        let id = AttemptId { execution: execution.clone(), task_index, attempt };
        self.machine.attempt_started(&id, self.now);
    }

    fn ended(&mut self, execution: &ExecutionName, task_index: u32, attempt: u32, ending: AttemptEnd) {
        let id = AttemptId { execution: execution.clone(), task_index, attempt };
        self.machine.attempt_ended(&id, ending, self.now);
    }

    fn execution(&self, name: &ExecutionName) -> Execution {
        self.machine.execution(name).expect("it is there")
    }

    /// Running, succeeded, failed, cancelled, retried.
    fn counts(&self, name: &ExecutionName) -> [i32; 5] {
        let all = self.execution(name);
        [all.running_count, all.succeeded_count, all.failed_count, all.cancelled_count, all.retried_count]
    }

    fn completed(&self, name: &ExecutionName) -> (State, String) {
        let all = self.execution(name).conditions;
        let completed = all.iter().find(|condition| condition.r#type == "Completed").expect("it is always there");
        (completed.state(), completed.message.clone())
    }
}

#[test]
fn tasks_start_in_order_and_never_more_than_the_parallelism() {
    let mut bench = Bench::new(4, 2, 0);
    let (name, _) = bench.run();
    assert_eq!(bench.orders(), ["+0.0", "+1.0"]);
    bench.ended(&name, 1, 0, EXIT);
    assert_eq!(bench.orders(), ["+2.0"]);
    bench.ended(&name, 0, 0, FAIL);
    assert_eq!(bench.orders(), ["+3.0"]);
    assert_eq!(bench.counts(&name), [2, 1, 1, 0, 0]);
}

#[test]
fn an_execution_is_done_only_when_its_last_task_is() {
    let mut bench = Bench::new(2, 0, 0);
    let (name, _) = bench.run();
    bench.ended(&name, 0, 0, FAIL);
    assert_eq!(bench.completed(&name).0, State::ConditionReconciling);
    assert!(bench.machine.take_effects().over.is_empty());
    bench.pass(5);
    bench.ended(&name, 1, 0, EXIT);
    assert_eq!(bench.completed(&name).0, State::ConditionFailed);
    assert_eq!(bench.machine.take_effects().over.len(), 1);
}

#[test]
fn the_first_failure_speaks_for_the_execution() {
    let mut bench = Bench::new(2, 0, 0);
    let (name, _) = bench.run();
    bench.ended(&name, 1, 0, AttemptEnd::Exited(5));
    bench.ended(&name, 0, 0, AttemptEnd::Exited(6));
    let text =
        format!("Task {}-task1 failed with exit code: 5 and message: The container exited with an error.", name.id());
    assert_eq!(bench.completed(&name), (State::ConditionFailed, text));
}

#[test]
fn a_failed_attempt_is_retried_at_once_and_counts_its_task_once() {
    let mut bench = Bench::new(1, 0, 2);
    let (name, _) = bench.run();
    bench.ended(&name, 0, 0, FAIL);
    bench.ended(&name, 0, 1, FAIL);
    assert_eq!(bench.orders(), ["+0.0", "+0.1", "+0.2"]);
    assert_eq!(bench.counts(&name), [1, 0, 0, 0, 1]);
    bench.ended(&name, 0, 2, FAIL);
    assert_eq!(bench.counts(&name), [0, 0, 1, 0, 1]);
}

#[test]
fn time_counts_from_the_start_of_each_attempt() {
    let mut bench = Bench::new(1, 0, 1);
    let (name, _) = bench.run();
    bench.pass(1000);
    bench.started(&name, 0, 0);
    assert_eq!(bench.machine.next_wake(), Some(bench.now + Duration::from_secs(60)));
    bench.pass(59);
    assert_eq!(bench.orders(), ["+0.0"]);
    bench.pass(1);
    assert_eq!((bench.orders(), bench.machine.next_wake()), (vec!["-0.0".to_owned()], None));
    bench.ended(&name, 0, 0, AttemptEnd::Signalled(15));
    bench.started(&name, 0, 1);
    assert_eq!(bench.machine.next_wake(), Some(bench.now + Duration::from_secs(60)));
}

#[test]
fn a_timed_out_attempt_failed_even_if_it_exits_well() {
    let mut bench = Bench::new(1, 0, 0);
    let (name, _) = bench.run();
    bench.started(&name, 0, 0);
    bench.pass(60);
    bench.ended(&name, 0, 0, EXIT);
    assert!(bench.completed(&name).1.ends_with("The configured timeout was reached."));
}

#[test]
fn a_cancel_stops_what_runs_and_nothing_starts_after_it() {
    let mut bench = Bench::new(4, 2, 3);
    let (name, _) = bench.run();
    bench.started(&name, 0, 0);
    bench.orders();
    bench.machine.cancel_execution(&name, false, bench.now).expect("it runs");
    assert_eq!(bench.orders(), ["-0.0", "-1.0"]);
    assert_eq!(bench.machine.next_wake(), None);
    // Its start was under way, and so was the other's failure.
    bench.started(&name, 1, 0);
    bench.ended(&name, 0, 0, FAIL);
    bench.ended(&name, 1, 0, EXIT);
    assert_eq!(bench.orders(), [""; 0]);
    assert_eq!(bench.counts(&name), [0, 0, 0, 4, 0]);
    assert_eq!(bench.completed(&name), (State::ConditionFailed, "Cancelled by user.".to_owned()));
}

#[test]
fn a_second_cancel_is_another_operation_for_the_same_end() {
    let mut bench = Bench::new(1, 0, 0);
    let (name, _) = bench.run();
    let first = bench.machine.cancel_execution(&name, false, bench.now).expect("it runs");
    let second = bench.machine.cancel_execution(&name, false, bench.now).expect("it still runs");
    assert_ne!(first.name, second.name);
    assert_eq!((bench.orders(), bench.execution(&name).generation), (vec!["+0.0".to_owned(), "-0.0".to_owned()], 2));
    bench.ended(&name, 0, 0, AttemptEnd::Signalled(15));
    assert_eq!(bench.machine.take_effects().over.len(), 3);
}

#[test]
fn a_deleted_execution_goes_with_its_last_attempt_and_its_operation_stays() {
    let mut bench = Bench::new(1, 0, 0);
    let (name, run) = bench.run();
    bench.machine.delete_execution(&name, false, bench.now).expect("it is there");
    assert!(bench.machine.execution(&name).is_ok());
    bench.ended(&name, 0, 0, AttemptEnd::Signalled(15));
    assert!(bench.machine.execution(&name).is_err());
    let run = bench.machine.operation(&run.name.parse().expect("a name")).expect("it stays");
    assert!(run.done && run.metadata.is_some());
}

#[test]
fn deleting_counts_as_one_change_whether_it_runs_or_not() {
    for finished in [false, true] {
        let mut bench = Bench::new(1, 0, 0);
        let (name, _) = bench.run();
        if finished {
            bench.ended(&name, 0, 0, EXIT);
        }
        let deletion = bench.machine.delete_execution(&name, false, bench.now).expect("it is there");
        let answer: Execution = deletion.metadata.expect("it has it").to_msg().expect("an execution");
        assert_eq!((answer.generation, answer.delete_time.is_some()), (2, true));
        assert_eq!(bench.machine.execution(&name).is_err(), finished);
        bench.ended(&name, 0, 0, AttemptEnd::Signalled(15));
        assert!(bench.machine.execution(&name).is_err());
    }
}

#[test]
fn a_late_report_of_an_attempt_that_is_over_changes_nothing() {
    let mut bench = Bench::new(1, 0, 1);
    let (name, _) = bench.run();
    bench.ended(&name, 0, 0, FAIL);
    bench.ended(&name, 0, 0, FAIL);
    bench.started(&name, 0, 0);
    assert_eq!(bench.counts(&name), [1, 0, 0, 0, 1]);
    bench.ended(&name, 0, 1, EXIT);
    bench.ended(&name, 0, 1, FAIL);
    bench.ended(&name, 9, 0, FAIL);
    assert_eq!(bench.counts(&name), [0, 1, 0, 0, 1]);
}

#[test]
fn a_job_goes_when_its_last_execution_does_and_takes_no_new_ones_meanwhile() {
    let mut bench = Bench::new(1, 0, 0);
    let (name, _) = bench.run();
    let deletion = bench.machine.delete_job(&bench.job.clone(), false, bench.now).expect("it is there");
    let deletion: OperationName = deletion.name.parse().expect("a name");
    let request = RunRequest {
        caller: Principal::Unchecked,
        job: bench.job.clone(),
        overrides: None,
        delay: None,
        validate_only: false,
    };
    assert!(bench.machine.run_job(&request, bench.now).is_err());
    assert!(!bench.machine.operation(&deletion).expect("it is there").done);
    bench.ended(&name, 0, 0, AttemptEnd::Signalled(15));
    assert!(bench.machine.job(&bench.job).is_err());
    assert!(bench.machine.operation(&deletion).expect("it stays").done);
}

/// Random events in random order: whatever happens, tasks are neither lost nor counted twice.
#[test]
fn every_task_ends_exactly_once_whatever_happens() {
    for seed in 0..200 {
        let history = random_history(seed);
        assert_eq!(history, random_history(seed), "seed {seed} is not repeatable");
    }
}

/// Plays one random history to its end, and checks it at every step; gives the executions as they ended.
fn random_history(seed: u64) -> Vec<Execution> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bench = Bench::seeded(seed, random.i32(1..8), random.i32(0..4), random.i32(0..3));
    let names: Vec<_> = (0..3).map(|_| bench.run().0).collect();
    let mut active = Vec::new();
    loop {
        for order in bench.machine.take_effects().orders {
            if let Order::Start(launch) = order {
                active.push(launch.id);
            }
        }
        for name in &names {
            let all = bench.execution(name);
            let running = active.iter().filter(|id: &&AttemptId| id.execution == *name).count();
            assert!(all.running_count <= all.parallelism, "seed {seed}: too many at a time");
            assert_eq!(running, all.running_count as usize, "seed {seed}: an attempt was lost");
        }
        if active.is_empty() {
            break;
        }
        let chosen = random.usize(..active.len());
        match random.u8(..20) {
            0 => _ = bench.machine.cancel_execution(&active[chosen].execution, false, bench.now),
            1..6 => bench.pass(random.u64(..50)),
            6..12 => bench.machine.attempt_started(&active[chosen], bench.now),
            _ => {
                let ending = [EXIT, FAIL, AttemptEnd::Signalled(9), AttemptEnd::NotStarted(String::new())];
                let ending = ending[random.usize(..4)].clone();
                bench.machine.attempt_ended(&active.swap_remove(chosen), ending, bench.now);
            }
        }
    }
    let all: Vec<_> = names.iter().map(|name| bench.execution(name)).collect();
    for execution in &all {
        let ended = execution.succeeded_count + execution.failed_count + execution.cancelled_count;
        assert_eq!((ended, execution.running_count), (execution.task_count, 0), "seed {seed}");
        assert!(execution.completion_time.is_some(), "seed {seed}");
    }
    assert_eq!(bench.machine.next_wake(), None, "seed {seed}: a deadline is left");
    all
}

#[test]
fn overrides_give_an_execution_its_own_template_and_others_share_the_jobs() {
    let mut bench = Bench::new(1, 0, 0);
    bench.run();
    bench.run();
    let overrides = Some(Overrides { task_count: 2, ..Overrides::default() });
    let request = RunRequest {
        caller: Principal::Unchecked,
        job: bench.job.clone(),
        overrides,
        delay: None,
        validate_only: false,
    };
    bench.machine.run_job(&request, bench.now).expect("valid");
    let orders = bench.machine.take_effects().orders;
    let templates: Vec<_> = orders
        .iter()
        .filter_map(|order| match order {
            Order::Start(launch) => Some(&launch.template),
            Order::Stop(_) => None,
        })
        .collect();
    assert!(Arc::ptr_eq(templates[0], templates[1]) && !Arc::ptr_eq(templates[1], templates[2]));
}
