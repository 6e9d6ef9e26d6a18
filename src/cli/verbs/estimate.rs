//! `runjob estimate`: what a month of executions costs, by a dated table of prices.
//!
//! Here is what an estimate needs, and whether a flag, a job or an execution says it. With only flags nothing is called,
//! and neither a project nor credentials are looked for. A missing value is an error; no default price is assumed.

mod bill;
mod decimal;
mod dollars;
mod prices;
mod report;
mod size;
mod subject;

use std::{path::PathBuf, time::Duration};

use self::{
    bill::{Bill, Workload},
    prices::{Prices, Rates},
    report::Estimated,
    size::{Cpu, Memory},
    subject::{EstimateSubject, Facts},
};
use crate::cli::{
    context::{Context, Origin},
    exit::Exit,
    failure::Failure,
    flags::values,
    printer::Printer,
    session::Session,
};

/// `runjob estimate`
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  runjob estimate --cpu=2 --memory=4Gi --region=asia-northeast1 --duration=60s --per-day=50")]
pub(in crate::cli) struct Estimate {
    /// Job, or execution that has ended: its id or its full name. What flags do not say is read from it.
    #[arg(value_name = "JOB|EXECUTION")]
    what: Option<String>,
    /// Job of a short execution id. The default is the id without its last `-xxxxx`.
    #[arg(long, value_name = "JOB", requires = "what")]
    job: Option<String>,
    /// CPUs of a task, e.g. 1, 0.5 or 500m.
    #[arg(long, value_name = "N", value_parser = size::cpu, allow_negative_numbers = true)]
    cpu: Option<Cpu>,
    /// Memory of a task, e.g. 512Mi or 4Gi.
    #[arg(long, value_name = "SIZE", value_parser = size::memory, allow_negative_numbers = true)]
    memory: Option<Memory>,
    /// Tasks of an execution. Without a job or an execution the default is 1.
    #[arg(long, value_name = "N", value_parser = values::task_count, allow_negative_numbers = true)]
    tasks: Option<u32>,
    /// How long a task runs. A job does not say it, an execution does.
    #[arg(long, value_name = "DURATION", value_parser = values::duration, allow_negative_numbers = true)]
    duration: Option<Duration>,
    /// Executions a day.
    #[arg(long, value_name = "N", default_value = "1", value_parser = values::count, allow_negative_numbers = true)]
    per_day: u32,
    /// Price table to use instead of the program's own: JSON in the format of src/cli/verbs/estimate/prices.json.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
}

/// Whose cost to estimate.
#[derive(Debug)]
struct Meaning {
    named: Option<EstimateSubject>,
    region: String,
    /// Where the region was found, unless it is part of a name.
    origin: Option<Origin>,
    prices: Prices,
    cpu: Option<Cpu>,
    memory: Option<Memory>,
    tasks: Option<u32>,
    duration: Option<Duration>,
    per_day: u32,
}

impl Estimate {
    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let prices = Prices::read(self.prices.as_deref())?;
        let named = match &self.what {
            Some(word) => Some(EstimateSubject::new(word, self.job.clone(), self.duration, context)?),
            None => None,
        };
        let (region, origin) = match &named {
            Some(named) => (named.location().region().to_owned(), None),
            None => {
                alone(self.cpu, self.memory, self.duration)?;
                let found = context.region()?;
                (found.value, Some(found.origin))
            }
        };
        let Self { cpu, memory, tasks, duration, per_day, .. } = self;
        Ok(Meaning { named, region, origin, prices, cpu, memory, tasks, duration, per_day })
    }
}

/// What an estimate needs of the flags where there is neither a job nor an execution.
fn alone(
    cpu: Option<Cpu>,
    memory: Option<Memory>,
    duration: Option<Duration>,
) -> Result<(Cpu, Memory, Duration), Failure> {
    if let (Some(cpu), Some(memory), Some(duration)) = (cpu, memory, duration) {
        return Ok((cpu, memory, duration));
    }
    let flags = [(cpu.is_none(), "--cpu=N"), (memory.is_none(), "--memory=SIZE"), (duration.is_none(), "--duration=D")];
    let missing: Vec<_> = flags.iter().filter_map(|(is_missing, flag)| is_missing.then_some(*flag)).collect();
    let message = format!("without a job or an execution an estimate needs {}", missing.join(", "));
    Err(Failure::usage(message).hint("for instance: runjob estimate --cpu=2 --memory=4Gi --duration=60s"))
}

/// Estimates, and calls the service only about a job or an execution.
pub(in crate::cli) async fn run(typed: Estimate, context: &Context<'_>, printer: &Printer) -> Result<Exit, Failure> {
    let meaning = typed.resolve(context)?;
    let rates = meaning.rates()?;
    let facts = match &meaning.named {
        Some(named) => Some(facts(named, context, printer).await?),
        None => None,
    };
    let work = meaning.workload(facts.as_ref())?;
    let bill = Bill::of(&work, &meaning.prices, &rates).ok_or_else(|| {
        Failure::usage("the numbers are too large").hint("check them: no bill can be as high as this")
    })?;
    let estimated = Estimated {
        of: facts.as_ref().map(|facts| facts.name.as_str()),
        region: &meaning.region,
        work: &work,
        bill: &bill,
        rates: &rates,
        prices: &meaning.prices,
        notes: facts.as_ref().map_or(&[], |facts| &facts.notes),
    };
    estimated.show(printer)?;
    Ok(Exit::Done)
}

async fn facts(named: &EstimateSubject, context: &Context<'_>, printer: &Printer) -> Result<Facts, Failure> {
    let session = Session::open(context, named.location(), printer).await?;
    let facts = named.read(&session).await?;
    session.close().await?;
    Ok(facts)
}

impl Meaning {
    fn rates(&self) -> Result<Rates<'_>, Failure> {
        self.prices.rates(&self.region).map_err(|near| {
            let message = match self.origin {
                Some(Origin::Setting(place)) => {
                    format!("{place} holds no region of the price table (what it holds is not shown)")
                }
                _ => format!("the price table of {} has no region '{}'", self.prices.date, self.region),
            };
            let hint = format!("it has {}; --prices=FILE reads another table", near.join(", "));
            Failure::usage(message).hint(hint)
        })
    }

    /// What the flags say, and what they do not say from the job or the execution.
    fn workload(&self, facts: Option<&Facts>) -> Result<Workload, Failure> {
        let (cpu, memory, duration) = match facts {
            Some(facts) => {
                let (cpu, memory) = self.size(facts)?;
                (cpu, memory, facts.duration)
            }
            None => alone(self.cpu, self.memory, self.duration)?,
        };
        let tasks = self.tasks.or_else(|| facts.map(|facts| facts.tasks)).unwrap_or(1);
        Ok(Workload { cpu, memory, duration, tasks, per_day: self.per_day })
    }

    fn size(&self, facts: &Facts) -> Result<(Cpu, Memory), Failure> {
        if let (Some(cpu), Some(memory)) = (self.cpu, self.memory) {
            return Ok((cpu, memory));
        }
        let own = size::of_template(&facts.template).map_err(|what| {
            Failure::usage(format!("{} {what}", facts.name))
                .hint("give both --cpu=N and --memory=SIZE to estimate it by these alone")
        })?;
        Ok((self.cpu.unwrap_or(own.0), self.memory.unwrap_or(own.1)))
    }
}
