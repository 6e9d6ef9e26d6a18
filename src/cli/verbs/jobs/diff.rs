//! `runjob jobs diff`: what `jobs update` with the same flags, or `jobs replace` with a file, would change.

use std::path::PathBuf;

use serde_json::Value;

use crate::{
    JobName, Location,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{
            global::Format,
            job_fields::{JobChanges, JobFlags, UPDATE},
            job_file::JobFile,
            show_env::ShowEnv,
        },
        printer::Printer,
        session::Session,
        show::{
            changes::{self, Difference},
            json,
            mask::MASK,
        },
        verb::Verb,
    },
};

/// `runjob jobs diff`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Diff {
    /// Job that would be changed: its id or its full name. With --file the file says which.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    job: Option<String>,
    /// File with a job, as `jobs replace` takes it.
    #[arg(long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    fields: JobFlags<UPDATE>,
    #[command(flatten)]
    env: ShowEnv,
}

/// What would be changed about which job.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    job: JobName,
    wanted: Wanted,
    show_env: bool,
}

/// What the job is compared with.
#[derive(Debug)]
enum Wanted {
    Changed(JobChanges),
    Replaced(Box<JobFile>),
}

impl Verb for Diff {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let show_env = self.env.show_env;
        match self.file {
            Some(_) if !self.fields.changes()?.is_empty() => {
                Err(Failure::usage("--file and flags that change fields are both given").hint("give one of them"))
            }
            Some(path) => {
                let file = JobFile::read(&path)?;
                Ok(Meaning { job: context.job(&file.name)?, wanted: Wanted::Replaced(Box::new(file)), show_env })
            }
            None => {
                let changes = self.fields.some_changes("diff")?;
                let job = context.job(&self.job.unwrap_or_default())?;
                Ok(Meaning { job, wanted: Wanted::Changed(changes), show_env })
            }
        }
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.job.location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let before = session.client.job(&meaning.job).await?;
        let mut after = before.clone();
        match meaning.wanted {
            Wanted::Changed(changes) => changes.apply(&mut after)?,
            Wanted::Replaced(file) => file.replace(&mut after),
        }
        let mut found = changes::between(&json::resource(&before)?, &json::resource(&after)?);
        if !meaning.show_env {
            found.iter_mut().for_each(mask);
        }
        match printer.format() {
            Format::Json => printer.json(&found)?,
            Format::Text if found.is_empty() => printer.note("note: nothing would change"),
            Format::Text => printer.text(&found.iter().map(line).collect::<Vec<_>>().join("\n"))?,
        }
        Ok(Exit::Done)
    }
}

/// Hides the values of variables, of one and of a list of them that came into another order.
fn mask(difference: &mut Difference) {
    let Difference { path, before, after } = difference;
    for value in [before, after] {
        if path.contains(".env[") && path.ends_with("].value") {
            hide(value);
        } else if path.ends_with(".env") {
            let variables = value.as_array_mut().into_iter().flatten();
            variables.filter_map(|variable| variable.get_mut("value")).for_each(hide);
        }
    }
}

fn hide(value: &mut Value) {
    if !value.is_null() {
        *value = Value::from(MASK);
    }
}

fn line(difference: &Difference) -> String {
    let shown = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        value => value.to_string(),
    };
    format!("{}: {} -> {}", difference.path, shown(&difference.before), shown(&difference.after))
}
