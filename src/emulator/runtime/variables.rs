//! Which environment variables a caller may not set, because they choose what is run.
//!
//! A caller chooses arguments and environment of a program, never the program: that is its operator's choice. Shells, interpreters, loaders and common tools take code from variables, though, or the name of another
//! program. The list holds what is known of them, and cannot be complete: a program of the operator's can have its own.

/// Where programs are looked up.
const PROGRAMS: [&str; 2] = ["PATH", "SHELL"];
/// Files that a shell reads first, its options, and text that it expands or splits words by.
const SHELLS: [&str; 13] = [
    "BASHOPTS",
    "BASH_ENV",
    "CDPATH",
    "ENV",
    "FPATH",
    "IFS",
    "PROMPT_COMMAND",
    "PS0",
    "PS1",
    "PS2",
    "PS4",
    "SHELLOPTS",
    "ZDOTDIR",
];
/// What the C library ignores in programs that have more rights than their caller, beside `LD_`.
const C_LIBRARY: [&str; 12] = [
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLIBC_TUNABLES",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "LOCPATH",
    "MALLOC_TRACE",
    "NIS_PATH",
    "NLSPATH",
    "RESOLV_HOST_CONF",
    "RES_OPTIONS",
    "TZDIR",
];
/// Interpreters and virtual machines, where the harmless variables begin alike.
const INTERPRETERS: [&str; 34] = [
    "AWKLIBPATH",
    "AWKPATH",
    "BUN_INSPECT",
    "CLASSPATH",
    "DOTNET_ADDITIONAL_DEPS",
    "DOTNET_ROOT",
    "DOTNET_SHARED_STORE",
    "DOTNET_STARTUP_HOOKS",
    "JAVA_HOME",
    "JAVA_OPTS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_REPL_EXTERNAL_MODULE",
    "PERLLIB",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PYTHONBREAKPOINT",
    "PYTHONEXECUTABLE",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONPATH",
    "PYTHONPLATLIBDIR",
    "PYTHONPYCACHEPREFIX",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONWARNINGS",
    "RUBYLIB",
    "RUBYOPT",
    "RUBYPATH",
    "RUBYSHELL",
    "TCLLIBPATH",
    "_JAVA_OPTIONS",
];
/// Programs that other programs start, and flags that name some.
const TOOLS: [&str; 14] = [
    "BROWSER",
    "EDITOR",
    "GNUMAKEFLAGS",
    "LESSCLOSE",
    "LESSOPEN",
    "MAKEFILES",
    "MAKEFLAGS",
    "MANPAGER",
    "PAGER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "SSH_ASKPASS",
    "SUDO_ASKPASS",
    "VISUAL",
];
/// All that begin with one of these: loaders, shell functions, interpreters, and tools whose configuration names programs.
const PREFIXES: [&str; 19] = [
    "BASH_FUNC_",
    "BUNDLE_",
    "COMPLUS_",
    "CORECLR_",
    "COR_",
    "DYLD_",
    "ERL_",
    "GEM_",
    "GIT_",
    "JULIA_",
    "LD_",
    "LUA_",
    "NPM_CONFIG_",
    "OPENSSL_",
    "PERL5",
    "PIP_",
    "R_",
    "TCL_",
    "XDG_",
];

/// Why a caller may not set a variable of this name, if so.
pub(super) fn refusal(name: &str) -> Option<&'static str> {
    if !is_identifier(name) {
        return Some(
            "it is not made of letters, digits and underscores, and a shell can take it for more than a variable",
        );
    }
    // A few programs do not mind the case, such as npm.
    let name = name.to_ascii_uppercase();
    let lists = [&PROGRAMS[..], &SHELLS, &C_LIBRARY, &INTERPRETERS, &TOOLS];
    let refused = lists.iter().any(|names| names.contains(&name.as_str()))
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    refused.then_some("programs take code from it, or the names of other programs")
}

/// What POSIX calls a name.
fn is_identifier(name: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(rest) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_choose_code_are_refused() {
        for name in [
            "BASH_ENV",
            "ENV",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "LD_AUDIT",
            "DYLD_INSERT_LIBRARIES",
            "PYTHONSTARTUP",
            "PYTHONPATH",
            "NODE_OPTIONS",
            "PERL5OPT",
            "PERL5LIB",
            "RUBYOPT",
            "RUBYLIB",
            "JAVA_TOOL_OPTIONS",
            "GLIBC_TUNABLES",
            "PROMPT_COMMAND",
            "SHELLOPTS",
            "PS4",
            "IFS",
            "PATH",
            "GIT_SSH_COMMAND",
            "GIT_CONFIG_COUNT",
            "LUA_INIT_5_4",
            "PHPRC",
            "PHP_INI_SCAN_DIR",
            "npm_config_script_shell",
            "XDG_CONFIG_HOME",
            "MAKEFLAGS",
        ] {
            assert!(refusal(name).is_some(), "{name}");
        }
    }

    #[test]
    fn names_that_are_no_identifiers_are_refused() {
        for name in ["", "BASH_FUNC_echo%%", "BASH_FUNC_x()", "a-b", "a.b", "1A", "A B", "A\nB", "Ä", "x[0]"] {
            assert!(refusal(name).is_some(), "{name:?}");
        }
    }

    #[test]
    fn variables_of_programs_are_free() {
        for name in [
            "MODE",
            "_",
            "_A1",
            "a",
            "LANG",
            "TZ",
            "DATABASE_URL",
            "PYTHONUNBUFFERED",
            "PYTHONDONTWRITEBYTECODE",
            "NODE_ENV",
            "RUST_LOG",
            "GOOGLE_CLOUD_PROJECT",
            "DOTNET_ENVIRONMENT",
            "HTTP_PROXY",
            "http_proxy",
            "LDAP_URL",
            "ENVIRONMENT",
            "GITHUB_TOKEN",
            "PATHS",
            "HOME",
            "RUNJOB_START_KEY",
        ] {
            assert_eq!(refusal(name), None, "{name}");
        }
    }
}
