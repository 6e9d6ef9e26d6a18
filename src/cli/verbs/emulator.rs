//! `runjob emulator`: the emulator as a program, until it is interrupted.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use clap::ValueEnum;
use tempfile::NamedTempFile;
use tokio::select;

use crate::{
    Location,
    cli::{
        context::Context, exit::Exit, failure::Failure, flags::values, interrupt::Interrupt, printer::Printer, process,
        show::output,
    },
    emulator::{Clock, Emulator, EmulatorBuilder, EmulatorError, OutputReader, Runtime, Simulation, Startup},
};

/// `runjob emulator`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Serve {
    /// Address to listen on, loopback unless there is --require-token; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8085")]
    listen: SocketAddr,
    /// Let an image stand for a local command, which is split at spaces. May be repeated.
    #[arg(long, value_name = "IMAGE=COMMAND")]
    image: Vec<String>,
    /// Let a job's own `command` choose the program to run, as the service does.
    #[arg(long)]
    allow_command: bool,
    /// How tasks are carried out.
    #[arg(long, value_enum, default_value_t = RuntimeArg::Process)]
    runtime: RuntimeArg,
    /// Answer only calls with a bearer token, which is made anew and written to this file, for its owner only.
    #[arg(long, value_name = "FILE")]
    require_token: Option<PathBuf>,
    /// YAML or JSON file of what to have from the start: images and jobs.
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Keep everything in this directory, so that it is still there after a restart, whatever ended the emulator.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How time passes for timeouts and simulated tasks.
    #[arg(long, value_enum, default_value_t = ClockArg::Real)]
    clock: ClockArg,
    /// Draw all ids from this number, so that the same calls give the same names. By default each start draws others.
    #[arg(long, value_name = "NUMBER")]
    id_seed: Option<u64>,
    /// Accept calls without the routing header that the service insists on.
    #[arg(long)]
    lenient: bool,
    /// How long the phases of a start take, on the emulator's clock, such as image=1.1s,resources=27s,started=2s.
    #[arg(long, value_name = "PHASE=TIME,...", default_value = "image=0s")]
    startup: Startup,
    /// Let delayed executions wait for at most this long, on the emulator's clock.
    #[arg(long, value_name = "TIME", default_value = "12h", value_parser = values::duration)]
    delay: Duration,
}

/// How the emulator carries out tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum RuntimeArg {
    /// As local processes.
    Process,
    /// Not at all: each attempt succeeds at once.
    Simulated,
}

/// How the emulator's time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ClockArg {
    /// As it does.
    Real,
    /// Only by a POST to /emulator/v1/clock; it begins with the year 2026.
    Virtual,
    /// As virtual, but at once on to the next thing that is due.
    Fast,
}

/// How to run an emulator.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    listen: SocketAddr,
    /// Where the sample jobs live.
    location: Location,
    images: Vec<(String, Vec<String>)>,
    allow_command: bool,
    simulated: bool,
    require_token: Option<PathBuf>,
    seed: Option<PathBuf>,
    data_dir: Option<PathBuf>,
    clock: Clock,
    id_seed: Option<u64>,
    lenient: bool,
    startup: Startup,
    delay: Duration,
}

impl Serve {
    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        if context.global.emulator || context.global.endpoint.is_some() {
            return Err(Failure::usage(
                "`runjob emulator` serves and makes no calls: --emulator and --endpoint have no meaning with it",
            ));
        }
        if !self.listen.ip().is_loopback() && self.require_token.is_none() {
            return Err(Failure::usage(format!("--listen: {} is not a loopback address", self.listen)).hint(
                "every host that reaches the emulator can have it run commands; use 127.0.0.1 or [::1], or --require-token=FILE",
            ));
        }
        let images = self.image.iter().map(|typed| image(typed)).collect::<Result<_, _>>()?;
        Ok(Meaning {
            listen: self.listen,
            location: context.sample_location()?,
            images,
            allow_command: self.allow_command,
            simulated: self.runtime == RuntimeArg::Simulated,
            require_token: self.require_token,
            seed: self.seed,
            data_dir: self.data_dir,
            clock: match self.clock {
                ClockArg::Real => Clock::Real,
                ClockArg::Virtual => Clock::Virtual,
                ClockArg::Fast => Clock::Fast,
            },
            id_seed: self.id_seed,
            lenient: self.lenient,
            startup: self.startup,
            delay: self.delay,
        })
    }
}

