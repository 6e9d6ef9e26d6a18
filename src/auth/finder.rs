//! Application Default Credentials: in which order they are looked for, and what a caller may set beforehand.

use std::{
    fmt::{self, Debug, Formatter},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Credentials, Facts,
    cache::Cache,
    file,
    impersonated::{self, Impersonated},
    metadata::Metadata,
    refused,
    trust::Trust,
    web::Http,
};
use crate::{
    error::Result,
    gcloud,
    net::{Proxies, Roots},
};

/// Names the file to use.
const VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// A longer text is no path that anybody wrote.
const LONGEST_PATH: usize = 256;

/// Looks an environment variable up; one that is empty is not set.
pub(crate) type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What every source is made with.
pub(super) struct SourceSetup {
    pub(super) http: Http,
    pub(super) trust: Trust,
    pub(super) env: Env,
}

/// Finds credentials, with settings that are seldom needed: see [`Credentials`] for the short ways.
///
/// ```no_run
/// # async fn doc() -> Result<(), runjob::Error> {
/// use runjob::Credentials;
///
/// let credentials = Credentials::builder().trust("sts.example.com").file("/etc/identity.json").await?;
/// # Ok(()) }
/// ```
#[must_use = "call `adc().await` or another way to get credentials"]
pub struct CredentialsBuilder {
    env: Env,
    universe: Option<String>,
    trusted: Vec<String>,
    roots: Roots,
    proxy: Option<String>,
    quota_project: Option<String>,
}

impl CredentialsBuilder {
    pub(super) fn new() -> Self {
        Self::with_env(Arc::new(|name| std::env::var(name).ok()))
    }

    pub(crate) fn with_env(env: Env) -> Self {
        let env: Env = Arc::new(move |name| env(name).filter(|value| !value.is_empty()));
        Self { env, universe: None, trusted: Vec::new(), roots: Roots::default(), proxy: None, quota_project: None }
    }

    /// Lets a credentials file name this server for the exchange of secrets: `HOST[:PORT]` over TLS, or
    /// `http://HOST[:PORT]`. Without it only servers of Google Cloud are allowed, because a file from elsewhere could
    /// send a key or a token anywhere. `RUNJOB_TRUSTED_TOKEN_SERVERS` holds a list of the same, with commas.
    pub fn trust(mut self, server: impl Into<String>) -> Self {
        self.trusted.push(server.into());
        self
    }

    /// The domain of Google Cloud, where it is not run by Google. Default is `GOOGLE_CLOUD_UNIVERSE_DOMAIN`, else
    /// `googleapis.com`.
    pub fn universe_domain(mut self, domain: impl Into<String>) -> Self {
        self.universe = Some(domain.into());
        self
    }

    /// The certificate authorities to trust, as PEM. Default is the machine's, else Mozilla's.
    ///
    /// # Errors
    /// When the text holds no certificate that can be used.
    pub fn root_certificates(mut self, pem: impl AsRef<[u8]>) -> Result<Self> {
        self.roots = Roots::pem(pem.as_ref())?;
        Ok(self)
    }

    /// As [`root_certificates`](Self::root_certificates), for those that were read already.
    pub(crate) fn roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// The proxy through which token servers are reached: `http://[USER:PASSWORD@]HOST:PORT`. Default is `HTTPS_PROXY`,
    /// with the exceptions of `NO_PROXY`.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// The project that quota is counted against. Default is `GOOGLE_CLOUD_QUOTA_PROJECT`, else what the file says.
    pub fn quota_project(mut self, project: impl Into<String>) -> Self {
        self.quota_project = Some(project.into());
        self
    }

    /// Application Default Credentials, see [`Credentials::adc`].
    ///
    /// # Errors
    /// When a file that was found cannot be used, or there are no credentials.
    pub async fn adc(self) -> Result<Credentials> {
        let setup = self.setup()?;
        let credentials = setup.find().await?;
        Ok(self.finished(credentials))
    }

    /// The credentials in this file, see [`Credentials::file`].
    ///
    /// # Errors
    /// When the file cannot be read or used.
    pub async fn file(self, path: impl AsRef<Path>) -> Result<Credentials> {
        let credentials = self.setup()?.file(path.as_ref()).await?;
        Ok(self.finished(credentials))
    }

    /// The credentials in this text, which is that of a credentials file.
    ///
    /// # Errors
    /// When the text cannot be used.
    pub async fn json(self, text: impl AsRef<str>) -> Result<Credentials> {
        let credentials = file::credentials(&self.setup()?, text.as_ref()).await;
        credentials.map(|found| self.finished(found)).map_err(|why| refused(format!("credentials: {why}")))
    }

    /// The service account of this machine at Google. That there is no metadata server shows at the first call.
    ///
    /// # Errors
    /// When the proxy cannot be used.
    pub fn metadata_server(self) -> Result<Credentials> {
        let credentials = self.setup()?.metadata_server();
        Ok(self.finished(credentials))
    }

    /// The service account `account`, as which the holder of `base` may act. `account` may be a list with commas, as
    /// gcloud takes it: each may act as the next, and the last is the one.
    ///
    /// # Errors
    /// When that is no name of an account.
    pub fn impersonate(self, base: &Credentials, account: &str) -> Result<Credentials> {
        let setup = self.setup()?;
        let mut accounts: Vec<&str> = account.split(',').map(str::trim).collect();
        let url = impersonated::url(&setup.trust.universe, accounts.pop().unwrap_or_default()).map_err(refused)?;
        let source = Impersonated {
            http: setup.http,
            url,
            delegates: impersonated::delegates(accounts),
            life: impersonated::LIFE,
            base: base.tokens.clone(),
        };
        let facts = Facts::clone(&base.facts);
        Ok(self.finished(Credentials::cached("impersonated service account", source.cached(), facts)))
    }

