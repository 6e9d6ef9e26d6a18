//! The sessions in README.md and docs/, run as they stand: each `console` block is a shell script and what it prints.

use std::{fs, path::Path, process::Command};

use super::{Server, without_suffixes};

#[test]
fn the_sessions_of_the_readme_print_what_it_says() {
    follow("README.md", 2);
}

#[test]
fn the_sessions_of_the_emulators_page_print_what_it_says() {
    follow("docs/emulator.md", 1);
}

#[test]
fn the_sessions_of_the_page_about_reliability_print_what_it_says() {
    follow("docs/reliability.md", 1);
}

#[test]
fn the_sessions_of_the_page_about_scripts_print_what_it_says() {
    follow("docs/scripts.md", 2);
}

/// Runs the sessions of a page, of which there are at least `least`.
fn follow(page: &str, least: usize) {
    let blocks = sessions(page);
    assert!(blocks.len() >= least, "sessions are found");
    let server = Server::start();
    for block in blocks {
        let (script, expected) = split(&block);
        // The only tool of the sessions that is not on every machine with Rust; `.ci/run` has it.
        if script.contains("curl ") && !on_this_machine("curl") {
            eprintln!("left out, there is no curl: {script}");
            continue;
        }
        let printed = sh(&script, &server);
        assert_eq!(lines(&printed), lines(&expected), "{script}");
    }
}

fn on_this_machine(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|ran| ran.status.success())
}

/// The `console` blocks of a page.
fn sessions(page: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(page).expect("the page is there");
    text.split("```console\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned())).collect()
}

/// What is typed, and what is printed.
fn split(block: &str) -> (String, String) {
    let (mut script, mut printed) = (String::new(), String::new());
    for line in block.lines() {
        let (text, line) = match line.strip_prefix("$ ") {
            Some(command) => (&mut script, command),
            None => (&mut printed, line),
        };
        text.push_str(line);
        text.push('\n');
    }
    (script, printed)
}

/// The lines to compare: without the random parts, without the fractions of seconds that a machine took, and without the
/// space that fills a column.
fn lines(text: &str) -> Vec<String> {
    without_suffixes(text).lines().map(|line| without_fractions(line).trim_end().to_owned()).collect()
}

/// The line with each length of under a minute that has a fraction as `N.Ns`.
fn without_fractions(line: &str) -> String {
    let is_length = |word: &str| {
        let number = word.trim_end_matches([',', ')']).strip_suffix('s');
        number.is_some_and(|number| number.contains('.') && number.parse::<f64>().is_ok())
    };
    let words = line.split(' ').map(|word| if is_length(word) { "N.Ns" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// What the script prints on stdout, with the program on its path and an emulator to talk to.
fn sh(script: &str, server: &Server) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_runjob"));
    let folder = program.parent().expect("a program has a folder").display();
    let output = Command::new("/bin/sh")
        .args(["-c", script])
        .env_clear()
        .env("NO_GCE_CHECK", "true")
        .env("PATH", format!("{folder}:/usr/bin:/bin"))
        .envs(server.variable.split_once('='))
        .output()
        .expect("a shell");
    String::from_utf8(output.stdout).expect("Unicode")
}
