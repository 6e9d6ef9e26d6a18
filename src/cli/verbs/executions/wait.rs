//! `runjob wait`: wait for the end of executions that were started earlier, or elsewhere.

use crate::{
    ExecutionName, Location,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{
            names::ExecutionArg,
            waiting::{Until, Waiting},
        },
        follow::{Follow, FollowMany},
        interrupt::Interrupt,
        printer::Printer,
        session::Session,
        verb::Verb,
    },
};

/// `runjob wait`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Wait {
    /// Executions, of which all must succeed for status 0: ids, as in `echo-x7k2p`, or full names
    /// `projects/P/locations/R/jobs/J/executions/E`.
    #[arg(required = true, value_name = "EXECUTION")]
    executions: Vec<String>,
    /// Job of short execution ids. The default is each id without its last `-xxxxx`.
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
}

/// What to wait for, and how.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    first: ExecutionName,
    others: Vec<ExecutionName>,
    waiting: Waiting,
}

impl Verb for Wait {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        self.waiting.check(true, context.global.format)?;
        let mut names: Vec<ExecutionName> = Vec::new();
        for execution in self.executions {
            let name = context.execution(&ExecutionArg { execution, job: self.job.clone() })?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let first = names.remove(0);
        let region = first.job().location().region();
        match names.iter().find(|name| name.job().location().region() != region) {
            Some(other) => {
                Err(Failure::usage(format!("{other} is not in {region}, and one region is asked at a time"))
                    .hint("wait for the executions of each region by themselves"))
            }
            None => Ok(Meaning { first, others: names, waiting: self.waiting }),
        }
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.first.job().location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let Meaning { first, others, waiting } = meaning;
        let (interrupt, printer) = (Interrupt::listen()?, printer.clone());
        if !others.is_empty() {
            let executions = [first].into_iter().chain(others).collect();
            return Ok(FollowMany { session, printer, executions, waiting, interrupt }.until_all_end().await);
        }
        let mut run = session.client.attach(&first);
        let lines = session.output();
        let follow = Follow { session, printer, run: &mut run, is_ours: false, lines, until: Until::Done, interrupt };
        follow.until_wanted(&waiting).await
    }
}
