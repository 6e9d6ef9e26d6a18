//! Where the token of another provider comes from: a file, a URL, or a program that must be allowed.

use std::{collections::HashMap, path::PathBuf, process::Stdio, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{io::AsyncReadExt as _, process::Command, time::timeout};

use super::{ExternalFile, Http, web};
use crate::auth::{cache, file, source::TokenError, trust::Trust};

/// What a program may take, where the file says nothing, and within which bounds the file may say.
const USUAL_LIMIT: u64 = 30_000;
const LIMITS: (u64, u64) = (5_000, 120_000);

/// Far more than a program has to say.
const LARGEST_OUTPUT: u64 = 256 * 1024;

/// The variable that allows programs; the same for all Google libraries.
const ALLOW: &str = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";

pub(in crate::auth) enum Subject {
    File { path: PathBuf, format: TokenFormat },
    Url { url: Uri, headers: Vec<(HeaderName, HeaderValue)>, format: TokenFormat },
    Program(Box<Program>),
}

/// `credential_source` of a file.
#[derive(Deserialize)]
struct CredentialSource {
    environment_id: Option<String>,
    file: Option<PathBuf>,
    url: Option<String>,
    #[serde(default)]
    headers: HashMap<String, String>,
    #[serde(default)]
    format: TokenFormat,
    executable: Option<Executable>,
    certificate: Option<Value>,
}

/// How a token stands in a file or an answer.
#[derive(Default, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(in crate::auth) enum TokenFormat {
    #[default]
    Text,
    Json {
        subject_token_field_name: String,
    },
}

#[derive(Deserialize)]
struct Executable {
    command: String,
    timeout_millis: Option<u64>,
    output_file: Option<PathBuf>,
}

/// A program that prints a token, and its arguments and environment.
pub(in crate::auth) struct Program {
    executable: Executable,
    limit: Duration,
    variables: Vec<(&'static str, String)>,
}

/// What a program prints, and leaves in its output file.
#[derive(Deserialize)]
struct Printed {
    success: bool,
    code: Option<Value>,
    message: Option<String>,
    id_token: Option<String>,
    saml_response: Option<String>,
    expiration_time: Option<i64>,
}

impl Subject {
    /// The source that this file names; `env` looks a variable up.
    pub(in crate::auth) fn new(
        file: &ExternalFile,
        trust: &Trust,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let named: CredentialSource =
            file::read_value(&file.credential_source).map_err(|why| format!("its credential_source: {why}"))?;
        match named {
            CredentialSource { environment_id: Some(id), .. } if id.starts_with("aws") => Err(AWS.to_owned()),
            CredentialSource { certificate: Some(_), .. } => Err(CERTIFICATE.to_owned()),
            CredentialSource { executable: Some(executable), .. } => {
                Program::new(executable, file, env).map(Self::Program)
            }
            CredentialSource { file: Some(path), format, .. } => Ok(Self::File { path, format }),
            CredentialSource { url: Some(url), headers, format, .. } => {
                let url = trust.witness("credential_source.url", &url)?;
                Ok(Self::Url { url, headers: sensitive(headers)?, format })
            }
            _ => Err("its credential_source names no file, url or executable".to_owned()),
        }
    }

    /// How long it may take.
    pub(in crate::auth) fn limit(&self) -> Duration {
        match self {
            Self::File { .. } => Duration::ZERO,
            Self::Url { .. } => cache::LIMIT,
            Self::Program(program) => program.limit,
        }
    }

