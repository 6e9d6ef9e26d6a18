//! The program on terminals of 80, 40 and 220 columns: what is on the screen while it waits and when it has ended.

mod screen;

use std::time::Duration;

use runjob::emulator::{Clock, Emulator, Rpc, Runtime, Simulated, Simulation};

use self::screen::{Narrowed, Terminal};
use super::{JOBS, place::Place};

const WIDTHS: [u16; 3] = [80, 40, 220];

const MINUTE: Duration = Duration::from_secs(60);

/// An emulator whose time stands still: the first task of an execution takes a minute, the next two, and so on.
async fn place() -> Place {
    let tasks = Simulation::new(|attempt| match attempt.execution.job().id() {
        "fail" => Simulated::exits(3).after(MINUTE * (attempt.task_index + 1)),
        _ => Simulated::exits(0).after(MINUTE * (attempt.task_index + 1)),
    });
    Place::of(Emulator::builder().clock(Clock::Virtual).seed(7).runtime(Runtime::Simulated(tasks))).await
}

fn terminal(place: &Place, line: &str, columns: u16) -> Terminal {
    Terminal::start(&place.command(line), columns)
}

/// The names of what was started, in order.
fn executions(place: &Place) -> Vec<String> {
    place.emulator.ledger().iter().map(|start| start.execution.to_string()).collect()
}

/// What a terminal with so many columns makes of these lines.
fn rows(lines: &[&str], columns: u16) -> String {
    let rows = lines.iter().flat_map(|line| {
        let cells: Vec<char> = line.chars().collect();
        cells.chunks(columns.into()).map(|row| row.iter().collect::<String>().trim_end().to_owned()).collect::<Vec<_>>()
    });
    rows.collect::<Vec<_>>().join("\n")
}

/// The row that shows how far a wait is, without the time that it has taken.
fn progress(screen: &str) -> Option<&str> {
    Some(screen.lines().find(|line| line.starts_with('['))?.split_once("] ")?.1)
}

/// The note that is written first.
fn note(place: &Place) -> String {
    format!("note: RUN_EMULATOR_HOST is set: calling the emulator at {}", place.address())
}

