//! gcloud's own directory: where it is, and what its active configuration says. Reads when asked, writes nothing; a file
//! that does not exist is no setting.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The settings of gcloud by which a caller signs in.
///
/// Without `Debug`: one of them is a secret.
pub(crate) struct Auth {
    /// `CLOUDSDK_AUTH_ACCESS_TOKEN`, which gcloud has no property for.
    pub(crate) access_token: Option<Setting>,
    pub(crate) access_token_file: Option<Setting>,
    pub(crate) impersonate_service_account: Option<Setting>,
}

/// A value and where it comes from, as people name that.
pub(crate) struct Setting {
    pub(crate) value: String,
    pub(crate) origin: &'static str,
}

impl Setting {
    pub(crate) fn new(value: impl Into<String>, origin: &'static str) -> Self {
        Self { value: value.into(), origin }
    }
}

impl Auth {
    /// The variables, else the properties of the active configuration; `env` looks a variable up.
    pub(crate) fn read(env: &dyn Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &'static str| env(name).map(|value| Setting::new(value, name));
        let property = |key, origin| property(env, "auth", key).map(|value| Setting::new(value, origin));
        Self {
            access_token: variable("CLOUDSDK_AUTH_ACCESS_TOKEN"),
            access_token_file: variable("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE")
                .or_else(|| property("access_token_file", "gcloud's auth/access_token_file")),
            impersonate_service_account: variable("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT")
                .or_else(|| property("impersonate_service_account", "gcloud's auth/impersonate_service_account")),
        }
    }
}

/// The directory in which gcloud keeps its settings and credentials; `env` looks a variable up.
pub(crate) fn directory(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    match env("CLOUDSDK_CONFIG") {
        Some(directory) => Some(PathBuf::from(directory)),
        None if cfg!(windows) => env("APPDATA").map(|data| Path::new(&data).join("gcloud")),
        None => env("HOME").map(|home| Path::new(&home).join(".config/gcloud")),
    }
}

/// A property of the active configuration, such as `core/project`.
pub(crate) fn property(env: &dyn Fn(&str) -> Option<String>, section: &str, key: &str) -> Option<String> {
    let directory = directory(env)?;
    let active = env("CLOUDSDK_ACTIVE_CONFIG_NAME").or_else(|| {
        let name = fs::read_to_string(directory.join("active_config")).ok()?;
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    });
    let file = format!("config_{}", active.as_deref().unwrap_or("default"));
    lookup(&fs::read_to_string(directory.join("configurations").join(file)).ok()?, section, key)
}

fn lookup(text: &str, section: &str, key: &str) -> Option<String> {
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name.trim() == section;
        } else if inside
            && let Some((name, value)) = line.split_once('=')
            && name.trim() == key
        {
            return Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[core]\naccount = me@example.com\nproject = acme\n\n[run]\n# here\nregion=asia-northeast1\n";

    #[test]
    fn a_property_is_found_in_its_section_only() {
        assert_eq!(lookup(FILE, "core", "project").as_deref(), Some("acme"));
        assert_eq!(lookup(FILE, "run", "region").as_deref(), Some("asia-northeast1"));
        assert_eq!(lookup(FILE, "run", "project"), None);
        assert_eq!(lookup("[core]\nproject =\n", "core", "project"), None);
    }
}
