//! Credentials files: reading one, and which source its `type` stands for.

use std::{io::Read as _, path::Path, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    Credentials, Facts, Tokens,
    cache::{self, Cache},
    carried::{Carried, UserFile},
    external::{External, ExternalFile, ExternalUser, ExternalUserFile, Subject},
    finder::SourceSetup,
    impersonated::{self, Impersonated},
    key::{KeyFile, SelfSigned},
};

/// Far more than a credentials file has; keeps a wrong path from filling the memory.
const LARGEST_FILE: u64 = 64 * 1024;

const KINDS: &str = "service_account, authorized_user, impersonated_service_account, external_account and \
                     external_account_authorized_user are supported";

/// What every kind of credentials file says about itself.
#[derive(Deserialize)]
struct Header {
    r#type: String,
    project_id: Option<String>,
    quota_project_id: Option<String>,
    universe_domain: Option<String>,
}

/// What an `impersonated_service_account` file holds of interest.
#[derive(Deserialize)]
struct ImpersonatedFile {
    service_account_impersonation_url: String,
    #[serde(default)]
    delegates: Vec<String>,
    source_credentials: Value,
}

/// The credentials in this text of a file.
pub(super) async fn credentials(setup: &SourceSetup, text: &str) -> Result<Credentials, String> {
    let value: Value = serde_json::from_str(text)
        .map_err(|why| format!("it is not JSON, at line {} column {}", why.line(), why.column()))?;
    let header: Header = read_value(&value)?;
    if let Some(universe) = &header.universe_domain
        && *universe != setup.trust.universe
    {
        return Err(format!(
            "it is for the universe \"{}\", and the client for \"{}\"; set GOOGLE_CLOUD_UNIVERSE_DOMAIN if you trust it",
            universe.escape_debug(),
            setup.trust.universe
        ));
    }
    let (kind, tokens) = match header.r#type.as_str() {
        "impersonated_service_account" => ("impersonated service account", impersonated(setup, &value).await?),
        _ => simple(setup, &header.r#type, &value).await?,
    };
    let facts = Facts { quota_project: header.quota_project_id, project: header.project_id, ..Facts::default() };
    Ok(Credentials::cached(kind, tokens, facts))
}

/// A source that needs no other credentials.
async fn simple(setup: &SourceSetup, kind: &str, value: &Value) -> Result<(&'static str, Cache), String> {
    Ok(match kind {
        "service_account" => ("service account", key(setup, read_value(value)?).await?),
        "authorized_user" => {
            let file: UserFile = read_value(value)?;
            let usual = format!("https://oauth2.{}/token", setup.trust.universe);
            let url = setup.trust.issuer("token_uri", file.token_uri.as_deref().unwrap_or(&usual))?;
            ("gcloud user", Cache::new(Carried::user(setup.http.clone(), url, file).await?))
        }
        "external_account" => ("external account", external(setup, read_value(value)?)?),
        "external_account_authorized_user" => {
            let file: ExternalUserFile = read_value(value)?;
            let url = setup.trust.issuer("token_url", &file.token_url)?;
            ("external user", Cache::new(ExternalUser::new(setup.http.clone(), url, file)?))
        }
        other => return Err(format!("it is of type \"{}\"; {KINDS}", other.escape_debug())),
    })
}

/// A key signs its own tokens, unless its file names another issuer than Google that the caller trusts.
async fn key(setup: &SourceSetup, file: KeyFile) -> Result<Cache, String> {
    let Some(named) = &file.token_uri else { return SelfSigned::new(file).map(Cache::new) };
    let url = setup.trust.issuer("token_uri", named)?;
    match setup.trust.has(&url) {
        true => Ok(Cache::new(Carried::key(setup.http.clone(), url, file).await?)),
        false => SelfSigned::new(file).map(Cache::new),
    }
}

fn external(setup: &SourceSetup, file: ExternalFile) -> Result<Cache, String> {
    let subject = Subject::new(&file, &setup.trust, &*setup.env)?;
    let url = setup.trust.issuer("token_url", &file.token_url)?;
    let account = file.service_account_impersonation_url.clone();
    let life = file.service_account_impersonation.token_lifetime_seconds;
    let limit = subject.limit() + cache::LIMIT;
    let base = Cache::within(limit, External { http: setup.http.clone(), url, file, subject });
    let Some(account) = account else { return Ok(base) };
    let url = setup.trust.issuer("service_account_impersonation_url", &account)?;
    let life = life.map_or(impersonated::LIFE, Duration::from_secs);
    let base = Tokens::Cached(base);
    Ok(Impersonated { http: setup.http.clone(), url, delegates: Vec::new(), life, base }.cached())
}

async fn impersonated(setup: &SourceSetup, value: &Value) -> Result<Cache, String> {
    let file: ImpersonatedFile = read_value(value)?;
    let url = setup.trust.issuer("service_account_impersonation_url", &file.service_account_impersonation_url)?;
    let header: Header =
        read_value(&file.source_credentials).map_err(|why| format!("its source_credentials: {why}"))?;
    let base = simple(setup, &header.r#type, &file.source_credentials).await;
    let (_, base) = base.map_err(|why| format!("its source_credentials: {why}"))?;
    let delegates = impersonated::delegates(file.delegates.iter().map(String::as_str));
    let base = Tokens::Cached(base);
    Ok(Impersonated { http: setup.http.clone(), url, delegates, life: impersonated::LIFE, base }.cached())
}

/// The text of a small regular file.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let meta = std::fs::metadata(path).map_err(|why| why.to_string())?;
    if !meta.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|why| why.to_string())?;
    file.take(LARGEST_FILE + 1).read_to_string(&mut text).map_err(|why| why.to_string())?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(format!("it has {} bytes; a credentials file has a few thousand", meta.len()));
    }
    Ok(text)
}

/// Warns when other users of this machine can read a file with secrets.
pub(super) fn warn_of_readers(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path).map_or(0, |meta| meta.permissions().mode());
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "other users can read the credentials file; run chmod 600 on it");
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// A part of a file. An error names a field that is missing, and quotes no value: that may be a secret.
pub(super) fn read_value<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|why| {
        let why = why.to_string();
        if why.starts_with("missing field") { why } else { "a field has the wrong type".to_owned() }
    })
}
