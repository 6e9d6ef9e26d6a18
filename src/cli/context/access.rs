//! Which credentials and which route the program calls the service with: from the flags, else the variables, else
//! gcloud's active configuration.

use std::{fs, sync::Arc};

use super::Context;
use crate::{
    Credentials, CredentialsBuilder, Result,
    cli::failure::Failure,
    gcloud::{self, Setting},
    net::{Certificates, Dialer, Proxies, Roots},
};

/// The way to the service.
pub(in crate::cli) struct ServicePath {
    pub(in crate::cli) dialer: Dialer,
    pub(in crate::cli) certificates: Certificates,
}

impl Context<'_> {
    /// The certificate authorities of `--ca-file`.
    pub(in crate::cli) fn roots(&self) -> Result<Roots, Failure> {
        let Some(path) = &self.global.access.ca_file else { return Ok(Roots::default()) };
        let unusable = |why: String| Failure::usage(format!("--ca-file: {}: {why}", path.display()));
        let text = fs::read(path).map_err(|why| unusable(why.to_string()))?;
        Roots::pem(&text).map_err(|why| unusable(why.to_string()))
    }

    /// Refuses flags that an emulator, which this variable names, cannot make use of.
    pub(in crate::cli) fn check_for_emulator(&self, variable: &str) -> Result<(), Failure> {
        let Some(flag) = self.global.access.typed() else { return Ok(()) };
        let message =
            format!("{flag} is for the service, and {variable} names an emulator, which takes no credentials");
        Err(Failure::usage(message).hint(format!("unset {variable}, or name the server with --endpoint")))
    }

    /// The way to the service, as a client of these flags goes it.
    pub(in crate::cli) fn way(&self) -> Result<ServicePath, Failure> {
        let proxies = Proxies::find(self.global.access.proxy.as_deref(), &self.env.lookup())?;
        let certificates = Certificates { roots: self.roots()?, identity: None };
        Ok(ServicePath { dialer: Dialer::new(proxies), certificates })
    }

    /// Looks for credentials that trust these authorities.
    pub(in crate::cli) async fn credentials(&self, roots: Roots) -> Result<Credentials> {
        let env = self.env.lookup();
        let access = &self.global.access;
        let mut settings = gcloud::Auth::read(&env);
        if let Some(path) = &access.access_token_file {
            settings.access_token = None;
            settings.access_token_file = Some(Setting::new(path.to_string_lossy(), "--access-token-file"));
        }
        if let Some(account) = &access.impersonate_service_account {
            settings.impersonate_service_account = Some(Setting::new(account, "--impersonate-service-account"));
        }
        let finder = CredentialsBuilder::with_env(Arc::new(env)).roots(roots);
        let finder = match &access.proxy {
            Some(url) => finder.proxy(url),
            None => finder,
        };
        finder.signed_in(settings).await
    }
}