    /// What gcloud would call with: `CLOUDSDK_AUTH_ACCESS_TOKEN`, `auth/access_token_file`, else Application Default
    /// Credentials; acting as `auth/impersonate_service_account`. The last two are properties of gcloud's active
    /// configuration, or variables such as `CLOUDSDK_AUTH_ACCESS_TOKEN_FILE`.
    ///
    /// # Errors
    /// As [`adc`](Self::adc) and [`impersonate`](Self::impersonate).
    pub async fn gcloud(self) -> Result<Credentials> {
        let settings = gcloud::Auth::read(&*self.env);
        self.signed_in(settings).await
    }

    /// As [`gcloud`](Self::gcloud), by these settings.
    pub(crate) async fn signed_in(self, settings: gcloud::Auth) -> Result<Credentials> {
        let base = match (settings.access_token, settings.access_token_file) {
            (Some(token), _) => {
                let unusable = |cause| refused(format!("{} cannot be used", token.origin)).with_source(cause);
                Credentials::access_token(token.value).map_err(unusable)?.found_in(token.origin)
            }
            (None, Some(file)) => {
                let origin = format!("{} ({})", file.origin, shown(Path::new(&file.value)));
                Credentials::token_file(file.value).found_in(origin)
            }
            (None, None) => self.setup()?.find().await?,
        };
        match settings.impersonate_service_account {
            Some(account) => {
                let origin = format!("{}, by way of: {}", account.origin, base.origin());
                Ok(self.impersonate(&base, &account.value)?.found_in(origin))
            }
            None => Ok(self.finished(base)),
        }
    }

    fn setup(&self) -> Result<SourceSetup> {
        let mut trust = Trust::default();
        if let Some(universe) = self.universe.clone().or_else(|| (self.env)("GOOGLE_CLOUD_UNIVERSE_DOMAIN")) {
            trust.universe = universe;
        }
        let listed = (self.env)("RUNJOB_TRUSTED_TOKEN_SERVERS").unwrap_or_default();
        let listed = listed.split(',').filter(|server| !server.trim().is_empty());
        self.trusted.iter().map(String::as_str).chain(listed).for_each(|server| trust.add(server));
        let proxies = Proxies::find(self.proxy.as_deref(), &*self.env)?;
        Ok(SourceSetup { http: Http::new(self.roots.clone(), proxies), trust, env: Arc::clone(&self.env) })
    }

    fn finished(self, mut credentials: Credentials) -> Credentials {
        if let Some(project) = self.quota_project.or_else(|| (self.env)("GOOGLE_CLOUD_QUOTA_PROJECT")) {
            Arc::make_mut(&mut credentials.facts).quota_project = Some(project);
        }
        credentials
    }
}

impl SourceSetup {
    /// What Google's libraries look for, in their order.
    async fn find(&self) -> Result<Credentials> {
        if let Some(path) = (self.env)(VARIABLE) {
            if path.contains('{') {
                return Err(refused(format!("{VARIABLE} holds JSON, not a path; write it into a file and name that")));
            }
            let path = Path::new(&path);
            return Ok(self.file(path).await?.found_in(format!("{VARIABLE} ({})", shown(path))));
        }
        let known = well_known_file(&self.env);
        if let Some(path) = known.as_ref().filter(|path| path.exists()) {
            return Ok(self.file(path).await?.found_in(path.display().to_string()));
        }
        let known = known.map_or_else(
            || "gcloud has no directory without HOME".to_owned(),
            |path| format!("there is no {}", path.display()),
        );
        let missing = format!("no credentials: {VARIABLE} is not set, {known}, and");
        if (self.env)("NO_GCE_CHECK").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(refused(format!("{missing} NO_GCE_CHECK rules out a metadata server")));
        }
        // A server that the environment names is there; only a machine that may be anywhere is tried.
        if (self.env)("GCE_METADATA_HOST").is_none() {
            let there = Metadata::new(self.http.clone(), &*self.env).probe().await;
            there.map_err(|why| refused(format!("{missing} this machine has no metadata server: {why}")))?;
        }
        Ok(self.metadata_server())
    }

    async fn file(&self, path: &Path) -> Result<Credentials> {
        let failed = |why: String| refused(format!("credentials file {}: {why}", shown(path)));
        let text = file::read(path).map_err(failed)?;
        file::warn_of_readers(path);
        file::credentials(self, &text).await.map_err(failed)
    }

    fn metadata_server(&self) -> Credentials {
        let server = Metadata::new(self.http.clone(), &*self.env);
        let origin = format!("the metadata server at {}", server.host());
        let facts = Facts { metadata: Some(server.clone()), ..Facts::default() };
        Credentials::cached("metadata server", Cache::new(server), facts).found_in(origin)
    }
}

/// A path as an error shows it. A variable that should hold one may hold a secret by mistake.
fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_path = text.contains(['/', '\\']) || text.ends_with(".json");
    let is_short = text.len() <= LONGEST_PATH && !text.contains(char::is_control);
    if path.exists() || (is_path && is_short) { text.escape_debug().to_string() } else { "(not shown)".to_owned() }
}

/// Where `gcloud auth application-default login` writes.
fn well_known_file(env: &Env) -> Option<PathBuf> {
    gcloud::directory(&**env).map(|directory| directory.join("application_default_credentials.json"))
}

impl Debug for CredentialsBuilder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialsBuilder")
            .field("universe", &self.universe)
            .field("trusted", &self.trusted)
            .finish_non_exhaustive()
    }
}
