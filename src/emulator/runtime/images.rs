//! Which image stands for which local command: the operator's allow-list, and the samples.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use crate::{
    emulator::EmulatorError,
    proto::run::v2::{Container, ExecutionTemplate, Job, TaskTemplate, task_template::Retries},
};

/// Where the sample images are said to be.
const SAMPLES: &str = "us-docker.pkg.dev/runjob/samples";

/// A sample job, and the command behind its image: programs of any Debian and any macOS.
struct SampleJob {
    id: &'static str,
    command: &'static [&'static str],
    max_retries: Option<i32>,
}

const SAMPLE_JOBS: [SampleJob; 5] = [
    SampleJob { id: "echo", command: &["/bin/echo"], max_retries: None },
    // Prints variables; unlike `env`, it never runs its arguments.
    SampleJob { id: "env", command: &["/usr/bin/printenv"], max_retries: None },
    SampleJob { id: "sleep", command: &["/bin/sh", "-c", "exec /bin/sleep \"${@:-1}\"", "sleep"], max_retries: None },
    SampleJob { id: "fail", command: &["/bin/sh", "-c", "exit \"${1:-1}\"", "fail"], max_retries: Some(0) },
    SampleJob {
        id: "flaky",
        command: &[
            "/bin/sh",
            "-c",
            "if [ \"$CLOUD_RUN_TASK_ATTEMPT\" -ge 1 ]; then echo 'works this time'; else echo 'fails the first time' >&2; exit 1; fi",
            "flaky",
        ],
        max_retries: None,
    },
];

#[derive(Clone, Debug, Default)]
pub(crate) struct Images(BTreeMap<String, Vec<String>>);

impl Images {
    /// The five sample images.
    pub(crate) fn samples() -> Self {
        let command = |sample: &SampleJob| sample.command.iter().map(|part| (*part).to_owned()).collect();
        Self(SAMPLE_JOBS.iter().map(|sample| (sample_image(sample.id), command(sample))).collect())
    }

    /// Maps an image; a later mapping of the same image wins.
    pub(crate) fn insert(&mut self, image: String, command: Vec<String>) {
        self.0.insert(image, command);
    }

    /// Fixes the program of every command to the file it is now, so that no job chooses another one through its PATH.
    pub(crate) fn resolve(&mut self) -> Result<(), EmulatorError> {
        for (image, command) in &mut self.0 {
            let program = command.first_mut().ok_or_else(|| EmulatorError::empty_command(image))?;
            let path = find(program).ok_or_else(|| EmulatorError::no_program(image, program))?;
            *program = path.to_string_lossy().into_owned();
        }
        Ok(())
    }

    /// The command of an image. A mapping without tag or digest stands for all of them.
    pub(crate) fn command(&self, image: &str) -> Option<&[String]> {
        let found = self.0.get(image).or_else(|| self.0.get(without_version(image)))?;
        Some(found)
    }
}

/// The sample jobs by id, as a caller would create them.
pub(crate) fn sample_jobs() -> impl Iterator<Item = (&'static str, Job)> {
    SAMPLE_JOBS.iter().map(|sample| {
        let container = Container { image: sample_image(sample.id), ..Container::default() };
        let task = TaskTemplate {
            containers: vec![container],
            retries: sample.max_retries.map(Retries::MaxRetries),
            ..TaskTemplate::default()
        };
        let template = ExecutionTemplate { template: Some(task), ..ExecutionTemplate::default() };
        (sample.id, Job { template: Some(template), ..Job::default() })
    })
}

fn sample_image(id: &str) -> String {
    format!("{SAMPLES}/{id}")
}

/// `host:5000/name:tag@sha256:...` without tag and digest.
fn without_version(image: &str) -> &str {
    let untied = image.split_once('@').map_or(image, |(name, _)| name);
    match untied.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => untied,
    }
}

/// The file of a program: itself if it is a path, else the first on the PATH of this process.
fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Path::new(program).is_file().then(|| std::path::absolute(program).ok())?;
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_without_a_version_stands_for_all_versions() {
        let mut images = Images::default();
        images.insert("host:5000/a".to_owned(), vec!["any".to_owned()]);
        images.insert("host:5000/a:2".to_owned(), vec!["two".to_owned()]);
        let first = |image| images.command(image).map(|command| command[0].as_str());
        assert_eq!(first("host:5000/a"), Some("any"));
        assert_eq!(first("host:5000/a:1"), Some("any"));
        assert_eq!(first("host:5000/a:2"), Some("two"));
        assert_eq!(first("host:5000/a@sha256:0123"), Some("any"));
        assert_eq!(first("host:5000/b"), None);
        assert_eq!(first("host"), None);
    }

    #[test]
    fn the_samples_are_programs_of_this_machine() {
        Images::samples().resolve().expect("all of them are there");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let mut images = Images::default();
        images.insert("a".to_owned(), vec!["no-such-program-anywhere".to_owned()]);
        let error = images.resolve().expect_err("nobody has it").to_string();
        assert!(error.contains("no-such-program-anywhere"), "{error}");
    }
}
