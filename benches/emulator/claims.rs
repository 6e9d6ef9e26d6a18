//! What has to be exactly so, and whether it was.

use std::process::ExitCode;

#[derive(Debug, Default)]
pub(crate) struct Claims(Vec<Claim>);

#[derive(Debug)]
struct Claim {
    text: String,
    expected: usize,
    found: usize,
}

impl Claims {
    pub(crate) fn count(&mut self, text: impl Into<String>, expected: usize, found: usize) {
        self.0.push(Claim { text: text.into(), expected, found });
    }

    pub(crate) fn print(&self) {
        println!("Counts\n");
        println!("| what | expected | found |");
        println!("|---|---|---|");
        for claim in &self.0 {
            let mark = if claim.holds() { "" } else { " **wrong**" };
            println!("| {} | {} | {}{mark} |", claim.text, claim.expected, claim.found);
        }
    }

    /// A failure if anything was wrong.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.0.iter().all(Claim::holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl Claim {
    fn holds(&self) -> bool {
        self.expected == self.found
    }
}
