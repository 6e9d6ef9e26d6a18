//! An emulator in a process of its own, so that what the waits hold in memory is theirs alone.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    time::Duration,
};

use runjob::emulator::{Emulator, Rpc};
use tokio::runtime::Builder;

use crate::{Result, SEED, ends, process};

/// Makes this program the emulator, for [`Times`] in seconds.
pub(crate) const FLAG: &str = "--emulator";

/// When its executions end.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    /// How long none of them does, so that all can be seen to wait.
    pub(crate) still: Duration,
    /// Within which time after that all of them do.
    pub(crate) span: Duration,
}

/// What waits ask.
const ASKED: [Rpc; 4] = [Rpc::WaitOperation, Rpc::GetOperation, Rpc::GetExecution, Rpc::ListExecutions];

/// How often it was asked in which way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) long_polls: u64,
    pub(crate) polls: u64,
    pub(crate) lists: u64,
}

impl Asked {
    pub(crate) fn of(emulator: &Emulator) -> Self {
        let [long_polls, operations, executions, lists] = ASKED.map(|rpc| emulator.calls(rpc));
        Self { long_polls, polls: operations + executions, lists }
    }

    pub(crate) fn all(self) -> u64 {
        self.long_polls + self.polls + self.lists
    }
}

/// The emulator at the other end of two pipes. Each line that it reads it answers with what it was asked so far; it ends
/// when there is nothing more to read.
pub(crate) struct Service {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(crate) address: String,
}

impl Service {
    pub(crate) fn start(times: Times) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.arg(FLAG).args([times.still, times.span].map(|time| time.as_secs().to_string()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let ask = child.stdin.take().ok_or("stdin is a pipe")?;
        let answers = BufReader::new(child.stdout.take().ok_or("stdout is a pipe")?);
        let mut service = Self { child, ask, answers, address: String::new() };
        service.address = service.line()?;
        Ok(service)
    }

    pub(crate) fn asked(&mut self) -> Result<Asked> {
        writeln!(self.ask)?;
        let line = self.line()?;
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
        let &[long_polls, polls, lists] = &numbers[..] else { return Err(format!("not three numbers: {line}").into()) };
        Ok(Asked { long_polls, polls, lists })
    }

    pub(crate) fn stop(self) -> Result<()> {
        let Self { mut child, ask, .. } = self;
        drop(ask);
        if child.wait()?.success() { Ok(()) } else { Err("the emulator failed".into()) }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

/// Is the emulator.
pub(crate) fn serve() -> Result<ExitCode> {
    process::open_many_files()?;
    let mut times = env::args().skip_while(|given| given != FLAG).skip(1);
    let mut time = || Result::Ok(Duration::from_secs(times.next().ok_or("no number of seconds")?.parse()?));
    let script = ends::at_random(SEED, time()?, time()?);
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let starting = Emulator::builder().runtime(script).start();
    let emulator = runtime.block_on(starting)?;
    println!("{}", emulator.addr().ok_or("an emulator with a listener has an address")?);
    for line in io::stdin().lines() {
        line?;
        let Asked { long_polls, polls, lists } = Asked::of(&emulator);
        println!("{long_polls} {polls} {lists}");
    }
    runtime.block_on(emulator.stop())?;
    Ok(ExitCode::SUCCESS)
}
