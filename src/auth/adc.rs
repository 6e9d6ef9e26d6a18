//! Application Default Credentials: which file or server the credentials come from.
//!
//! Knows the places and the `type` of a credentials file. Tokens are yup-oauth2's business.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::Connect;
use serde::{Deserialize, de::DeserializeOwned};
use yup_oauth2::{
    ApplicationDefaultCredentialsAuthenticator, ApplicationDefaultCredentialsFlowOpts, AuthorizedUserAuthenticator,
    ServiceAccountAuthenticator,
    authenticator::{ApplicationDefaultCredentialsTypes, Authenticator},
};

use super::{Credentials, SCOPE, Source, TOKEN_TIMEOUT, Tokens};
use crate::error::{Error, ErrorKind, Result};

/// Far more than a credentials file has; keeps a wrong path from filling the memory.
const LARGEST_FILE: u64 = 64 * 1024;

/// What every kind of credentials file says about itself.
#[derive(Deserialize)]
struct Header {
    r#type: String,
    quota_project_id: Option<String>,
}

/// The credentials of this machine; `env` looks an environment variable up.
pub(super) async fn find(env: &(dyn Fn(&str) -> Option<String> + Sync)) -> Result<Credentials> {
    let set = |name| env(name).filter(|value| !value.is_empty());
    let mut credentials = if let Some(path) = set("GOOGLE_APPLICATION_CREDENTIALS") {
        from_file(Path::new(&path)).await?
    } else if let Some(path) = well_known_file(&set).filter(|path| path.exists()) {
        from_file(&path).await?
    } else {
        metadata_server(set("GCE_METADATA_HOST")).await?
    };
    if let Some(project) = set("GOOGLE_CLOUD_QUOTA_PROJECT") {
        credentials.quota_project = Some(project.into());
    }
    Ok(credentials)
}

/// The credentials in this file, of the kind that its `type` says.
pub(super) async fn from_file(path: &Path) -> Result<Credentials> {
    let failed = |why: &str| Error::new(ErrorKind::Credentials, format!("credentials file {}: {why}", path.display()));
    let text = read(path).map_err(|why| failed(&why))?;
    let header: Header = parse(&text).map_err(|why| failed(&why))?;
    let source = match header.r#type.as_str() {
        "service_account" => {
            let key = parse(&text).map_err(|why| failed(&why))?;
            let built = ServiceAccountAuthenticator::builder(key).with_timeout(TOKEN_TIMEOUT).build().await;
            renewed("service account", built.map_err(|_| failed("its private_key is not a usable PEM key"))?)
        }
        "authorized_user" => {
            let secret = parse(&text).map_err(|why| failed(&why))?;
            let built = AuthorizedUserAuthenticator::builder(secret).with_timeout(TOKEN_TIMEOUT).build().await;
            renewed("gcloud user", built.map_err(|why| failed(&why.to_string()))?)
        }
        other => {
            let known = "service_account and authorized_user are supported";
            return Err(failed(&format!("it is of type \"{}\"; {known}", other.escape_debug())));
        }
    };
    Ok(Credentials { source, quota_project: header.quota_project_id.map(Into::into) })
}

