//! Seed files: what an emulator has from the start, as YAML or JSON.
//!
//! Knows the file and how to say what is wrong with it; what a job may be is the service's business, as everywhere.

use std::{collections::BTreeMap, fmt, fs::File, io::Read as _, path::Path, sync::LazyLock};

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_path_to_error::Track;

use crate::{
    emulator::{EmulatorError, Quota, Startup, engine::Engine, iam::Principal, service},
    name::Location,
    proto::{DESCRIPTORS, run::v2::Job},
};

/// Larger files are refused before they are read.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

static JOB: LazyLock<Option<MessageDescriptor>> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).ok()?.get_message_by_name("google.cloud.run.v2.Job"));

/// What a seed file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Seed {
    /// Where its jobs are, unless the emulator's own place is meant.
    pub(crate) project: Option<String>,
    pub(crate) region: Option<String>,
    /// The local command that an image stands for.
    pub(crate) images: BTreeMap<String, Vec<String>>,
    /// Jobs by id, as they would be created.
    pub(crate) jobs: BTreeMap<String, SeedJob>,
    /// Callers by bearer token. Without any, every caller may do everything.
    pub(crate) callers: BTreeMap<String, SeedCaller>,
    pub(crate) quotas: Option<Quota>,
    /// How long the executions of a job take to start, by its id.
    #[serde(deserialize_with = "startups")]
    pub(crate) startup: BTreeMap<String, Startup>,
}

/// A caller, and the roles or permissions that it has everywhere.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedCaller {
    pub(crate) member: String,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
}

/// A `google.cloud.run.v2.Job` in canonical JSON.
#[derive(Debug)]
pub(crate) struct SeedJob(pub(crate) Job);

impl<'de> Deserialize<'de> for SeedJob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let message = JOB.clone().ok_or_else(|| D::Error::custom("the descriptors are not whole"))?;
        let job = DynamicMessage::deserialize(message, deserializer)?;
        job.transcode_to().map(Self).map_err(D::Error::custom)
    }
}

fn startups<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Startup>, D::Error> {
    let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
    let read = |(job, text): (String, String)| Ok((job, text.parse().map_err(D::Error::custom)?));
    texts.into_iter().map(read).collect()
}

impl Seed {
    pub(crate) fn read(path: &Path) -> Result<Self, EmulatorError> {
        let mut text = String::new();
        let file = File::open(path).map_err(|error| EmulatorError::seed(path, error))?;
        file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| EmulatorError::seed(path, error))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(EmulatorError::seed(path, "it is larger than 4 MiB"));
        }
        Self::parse(&text).map_err(|reason| EmulatorError::seed(path, reason))
    }

    /// Adds the jobs that are not there yet; says what is wrong with the first that cannot be.
    pub(crate) fn add_jobs(self, engine: &Engine, location: &Location) -> Result<(), String> {
        let project = self.project.unwrap_or_else(|| location.project().to_owned());
        let region = self.region.unwrap_or_else(|| location.region().to_owned());
        let location = Location::new(project, region).map_err(|error| error.to_string())?;
        for (id, SeedJob(job)) in self.jobs {
            let wrong = |reason: &dyn fmt::Display| format!("jobs.{id}: {reason}");
            let name = location.job(id.as_str()).map_err(|error| wrong(&error))?;
            if engine.read(|machine| machine.job(&name)).is_err() {
                let request = service::define(engine, Principal::Unchecked, name, (job, None), false)
                    .map_err(|refusal| wrong(&refusal))?;
                engine.apply(|machine, now| machine.create_job(request, now)).map_err(|refusal| wrong(&refusal))?;
            }
        }
        Ok(())
    }

    fn parse(text: &str) -> Result<Self, String> {
        // An alias repeats what was written once, without end if it is made to; a seed file can do without.
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_aliases: 0, max_anchors: 0, max_documents: 1, max_nodes: 100_000 },
            with_snippet: false,
        };
        let mut track = Track::new();
        let parsed = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
            Self::deserialize(serde_path_to_error::Deserializer::new(deserializer, &mut track))
        });
        parsed.map_err(|error| match track.path().to_string().as_str() {
            "." | "?" => error.to_string(),
            path => format!("{path}: {error}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
project: acme
region: asia-northeast1
images:
  us-docker.pkg.dev/acme/tools/screenshot: [/bin/echo, shot]
jobs:
  screenshot:
    template:
      taskCount: 2
      template:
        containers:
        - image: us-docker.pkg.dev/acme/tools/screenshot
          args: [https://example.com]
        timeout: 300s
";

    #[test]
    fn a_job_is_what_canonical_json_says_in_yaml_or_in_json() {
        let seed = Seed::parse(GOOD).expect("it is good");
        let SeedJob(job) = &seed.jobs["screenshot"];
        let template = job.template.as_ref().expect("it has one");
        let task = template.template.as_ref().expect("it has one");
        assert_eq!((template.task_count, task.timeout.map(|limit| limit.seconds)), (2, Some(300)));
        assert_eq!(task.containers[0].args, ["https://example.com"]);
        let json = r#"{"jobs": {"j": {"template": {"taskCount": 3}}}}"#;
        let SeedJob(job) = &Seed::parse(json).expect("it is good").jobs["j"];
        assert_eq!(job.template.as_ref().map(|template| template.task_count), Some(3));
    }

    #[test]
    fn an_error_names_line_and_field() {
        let cases = [
            ("project: acme\nimagez: {}\n", ["imagez", "line 2"]),
            ("images:\n  a: 3\n", ["images.a", "line 2"]),
            ("jobs:\n  j:\n    template:\n      taskCount: many\n", ["jobs.j.template.taskCount", "line 4"]),
            ("jobs:\n  j:\n    template:\n      tusks: 1\n", ["jobs.j.template", "line 4"]),
            ("project: a\nproject: b\n", ["project", "line 2"]),
            ("jobs:\n  j: {}\n  j: {}\n", ["j", "line 3"]),
            ("images: &a {}\njobs: *a\n", ["", "line"]),
            ("project: a\n---\nproject: b\n", ["", "line"]),
            ("project: \"\\x\"\n", ["", "line 1"]),
        ];
        for (text, expected) in cases {
            let error = Seed::parse(text).expect_err(text);
            assert!(expected.iter().all(|part| error.contains(part)), "{text}: {error}");
        }
    }

    #[test]
    fn a_bomb_of_aliases_or_depth_is_refused_at_once() {
        let aliases: String = (1..30).map(|n| format!("a{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1)).collect();
        Seed::parse(&format!("a0: &a0 x\n{aliases}")).expect_err("it would be a gigabyte");
        Seed::parse(&"[".repeat(100_000)).expect_err("it is too deep");
        Seed::parse(&"{a: ".repeat(100_000)).expect_err("it is too deep");
    }
}
