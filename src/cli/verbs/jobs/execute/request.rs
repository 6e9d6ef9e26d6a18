//! The request that a start sends, and how `--dry-run` shows it. Nothing is called.

use crate::{
    Client, Credentials, JobName, RunBuilder, StartKey,
    cli::{
        exit::Exit,
        failure::Failure,
        flags::{global::Format, overrides::Overrides},
        printer::Printer,
        show::{json, mask::mask_start, view},
    },
    proto::run::v2::{RunJobRequest, run_job_request},
};

/// The start with these overrides, of which nothing is sent yet.
pub(super) fn builder(client: &Client, job: &JobName, overrides: Overrides, key: Option<&StartKey>) -> RunBuilder {
    let mut start = client.run(job);
    for container in overrides.containers {
        let name = container.name.unwrap_or_default();
        start = start.container(name, |mut change| {
            change = match container.args {
                Some(args) if args.is_empty() => change.clear_args(),
                Some(args) => change.args(args),
                None => change,
            };
            container.env.into_iter().fold(change, |change, (name, value)| change.env(name, value))
        });
    }
    if let Some(count) = overrides.task_count {
        start = start.task_count(count);
    }
    if let Some(timeout) = overrides.task_timeout {
        start = start.task_timeout(timeout);
    }
    match key {
        Some(key) => start.start_key(key.clone()),
        None => start,
    }
}

/// Shows the request that this start would send.
pub(super) async fn show(
    job: &JobName,
    overrides: Overrides,
    key: Option<&StartKey>,
    show_env: bool,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let request = mask_start(builder(&undialed().await?, job, overrides, key).request()?, show_env);
    match printer.format() {
        Format::Json => printer.json(&json::resource(&request)?)?,
        Format::Text => printer.pairs(rows(&request))?,
    }
    printer.note("note: a dry run; nothing was sent");
    Ok(Exit::Done)
}

/// Shows the requests that many starts would send, in JSON as a list.
pub(super) fn show_all(requests: Vec<RunJobRequest>, show_env: bool, printer: &Printer) -> Result<Exit, Failure> {
    let requests: Vec<_> = requests.into_iter().map(|request| mask_start(request, show_env)).collect();
    match printer.format() {
        Format::Json => {
            let kind = json::ResourceKind::new()?;
            let requests = requests.iter().map(|request| kind.object(request));
            printer.json(&requests.collect::<Result<Vec<_>, _>>()?)?;
        }
        Format::Text => printer.pairs(requests.iter().flat_map(rows).collect())?,
    }
    printer.note(&format!("note: a dry run of {} starts; nothing was sent", requests.len()));
    Ok(Exit::Done)
}

/// A client that is never dialed: a request is made of the overrides alone.
pub(super) async fn undialed() -> Result<Client, Failure> {
    Ok(Client::builder().emulator("127.0.0.1:1").credentials(Credentials::anonymous()).build().await?)
}

fn rows(request: &RunJobRequest) -> Vec<[String; 2]> {
    let mut rows = vec![["job".to_owned(), request.name.clone()]];
    let Some(run_job_request::Overrides { container_overrides, task_count, timeout }) = &request.overrides else {
        return rows;
    };
    rows.extend(container_overrides.iter().flat_map(view::container_override));
    if *task_count > 0 {
        rows.push(["tasks".to_owned(), task_count.to_string()]);
    }
    rows.extend(timeout.iter().map(|timeout| ["task timeout".to_owned(), timeout.to_string()]));
    rows
}