async fn metadata_server(host: Option<String>) -> Result<Credentials> {
    let metadata_url =
        host.map(|host| format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token"));
    let failed = |why: String| Error::new(ErrorKind::Credentials, format!("metadata server: {why}"));
    let opts = ApplicationDefaultCredentialsFlowOpts { metadata_url };
    match ApplicationDefaultCredentialsAuthenticator::builder(opts).await {
        ApplicationDefaultCredentialsTypes::InstanceMetadata(builder) => {
            let built = builder.with_timeout(TOKEN_TIMEOUT).build().await;
            let source = renewed("metadata server", built.map_err(|why| failed(why.to_string()))?);
            Ok(Credentials { source, quota_project: None })
        }
        // yup-oauth2 looks at GOOGLE_APPLICATION_CREDENTIALS itself, and sees it where it is set but empty.
        ApplicationDefaultCredentialsTypes::ServiceAccount(_) => {
            Err(failed("GOOGLE_APPLICATION_CREDENTIALS is set to nothing; unset it or name a file".to_owned()))
        }
    }
}

/// Where `gcloud auth application-default login` writes.
fn well_known_file(set: &dyn Fn(&'static str) -> Option<String>) -> Option<PathBuf> {
    let folder = match set("CLOUDSDK_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None if cfg!(windows) => Path::new(&set("APPDATA")?).join("gcloud"),
        None => Path::new(&set("HOME")?).join(".config/gcloud"),
    };
    Some(folder.join("application_default_credentials.json"))
}

fn read(path: &Path) -> Result<String, String> {
    let meta = std::fs::metadata(path).map_err(|why| why.to_string())?;
    if !meta.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if meta.len() > LARGEST_FILE {
        return Err(format!("it has {} bytes; a credentials file has a few thousand", meta.len()));
    }
    std::fs::read_to_string(path).map_err(|why| why.to_string())
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    // serde_json's texts name lines, columns and fields; the category keeps them from quoting a secret.
    serde_json::from_str(text).map_err(|why| match why.classify() {
        serde_json::error::Category::Data => {
            format!("a field is missing or of the wrong type, near line {}", why.line())
        }
        _ => format!("it is not JSON, at line {} column {}", why.line(), why.column()),
    })
}

fn renewed<C>(kind: &'static str, authenticator: Authenticator<C>) -> Source
where
    C: Connect + Clone + Send + Sync + 'static,
{
    Source::Renewed { kind, tokens: Arc::new(authenticator), stale: Arc::default() }
}

impl<C: Connect + Clone + Send + Sync + 'static> Tokens for Authenticator<C> {
    fn token(&self, fresh: bool) -> BoxFuture<'_, Result<String, yup_oauth2::Error>> {
        Box::pin(async move {
            let token = match fresh {
                true => self.force_refreshed_token(&[SCOPE]).await?,
                false => Self::token(self, &[SCOPE]).await?,
            };
            token.token().map(str::to_owned).ok_or(yup_oauth2::Error::MissingAccessToken)
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// A metadata server whose tokens are `canary-1`, `canary-2`, ..., and its address.
    async fn metadata() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            for token in 1.. {
                let (mut socket, _) = listener.accept().await.expect("a connection");
                let mut request = [0; 4096];
                let len = socket.read(&mut request).await.expect("a request");
                assert!(String::from_utf8_lossy(&request[..len]).to_lowercase().contains("metadata-flavor: google"));
                let body = format!(r#"{{"access_token":"canary-{token}","expires_in":3600,"token_type":"Bearer"}}"#);
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                socket.write_all((head + &body).as_bytes()).await.expect("an answer");
            }
        });
        address.to_string()
    }

    /// The credentials that an environment of these variables leads to.
    async fn found(variables: &[(&str, &str)]) -> Result<Credentials> {
        find(&|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())).await
    }

    fn file(text: &str) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("credentials.json");
        std::fs::write(&path, text).expect("a file");
        (folder, path.to_str().expect("Unicode").to_owned())
    }

    #[tokio::test]
    async fn a_token_is_kept_until_the_service_refuses_it() {
        let credentials = found(&[("GCE_METADATA_HOST", &metadata().await)]).await.expect("a metadata server");
        let token = async || credentials.authorization().await.expect("a token").expect("not anonymous");
        assert_eq!(token().await, "Bearer canary-1");
        assert_eq!(token().await, "Bearer canary-1");
        assert!(credentials.renew());
        assert_eq!(token().await, "Bearer canary-2");
        assert_eq!(token().await, "Bearer canary-2");
        assert!(!format!("{credentials:?}").contains("canary"));
    }

    #[tokio::test]
    async fn a_users_file_brings_its_quota_project_and_the_environment_has_the_last_word() {
        let (folder, path) = file(
            r#"{"type":"authorized_user","client_id":"a","client_secret":"b","refresh_token":"c","quota_project_id":"q"}"#,
        );
        let by_name = found(&[("GOOGLE_APPLICATION_CREDENTIALS", &path)]).await.expect("a user");
        assert_eq!(by_name.quota_project(), Some("q"));
        std::fs::rename(&path, folder.path().join("application_default_credentials.json")).expect("renamed");
        let config = folder.path().to_str().expect("Unicode");
        let known = [("CLOUDSDK_CONFIG", config), ("GOOGLE_CLOUD_QUOTA_PROJECT", "other")];
        assert_eq!(found(&known).await.expect("a user").quota_project(), Some("other"));
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_used_says_why_and_shows_nothing_of_itself() {
        for (text, why) in [
            ("canary", "not JSON"),
            (r#"{"type":"canary"}"#, "service_account and authorized_user are supported"),
            (r#"{"type":"authorized_user","client_secret":"canary"}"#, "a field is missing"),
            (
                r#"{"type":"service_account","client_email":"a","token_uri":"b","private_key":"secret-canary"}"#,
                "private_key",
            ),
        ] {
            let (_folder, path) = file(text);
            let error = found(&[("GOOGLE_APPLICATION_CREDENTIALS", &path)]).await.expect_err(why);
            assert_eq!(error.kind(), ErrorKind::Credentials);
            assert!(error.to_string().contains(why), "{error}");
            assert!(!error.to_string().contains("secret-canary"), "{error}");
        }
        let error = found(&[("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")]).await.expect_err("no file");
        assert!(error.to_string().contains("/nowhere/key.json"), "{error}");
        let error = found(&[("GOOGLE_APPLICATION_CREDENTIALS", "/dev/null")]).await.expect_err("a device");
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}
