//! Each kind of credentials against servers made for the test: what it sends, down to the bytes, and what it does with
//! the answers.

mod fakes;
mod files;
mod hostile;
mod kinds;
mod load;
mod secrets;

use std::{collections::HashMap, sync::Arc};

use self::fakes::Fake;
use super::{Credentials, CredentialsBuilder};

/// A finder whose environment is these variables and nothing else, and that trusts this server.
fn finder(fake: &Fake, variables: &[(&str, &str)]) -> CredentialsBuilder {
    let trusted = alone(variables).trust(fake.url("")).trust(fake.plain(""));
    trusted.root_certificates(fake.authority()).expect("a certificate")
}

/// A finder whose environment is these variables and nothing else.
fn alone(variables: &[(&str, &str)]) -> CredentialsBuilder {
    let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let variables: HashMap<String, String> = owned.collect();
    CredentialsBuilder::with_env(Arc::new(move |name| variables.get(name).cloned()))
}

/// The token that a call would show.
async fn token(credentials: &Credentials) -> Result<String, crate::Error> {
    let authorization = credentials.authorization().await?.expect("not anonymous");
    Ok(authorization.value.to_str().expect("visible characters").trim_start_matches("Bearer ").to_owned())
}

/// A key that nothing accepts, and its public half.
const PRIVATE_KEY: &str = include_str!("tests/key.pem");
const PUBLIC_KEY: &str = include_str!("tests/key.pub.pem");