/// What is printed of an execution that is no longer waited for.
fn left_running(name: &str) -> [String; 3] {
    [
        name.to_owned(),
        format!("note: stopped waiting; {name} runs on"),
        format!("note: go on with `runjob wait {name}`, or end it with `runjob cancel {name}`"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_leaves_nothing_on_the_screen_but_its_result() {
    for columns in WIDTHS {
        let place = place().await;
        let terminal = terminal(&place, "execute echo --tasks=2 --wait", columns);
        let shown = terminal.shows("running, 0 of 2");
        let id = executions(&place)[0].rsplit('/').next().expect("an id").to_owned();
        let full = format!("{id}: running, 0 of 2 tasks done (Ctrl-D detaches)");
        let most = usize::from(columns) - 1 - "[0s] ".len();
        let line = progress(&shown).expect("a line");
        assert!(full.starts_with(line) && line.len() >= full.len().min(most - 1), "{shown}");
        place.emulator.clock().advance(MINUTE);
        terminal.shows("running, 1 of");
        place.emulator.clock().advance(MINUTE);
        let verdict = format!("SUCCEEDED {} (2 tasks, 2 succeeded)", executions(&place)[0]);
        assert_eq!(terminal.end(), (Some(0), rows(&[&note(&place), &verdict], columns)));
    }
}

/// What the program prints to a pipe, as lines.
fn piped(place: &Place, line: &str, columns: u16) -> Vec<String> {
    let output = place.command(line).env("COLUMNS", columns.to_string()).output().expect("the program runs");
    String::from_utf8(output.stdout).expect("Unicode").lines().map(str::to_owned).collect()
}

/// The emulator's note and these lines, as a terminal shows them.
fn noted(place: &Place, lines: &[String], columns: u16) -> String {
    let note = note(place);
    let lines: Vec<_> = [note.as_str()].into_iter().chain(lines.iter().map(String::as_str)).collect();
    rows(&lines, columns)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_is_made_wider_or_narrower_keeps_no_remnant() {
    for (from, to) in [(80, 40), (40, 220), (220, 40), (220, 80)] {
        for narrowed in [Narrowed::CutsOff, Narrowed::Reflows] {
            let place = place().await;
            let terminal = terminal(&place, "execute echo --tasks=2 --wait", from);
            terminal.shows("running, 0 of 2");
            let cut: String = note(&place).chars().take(to.into()).collect();
            let cut = cut.trim_end().to_owned();
            let top = match narrowed {
                Narrowed::CutsOff if to < from => cut,
                Narrowed::CutsOff => rows(&[&note(&place)], from),
                Narrowed::Reflows => rows(&[&note(&place)], to),
            };
            terminal.resize(to, narrowed);
            let redrawn = |screen: &str| {
                let rest = screen.strip_prefix(&*top).and_then(|rest| rest.strip_prefix('\n'));
                rest.is_some_and(|rest| progress(rest).is_some() && rest.lines().count() == 1 && rest.len() < to.into())
            };
            terminal.until(&format!("the line in {to} columns"), redrawn);
            place.emulator.clock().advance(2 * MINUTE);
            let verdict = format!("SUCCEEDED {} (2 tasks, 2 succeeded)", executions(&place)[0]);
            assert_eq!(
                terminal.end(),
                (Some(0), format!("{top}\n{}", rows(&[&verdict], to))),
                "{from} {to} {narrowed:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_no_progress_and_no_mark_of_itself() {
    for columns in WIDTHS {
        let place = place().await;
        let terminal = terminal(&place, "execute echo --wait", columns);
        terminal.shows("running, 0 of 1");
        terminal.types("\u{3}");
        let name = executions(&place).remove(0);
        assert_eq!(terminal.end_restored(), (Some(130), noted(&place, &left_running(&name), columns)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_executions_each_verdict_stays_above_the_progress() {
    for columns in WIDTHS {
        let place = place().await;
        piped(&place, "execute echo", columns);
        piped(&place, "execute fail --tasks=2", columns);
        let [a, b] = executions(&place).try_into().expect("two");
        let terminal = terminal(&place, &format!("wait {a} {b}"), columns);
        let hinted = "2 executions: waiting (Ctrl-D detaches)";
        let cut = &hinted[..hinted.len().min(usize::from(columns) - 1 - "[0s] ".len())];
        assert_eq!(progress(&terminal.shows(cut)), Some(cut));
        place.emulator.clock().advance(MINUTE);
        let first = piped(&place, &format!("wait {a}"), columns);
        let shown = terminal.shows("2 executions: 1 ended");
        assert!(shown.starts_with(&noted(&place, &first, columns)), "{shown}");
        place.emulator.clock().advance(MINUTE);
        let second = piped(&place, &format!("wait {b}"), columns);
        assert_eq!(first, [format!("SUCCEEDED {a} (1 task, 1 succeeded)")]);
        assert_eq!(second.last(), Some(&format!("FAILED {b} (2 tasks, 2 failed)")));
        assert_eq!(terminal.end(), (Some(1), noted(&place, &[first, second].concat(), columns)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_is_as_wide_as_the_terminal() {
    for columns in WIDTHS {
        let place = place().await;
        piped(&place, "execute echo --tasks=3", columns);
        place.emulator.clock().advance(3 * MINUTE);
        let line = format!("executions describe {} --timeline", executions(&place)[0]);
        let terminal = terminal(&place, &line, columns);
        let lines = piped(&place, &line, columns);
        let (status, screen) = terminal.end();
        assert_eq!((status, &screen), (Some(0), &noted(&place, &lines, columns)));
        // A third, two thirds and all of the time that there is.
        let cells = usize::from(columns) - "task  ".len() - "  succeeded".len();
        let task = |task: usize, filled: usize| format!("   {task}  {:cells$}  succeeded", "#".repeat(filled));
        let drawn = [
            format!("task  0s{:>rest$}", "3m0s", rest = cells - 2),
            task(0, cells / 3 + 1),
            task(1, cells * 2 / 3 + 1),
            task(2, cells),
        ];
        assert!(screen.ends_with(&format!("\n{}", drawn.join("\n"))), "{screen}\n{drawn:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_reads_the_answer_that_is_typed() {
    for columns in WIDTHS {
        let place = place().await;
        let question = format!("Delete {JOBS}/echo and its executions? Type y to go on.");
        for (answer, status, lines) in [
            (
                "n",
                130,
                vec!["error: nothing was deleted".to_owned(), "hint: --quiet deletes without asking".to_owned()],
            ),
            ("y", 0, vec![format!("{JOBS}/echo")]),
        ] {
            let terminal = terminal(&place, "jobs delete echo", columns);
            terminal.until("the question", |screen| screen.ends_with(&rows(&[&question], columns)));
            terminal.types(&format!("{answer}\r"));
            let lines = [vec![question.clone(), answer.to_owned()], lines].concat();
            assert_eq!(terminal.end_restored(), (Some(status), noted(&place, &lines, columns)));
        }
        assert_eq!(place.emulator.calls(Rpc::DeleteJob), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_wider_than_the_terminal_is_a_list_of_records() {
    let place = place().await;
    for columns in WIDTHS {
        let lines: &[&str] = match columns {
            40 => &[
                "JOB         flaky",
                "STATE       ready",
                "EXECUTIONS  0",
                "LATEST      -",
                "CREATED     2026-01-01T00:00:00Z",
                " ",
                "JOB         fail",
                "STATE       ready",
                "EXECUTIONS  0",
                "LATEST      -",
                "CREATED     2026-01-01T00:00:00Z",
            ],
            _ => &[
                "JOB    STATE  EXECUTIONS  LATEST  CREATED",
                "flaky  ready  0           -       2026-01-01T00:00:00Z",
                "fail   ready  0           -       2026-01-01T00:00:00Z",
            ],
        };
        let note = note(&place);
        let expected = [&[note.as_str()], lines].concat();
        assert_eq!(terminal(&place, "jobs list --limit=2", columns).end(), (Some(0), rows(&expected, columns)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_detaches_and_leaves_the_terminal_and_what_was_typed_ahead_alone() {
    for columns in WIDTHS {
        let place = place().await;
        let terminal = terminal(&place, "execute echo --wait --cancel-on-interrupt", columns);
        terminal.shows("running, 0 of 1");
        assert!(terminal.is_as_it_was(), "a program that is killed can put nothing back");
        terminal.types("\u{4}");
        let name = executions(&place).remove(0);
        assert_eq!(terminal.end_restored(), (Some(5), noted(&place, &left_running(&name), columns)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_detaches_from_several_executions_and_is_no_line_typed_ahead() {
    let place = place().await;
    piped(&place, "execute echo", 220);
    piped(&place, "execute fail", 220);
    let names = executions(&place).join(" ");
    let waiting = terminal(&place, &format!("wait {names}"), 220);
    waiting.shows("2 executions: waiting (Ctrl-D detaches)");
    waiting.types("done\r");
    place.emulator.clock().advance(MINUTE);
    let (status, screen) = waiting.end_typed_ahead("done\n");
    assert_eq!((status, screen.contains("stopped waiting")), (Some(1), false), "{screen}");

    piped(&place, "execute echo", 220);
    piped(&place, "execute fail", 220);
    let names = executions(&place)[2..].join(" ");
    let waiting = terminal(&place, &format!("wait {names}"), 220);
    waiting.shows("2 executions: waiting");
    waiting.types("\u{4}");
    let ended = waiting.end();
    let go_on = format!("note: stopped waiting; go on with `runjob wait {names}`");
    assert!(ended.0 == Some(5) && ended.1.ends_with(&rows(&[&go_on], 220)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_drawn_and_no_key_is_heard_where_that_is_not_wanted() {
    let place = place().await;
    let terminal = terminal(&place, "execute echo --wait --quiet", 80);
    while place.emulator.ledger().is_empty() {
        tokio::task::yield_now().await;
    }
    terminal.types("\u{4}");
    place.emulator.clock().advance(MINUTE);
    let verdict = format!("SUCCEEDED {} (1 task, 1 succeeded)", executions(&place)[0]);
    assert_eq!(terminal.end(), (Some(0), rows(&[&verdict], 80)));
}
