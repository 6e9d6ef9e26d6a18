//! Where this account keeps what a program remembers between its runs (the XDG base directories). Touches no file.

use std::path::PathBuf;

use crate::cli::environment::Environment;

/// `$XDG_STATE_HOME/runjob`, else `~/.local/state/runjob`; none without a home.
pub(super) fn directory(env: &Environment) -> Option<PathBuf> {
    // A relative path would change with the working directory; the specification says to ignore it.
    let absolute = |name| env.var(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    state.map(|state| state.join("runjob"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_lies_where_the_xdg_directories_say() {
        let of = |variables: &[(&str, &str)]| {
            directory(&Environment::new(variables.iter().map(|(name, value)| (name.into(), value.into()))))
        };
        let home = ("HOME", "/home/ann");
        assert_eq!(of(&[home]), Some("/home/ann/.local/state/runjob".into()));
        assert_eq!(of(&[home, ("XDG_STATE_HOME", "")]), Some("/home/ann/.local/state/runjob".into()));
        assert_eq!(of(&[home, ("XDG_STATE_HOME", "/var/state")]), Some("/var/state/runjob".into()));
        assert_eq!(of(&[home, ("XDG_STATE_HOME", "state")]), Some("/home/ann/.local/state/runjob".into()));
        assert_eq!(of(&[("HOME", "ann")]), None);
        assert_eq!(of(&[]), None);
    }
}
