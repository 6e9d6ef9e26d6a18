//! The judge: what a caller was told, against what the emulator's ledger says. Knows no client and no fault.

use runjob::{Error, ErrorKind, Run};

/// What one call of `start` has said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    Started(String),
    /// Found by its key, with so many others that have the same one.
    Adopted(String, usize),
    NotStarted,
    Rejected,
    /// Another error that `start` promises to come before anything is sent.
    NothingSent,
    Unknown,
    /// Nothing that `start` may say.
    Nonsense(String),
    /// Nothing at all.
    Silence,
}

/// What `find_start` said after everything, if it was asked: the execution, none, or why it could not tell.
pub(super) type Found = Option<Result<Option<String>, String>>;

impl Told {
    pub(super) fn by(answer: &Result<Run, Error>) -> Self {
        match answer {
            Ok(run) if run.was_adopted() => Self::Adopted(run.execution().to_string(), run.duplicates().len()),
            Ok(run) => Self::Started(run.execution().to_string()),
            Err(error) => match error.kind() {
                ErrorKind::NotStarted => Self::NotStarted,
                ErrorKind::Rejected => Self::Rejected,
                ErrorKind::StartUnknown => Self::Unknown,
                ErrorKind::InvalidInput
                | ErrorKind::Credentials
                | ErrorKind::PermissionDenied
                | ErrorKind::Unauthenticated
                | ErrorKind::NotFound => Self::NothingSent,
                _ => Self::Nonsense(error.to_string()),
            },
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Started(name) | Self::Adopted(name, _) => Some(name),
            _ => None,
        }
    }
}

/// What is wrong, if anything is: `told` by each call for one start, of which the ledger has `started`.
pub(super) fn judge(told: &[Told], started: &[String], found: &Found) -> Result<(), &'static str> {
    if started.len() > 1 {
        return Err("started more than once");
    }
    let started = started.first().map(String::as_str);
    let mut may_run = false;
    for told in told {
        may_run |= matches!(told, Told::Started(_) | Told::Adopted(..) | Told::Unknown);
        match told {
            Told::Started(_) | Told::Adopted(..) if told.name() != started => return Err("told of another start"),
            Told::Adopted(_, 1..) => return Err("told of duplicates where there are none"),
            Told::Nonsense(_) => return Err("told what no start may end in"),
            Told::Silence => return Err("told nothing"),
            _ => {}
        }
    }
    if started.is_some() && !may_run {
        return Err("told that nothing was started, and it was");
    }
    match found {
        Some(Ok(name)) if name.as_deref() != started => Err("find_start does not say what is so"),
        Some(Err(_)) => Err("find_start does not say anything"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(name: &str) -> Told {
        Told::Started(name.to_owned())
    }

    fn adopted(name: &str) -> Told {
        Told::Adopted(name.to_owned(), 0)
    }

    fn verdict(told: &[Told], names: &[&str], found: Option<Option<&str>>) -> bool {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        judge(told, &names, &found.map(|name| Ok(name.map(str::to_owned)))).is_ok()
    }

    #[test]
    fn true_answers_are_let_pass() {
        assert!(verdict(&[started("a")], &["a"], None));
        assert!(verdict(&[Told::Unknown], &[], Some(None)));
        assert!(verdict(&[Told::Unknown], &["a"], Some(Some("a"))));
        assert!(verdict(&[Told::Unknown, Told::NotStarted, adopted("a")], &["a"], None));
        assert!(verdict(&[Told::NotStarted, started("a")], &["a"], None));
        for nothing in [Told::NotStarted, Told::Rejected, Told::NothingSent] {
            assert!(verdict(&[nothing], &[], None));
        }
    }

    #[test]
    fn a_second_start_is_caught_whatever_was_told() {
        for told in [started("a"), adopted("a"), Told::Unknown, Told::NotStarted] {
            assert!(!verdict(&[told], &["a", "b"], None));
        }
    }

    #[test]
    fn every_answer_that_is_changed_into_a_wrong_one_is_caught() {
        for wrong in [Told::NotStarted, Told::Rejected, Told::NothingSent, started("b"), adopted("b")] {
            assert!(!verdict(&[wrong], &["a"], None));
        }
        for wrong in [started("a"), adopted("a")] {
            assert!(!verdict(std::slice::from_ref(&wrong), &[], None));
            assert!(!verdict(&[Told::Unknown, wrong], &[], None));
        }
        assert!(!verdict(&[Told::NotStarted, Told::Rejected], &["a"], None));
        assert!(!verdict(&[Told::Adopted("a".to_owned(), 1)], &["a"], None));
        assert!(!verdict(&[Told::Nonsense(String::new())], &[], None));
        assert!(!verdict(&[Told::Silence], &[], None));
    }

    #[test]
    fn a_look_afterwards_that_is_wrong_is_caught() {
        assert!(!verdict(&[Told::Unknown], &["a"], Some(None)));
        assert!(!verdict(&[Told::Unknown], &["a"], Some(Some("b"))));
        assert!(!verdict(&[Told::Unknown], &[], Some(Some("a"))));
        assert!(judge(&[Told::Unknown], &[], &Some(Err("no answer".to_owned()))).is_err());
    }
}
