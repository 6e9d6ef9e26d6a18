//! A file that another program keeps a fresh access token in.

use std::{path::PathBuf, time::Duration};

use super::{
    file,
    source::{AccessToken, TokenError, TokenSource},
};

/// How long a token that was read is used before the file is read again: nothing says when it ends.
const LIFE: Duration = Duration::from_secs(60);

pub(super) struct TokenFile(pub(super) PathBuf);

impl TokenSource for TokenFile {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        // The program may be writing it at this moment.
        let failed = |why: String| TokenError::transient(format!("{}: {why}", self.0.display()));
        let text = file::read(&self.0).map_err(failed)?;
        if text.trim().is_empty() {
            Err(failed("it is empty".to_owned()))
        } else {
            Ok(AccessToken::new(text).expires_in(LIFE))
        }
    }
}