/// `IMAGE=COMMAND`, the command split at spaces.
fn image(typed: &str) -> Result<(String, Vec<String>), Failure> {
    let (image, command) = typed.split_once('=').unwrap_or((typed, ""));
    let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    if image.is_empty() || command.is_empty() {
        return Err(Failure::usage(format!("--image: '{typed}' is not IMAGE=COMMAND"))
            .hint("for example --image=us-docker.pkg.dev/acme/tools/hello=/usr/bin/echo"));
    }
    Ok((image.to_owned(), command))
}

/// Serves until Ctrl-C or SIGTERM. Says on stdout how to reach it, and on stderr what its tasks write.
pub(in crate::cli) async fn run(typed: Serve, context: &Context<'_>, printer: &Printer) -> Result<Exit, Failure> {
    let serve = typed.resolve(context)?;
    process::become_emulator();
    let mut interrupt = Interrupt::listen()?;
    let token = serve.require_token.as_deref().map(make_token).transpose()?;
    let emulator = start(serve, token).await?;
    // In a separate task, because a write to a stderr without a reader blocks, and the signals have to be heard.
    let log = tokio::spawn(log(printer.clone(), emulator.output()));
    if let Some(address) = emulator.addr() {
        printer.text(&format!("RUN_EMULATOR_HOST={address}"))?;
    }
    select! {
        () = interrupt.next() => {}
        // The output ends when the emulator does.
        _ = log => {}
        () = emulator.failed() => {}
    }
    emulator.stop().await?;
    Ok(Exit::Done)
}

async fn log(printer: Printer, mut lines: OutputReader) {
    while let Some(next) = lines.recv().await {
        printer.line(&output::line(&next, |of| format!("{} task{} | ", of.execution.id(), of.task_index)));
    }
}

/// A new token, in a file that only its owner can read. A token that was read from the old file is no longer valid.
fn make_token(path: &Path) -> Result<String, Failure> {
    let make = || -> io::Result<String> {
        let mut random = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let token = BASE64_URL_SAFE_NO_PAD.encode(random);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(folder)?;
        writeln!(file, "{token}")?;
        file.persist(path)?;
        Ok(token)
    };
    let unwritable = |error| Failure::usage(format!("--require-token: {} cannot be written: {error}", path.display()));
    make().map_err(unwritable)
}

async fn start(serve: Meaning, token: Option<String>) -> Result<Emulator, EmulatorError> {
    let runtime = if serve.simulated { Runtime::Simulated(Simulation::default()) } else { Runtime::Process };
    let builder = Emulator::builder()
        .listen(serve.listen)
        .location(serve.location)
        .allow_command(serve.allow_command)
        .lenient(serve.lenient)
        .clock(serve.clock)
        .startup(serve.startup)
        .delay(serve.delay)
        .runtime(runtime);
    let builder = serve.data_dir.into_iter().fold(builder, EmulatorBuilder::data_dir);
    let builder = token.into_iter().fold(builder, EmulatorBuilder::require_token);
    let builder = serve.seed.into_iter().fold(builder, EmulatorBuilder::seed_file);
    let builder = serve.id_seed.into_iter().fold(builder, EmulatorBuilder::seed);
    let images = serve.images.into_iter();
    images.fold(builder, |builder, (image, command)| builder.image(image, command)).start().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_stands_for_a_command() {
        let split = image("example.com/hello=/bin/echo -n").expect("valid");
        assert_eq!(split, ("example.com/hello".to_owned(), vec!["/bin/echo".to_owned(), "-n".to_owned()]));
        assert!(image("example.com/hello").is_err());
        assert!(image("=/bin/echo").is_err());
    }
}
