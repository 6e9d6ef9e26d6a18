//! `runjob wait`: wait for the end of an execution that was started earlier, or elsewhere.

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
        follow::Follow,
        interrupt::Interrupt,
        printer::Printer,
        session::Session,
        verb::Verb,
    },
};

/// `runjob wait`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Wait {
    #[command(flatten)]
    execution: ExecutionArg,
    #[command(flatten)]
    waiting: Waiting,
}

/// What to wait for, and how.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    execution: ExecutionName,
    waiting: Waiting,
}

impl Verb for Wait {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        Ok(Meaning { execution: context.execution(&self.execution)?, waiting: self.waiting })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.execution.job().location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let interrupt = Interrupt::listen()?;
        let mut run = session.client.attach(&meaning.execution);
        let lines = session.output();
        let follow = Follow { session, printer, run: &mut run, is_ours: false, lines, until: Until::Done, interrupt };
        follow.as_asked(&meaning.waiting).await
    }
}