    pub(super) async fn token(&self, http: &Http) -> Result<String, TokenError> {
        match self {
            Self::File { path, format } => {
                let name = path.display();
                let text =
                    file::read(path).map_err(|why| TokenError::transient(format!("token file {name}: {why}")))?;
                format.token(&text).map_err(|why| TokenError::permanent(format!("token file {name}: {why}")))
            }
            Self::Url { url, headers, format } => {
                let mut request = web::get(url);
                request.headers_mut().extend(headers.iter().cloned());
                let body = http.send(request).await?.body;
                let text = String::from_utf8_lossy(&body);
                format.token(&text).map_err(|why| TokenError::permanent(format!("credential_source.url: {why}")))
            }
            Self::Program(program) => program.token().await,
        }
    }
}

const AWS: &str = "it takes its identity from AWS, which is not supported; name an executable in its credential_source \
                   that prints a token, or give the client a TokenSource";
const CERTIFICATE: &str = "it takes its identity from an X.509 certificate, which is not supported; name an executable \
                           in its credential_source that prints a token, or give the client a TokenSource";

fn sensitive(headers: HashMap<String, String>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let header = |(name, value): (String, String)| {
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        Some((name.parse().ok()?, value))
    };
    let headers: Option<Vec<_>> = headers.into_iter().map(header).collect();
    headers.ok_or_else(|| "its credential_source.headers has one that cannot be sent".to_owned())
}

impl TokenFormat {
    fn token(&self, text: &str) -> Result<String, String> {
        let token = match self {
            Self::Text => text.trim().to_owned(),
            Self::Json { subject_token_field_name: field } => {
                let value: Value = serde_json::from_str(text).map_err(|_| "it holds no JSON")?;
                let token = value[field].as_str();
                token.ok_or_else(|| format!("it has no field \"{}\" with a text", field.escape_debug()))?.to_owned()
            }
        };
        if token.is_empty() { Err("it is empty".to_owned()) } else { Ok(token) }
    }
}

impl Program {
    fn new(
        executable: Executable,
        file: &ExternalFile,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Box<Self>, String> {
        if env(ALLOW).as_deref() != Some("1") {
            return Err(format!("it runs a program for its tokens; set {ALLOW}=1 if you trust the file"));
        }
        let limit = executable.timeout_millis.unwrap_or(USUAL_LIMIT);
        if !(LIMITS.0..=LIMITS.1).contains(&limit) {
            return Err(format!("its timeout_millis is {limit}; it must be from {} to {}", LIMITS.0, LIMITS.1));
        }
        let mut variables = vec![
            ("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", file.audience.clone()),
            ("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", file.subject_token_type.clone()),
            ("GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE", "0".to_owned()),
        ];
        let url = file.service_account_impersonation_url.as_deref().unwrap_or_default();
        let account = url.rsplit('/').next().and_then(|last| last.strip_suffix(":generateAccessToken"));
        variables.extend(account.map(|account| ("GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL", account.to_owned())));
        let output = executable.output_file.as_ref().map(|path| path.display().to_string());
        variables.extend(output.map(|path| ("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", path)));
        Ok(Box::new(Self { executable, limit: Duration::from_millis(limit), variables }))
    }

    async fn token(&self) -> Result<String, TokenError> {
        match self.left() {
            Some(token) => Ok(token),
            None => self.run().await?.token(),
        }
    }

    /// The token that an earlier run has left in the output file, if it is still good.
    fn left(&self) -> Option<String> {
        let text = file::read(self.executable.output_file.as_ref()?).ok()?;
        let printed: Printed = parse(&text)?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
        let is_good = printed.expiration_time? > i64::try_from(now.as_secs()).ok()?;
        printed.token().ok().filter(|_| is_good)
    }

    async fn run(&self) -> Result<Printed, TokenError> {
        let failed = |why: &str| TokenError::permanent(format!("the program of credential_source: {why}"));
        // As Google's libraries split it: no shell, no quotes.
        let mut words = self.executable.command.split_whitespace();
        let mut command = Command::new(words.next().ok_or_else(|| failed("its command is empty"))?);
        command.args(words).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|cause| failed(&cause.to_string()))?;
        let mut output = Vec::new();
        let stdout = child.stdout.take().ok_or_else(|| failed("it has no output"))?;
        let ended = async {
            // More than that is not waited for: it is a mistake, or does not end.
            stdout.take(LARGEST_OUTPUT + 1).read_to_end(&mut output).await?;
            if output.len() as u64 > LARGEST_OUTPUT {
                child.kill().await?
            }
            child.wait().await
        };
        let late = || TokenError::transient(format!("the program of credential_source ran for over {:?}", self.limit));
        let status = timeout(self.limit, ended).await.map_err(|_| late())?;
        let status = status.map_err(|cause| failed(&cause.to_string()))?;
        if output.len() as u64 > LARGEST_OUTPUT {
            return Err(failed("it printed more than 256 KiB"));
        }
        match parse(&String::from_utf8_lossy(&output)) {
            Some(printed) => Ok(printed),
            None if status.success() => Err(failed("what it printed is not the JSON that it should be")),
            None => Err(failed(&status.to_string())),
        }
    }
}

impl Printed {
    fn token(self) -> Result<String, TokenError> {
        let token = if self.success { self.id_token.or(self.saml_response) } else { None };
        token.ok_or_else(|| {
            let code = self.code.as_ref().map_or_else(String::new, |code| format!(" {code}"));
            let message = self.message.unwrap_or_else(|| "it printed no token".to_owned());
            let why: String = format!("{code}: {message}").chars().take(200).flat_map(char::escape_debug).collect();
            TokenError::permanent(format!("the program of credential_source failed{why}"))
        })
    }
}

/// Nothing where it is not of that form; why is not said, because the text holds a token.
fn parse<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}
