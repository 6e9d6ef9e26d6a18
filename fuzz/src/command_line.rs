//! Files that the program reads. It runs whole, up to the first call, which nobody answers.

use std::{ffi::OsString, fs, path::Path, process::ExitCode};

/// An `--env-file`.
pub fn env_file(data: &[u8]) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("env");
    fs::write(&file, data).expect("room for it");
    let flag = format!("--env-file={}", file.display());
    // No region: what the file says is read first, and then there is nothing to call.
    run(&["execute", "echo", "--project=acme", &flag], directory.path());
}

/// A gcloud configuration: what comes before a NUL is `active_config`, and the rest is the configuration.
pub fn gcloud(data: &[u8]) {
    let directory = tempfile::tempdir().expect("a directory");
    let (active, configuration) = match data.iter().position(|byte| *byte == 0) {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (&b"default"[..], data),
    };
    let configurations = directory.path().join("configurations");
    fs::create_dir(&configurations).expect("room for it");
    fs::write(directory.path().join("active_config"), active).expect("room for it");
    fs::write(configurations.join("config_default"), configuration).expect("room for it");
    run(&["describe", "echo/echo"], directory.path());
}

fn run(arguments: &[&str], directory: &Path) {
    let line = ["runjob"].iter().chain(arguments).map(OsString::from);
    // A variable that is no address: the last thing to be wrong.
    let variables = [("CLOUDSDK_CONFIG", directory), ("HOME", directory), ("XDG_STATE_HOME", directory)]
        .map(|(name, value)| (OsString::from(name), value.as_os_str().to_owned()));
    let status = runjob::cli::run(line, variables);
    assert_ne!(format!("{status:?}"), format!("{:?}", ExitCode::SUCCESS), "nothing can have worked");
}
