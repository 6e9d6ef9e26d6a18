//! Help, completions, manual pages, colours.

use std::{
    io::Read as _,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{Ran, Server, pty::Pty, ran, runjob};

#[test]
fn help_is_a_command_and_a_flag_with_examples_and_variables() {
    for (command, flag) in
        [("help jobs list", "jobs list --help"), ("help", "--help"), ("jobs help list", "jobs list --help")]
    {
        let help = ran(command);
        assert_eq!((help.status, help.stderr.as_str()), (0, ""), "{help:#?}");
        assert_eq!(help, ran(flag), "{command}");
    }
    let jobs = ran("help jobs list").stdout;
    assert!(jobs.contains("Examples:\n  runjob jobs list --filter=failed --format=json\n"), "{jobs}");
    let help = ran("help").stdout;
    for variable in ["RUN_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT", "HTTPS_PROXY", "XDG_STATE_HOME", "NO_COLOR"] {
        assert!(help.contains(variable), "{variable}: {help}");
    }
}

#[test]
fn a_script_for_each_shell_asks_the_program() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = ran(&format!("completions {shell}"));
        assert_eq!((script.status, script.stderr.as_str()), (0, ""), "{script:#?}");
        assert!(script.stdout.contains("RUNJOB_COMPLETE") && !script.stdout.contains('\u{fffd}'), "{script:#?}");
    }
    assert_eq!(ran("completions tcsh").status, 2);
}

/// What bash offers for the last of these words, after it has read the script.
fn offered(line: &str, variables: &[(&str, &str)]) -> Ran {
    let words = line.split(' ').map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let script = format!(
        "source <(runjob completions bash); COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
         _clap_complete_runjob runjob \"${{COMP_WORDS[COMP_CWORD]}}\" x; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let folder = Path::new(env!("CARGO_BIN_EXE_runjob")).parent().expect("a folder").display();
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", &script]).env_clear().env("NO_GCE_CHECK", "true").stdin(Stdio::null());
    bash.env("PATH", format!("{folder}:/usr/bin:/bin")).envs(variables.iter().copied());
    Ran::of(bash)
}

#[test]
fn bash_completes_commands_flags_and_names() {
    let server = Server::start();
    assert_eq!(server.ran("execute echo --exactly-once=nightly --wait").status, 0);
    let emulator = [("RUN_EMULATOR_HOST", server.address())];
    let cases = [
        ("runjob exe", "execute\nexecutions\n"),
        ("runjob jobs describe e", "echo\nenv\n"),
        ("runjob execute --wait fl", "flaky\n"),
        ("runjob wait echo-", "echo-nightly\n"),
        ("runjob tasks list --execution echo-", "echo-nightly\n"),
        ("runjob tasks describe echo-nightly-t", "echo-nightly-task0\n"),
        ("runjob tasks describe echo-", "\n"),
        ("runjob jobs list --format y", "yaml\n"),
        ("runjob --project other jobs describe e", "\n"),
        ("runjob jobs create e", "\n"),
    ];
    for (line, expected) in cases {
        let offered = offered(line, &emulator);
        assert_eq!((offered.stdout.as_str(), offered.stderr.as_str()), (expected, ""), "{line}");
    }
    let operations = server.ran("operations list --format=json").json();
    let name = operations[0]["name"].as_str().and_then(|name| name.rsplit('/').next()).expect("an operation");
    let offered = offered(&format!("runjob operations describe {}", &name[..8]), &emulator);
    assert_eq!((offered.stdout, offered.stderr), (format!("{name}\n"), String::new()));
}

#[test]
fn completion_is_silent_and_quick_where_nobody_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address").to_string();
    for variables in [&[("RUN_EMULATOR_HOST", address.as_str())][..], &[("RUN_EMULATOR_HOST", "127.0.0.1:1")], &[]] {
        let mut command = runjob("");
        command.args(["--", "runjob", "jobs", "describe", "e"]).envs(variables.iter().copied());
        let began = Instant::now();
        command.env("RUNJOB_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "3");
        let answered = Ran::of(command);
        assert!(began.elapsed() < Duration::from_secs(5), "a second is what the service has");
        assert_eq!((answered.status, answered.stdout.as_str(), answered.stderr.as_str()), (0, "", ""), "{variables:?}");
    }
}

#[test]
fn manual_pages_are_printed_and_written() {
    let page = ran("man");
    assert_eq!((page.status, page.stderr.as_str()), (0, ""), "{page:#?}");
    assert!(page.stdout.contains(".TH runjob 1") && page.stdout.contains("RUN_EMULATOR_HOST"), "{page:#?}");
    let directory = tempfile::tempdir().expect("a directory");
    let pages = directory.path().join("man1");
    let mut command = runjob("man --quiet");
    command.arg(&pages);
    let written = Ran::of(command);
    assert_eq!((written.status, written.stdout.as_str(), written.stderr.as_str()), (0, "", ""), "{written:#?}");
    for name in ["runjob.1", "runjob-execute.1", "runjob-jobs-list.1", "runjob-executions-tasks-list.1"] {
        assert!(pages.join(name).is_file(), "{name}");
    }
    let list = std::fs::read_to_string(pages.join("runjob-jobs-list.1")).expect("a page");
    assert!(list.contains("sort\\-by") && list.contains("Examples:"), "{list}");
    let refused = ran("man /proc/none");
    assert!(refused.status == 2 && refused.stderr.starts_with("error: /proc/none: "), "{refused:#?}");
}

/// What the program prints for its help on a terminal.
fn on_a_terminal(mut command: Command) -> String {
    let Pty { mut master, slave, .. } = Pty::open();
    let mut child = command.stdout(slave).stderr(Stdio::null()).spawn().expect("the program starts");
    drop(command);
    let mut shown = Vec::new();
    // The end is an error.
    _ = master.read_to_end(&mut shown);
    child.wait().expect("the program ends");
    String::from_utf8(shown).expect("Unicode")
}

#[test]
fn colours_are_for_terminals_and_not_where_nobody_wants_them() {
    let help = || {
        let mut command = runjob("execute --help");
        command.env("TERM", "xterm-256color");
        command
    };
    assert!(on_a_terminal(help()).contains("\u{1b}["), "a terminal");
    let plain = |variable: &str, value: &str| {
        let mut command = help();
        command.env(variable, value);
        on_a_terminal(command)
    };
    for (variable, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let shown = plain(variable, value);
        assert!(shown.contains("Examples:") && !shown.contains('\u{1b}'), "{variable}={value}: {shown}");
    }
    assert!(!Ran::of(help()).stdout.contains('\u{1b}'), "no terminal");
}
