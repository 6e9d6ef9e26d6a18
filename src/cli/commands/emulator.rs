//! `runjob emulator`: the emulator as a program, until it is interrupted.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::Path,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use tempfile::NamedTempFile;
use tokio::select;

use super::output;
use crate::{
    cli::{config::Serve, exit::Exit, failure::Failure, interrupt::Interrupt, printer::Printer},
    emulator::{Emulator, EmulatorBuilder, EmulatorError, OutputReader, Runtime, Simulation},
};

/// Serves until Ctrl-C or SIGTERM. Says on stdout how to reach it, and on stderr what its tasks write.
pub(super) async fn run(serve: Serve, printer: &Printer) -> Result<Exit, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let token = serve.require_token.as_deref().map(make_token).transpose()?;
    let emulator = start(serve, token).await?;
    // Apart from the signals, because a stderr that nobody reads blocks whoever writes to it.
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
        printer.note(&output::line(&next, |of| format!("{} task{} | ", of.execution.id(), of.task_index)));
    }
}

/// A new token, in a file that only its owner can read. Whoever has the old file keeps the old token, which is none any more.
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

async fn start(serve: Serve, token: Option<String>) -> Result<Emulator, EmulatorError> {
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
