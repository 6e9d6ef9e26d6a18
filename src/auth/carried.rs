//! Flows of yup-oauth2 over our own HTTP client: the refresh token of a gcloud user, and the key of a service account
//! that another token server than Google's has to accept.
//!
//! yup-oauth2 builds the requests and reads the answers. It takes no client but hyper's, so each request goes to a
//! server at the other end of a pipe in this process, which passes it on. So it gets our TLS, retries and limits, its
//! answers are checked before it reads them, since it panics at a life that no calendar holds, and what a server says
//! is wrong is not lost. It logs requests with their secrets: its lines are kept out of every `tracing` subscriber.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use serde::Deserialize;
use serde_json::Value;
use tower::Service;
use tracing::{instrument::WithSubscriber as _, subscriber::NoSubscriber};
use yup_oauth2::{
    AuthorizedUserAuthenticator, CustomHyperClientBuilder, ServiceAccountAuthenticator, ServiceAccountKey,
    authenticator::Authenticator, authorized_user::AuthorizedUserSecret,
};

use super::{
    SCOPE,
    key::KeyFile,
    source::{AccessToken, LONGEST_LIFE, TokenError, TokenSource, seconds},
    web::{Http, WebStream},
};

/// How much of a request or an answer is under way in the pipe.
const PIPE: usize = 16 * 1024;

/// What the file of a gcloud user holds of interest.
#[derive(Deserialize)]
pub(super) struct UserFile {
    client_id: String,
    client_secret: String,
    refresh_token: String,
    pub(super) token_uri: Option<String>,
}

/// A flow of yup-oauth2 as a source.
pub(super) struct Carried {
    authenticator: Authenticator<Pipe>,
    pipe: Pipe,
}

impl Carried {
    /// The refresh token of a gcloud user, at the token server `to`.
    pub(super) async fn user(http: Http, to: Uri, file: UserFile) -> Result<Self, String> {
        let UserFile { client_id, client_secret, refresh_token, .. } = file;
        let key_type = "authorized_user".to_owned();
        let secret = AuthorizedUserSecret { client_id, client_secret, refresh_token, key_type };
        let pipe = Pipe::new(http, to);
        let built = AuthorizedUserAuthenticator::with_client(secret, pipe.client()).build();
        let authenticator = built.with_subscriber(NoSubscriber::new()).await.map_err(|cause| cause.to_string())?;
        Ok(Self { authenticator, pipe })
    }

    /// The key of a service account, at the token server `to`.
    pub(super) async fn key(http: Http, to: Uri, file: KeyFile) -> Result<Self, String> {
        let key = ServiceAccountKey {
            key_type: Some("service_account".to_owned()),
            project_id: None,
            private_key_id: file.private_key_id,
            private_key: file.private_key,
            client_email: file.client_email,
            client_id: None,
            auth_uri: None,
            token_uri: to.to_string(),
            auth_provider_x509_cert_url: None,
            client_x509_cert_url: None,
        };
        let pipe = Pipe::new(http, to);
        let built = ServiceAccountAuthenticator::with_client(key, pipe.client()).build();
        let authenticator = built.with_subscriber(NoSubscriber::new()).await;
        let authenticator = authenticator.map_err(|_| "its private_key is not a usable PEM key of RSA")?;
        Ok(Self { authenticator, pipe })
    }
}

impl TokenSource for Carried {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        let token = self.authenticator.force_refreshed_token(&[SCOPE]).with_subscriber(NoSubscriber::new()).await;
        // What the server said counts more than what yup-oauth2 makes of it.
        if let Some(failure) = self.pipe.failure() {
            return Err(failure);
        }
        let token = token.map_err(|_| unreadable())?;
        let token_text = token.token().ok_or_else(unreadable)?;
        let access_token = AccessToken::new(token_text);
        Ok(match token.expiration_time() {
            Some(end) => access_token.expires_at(end.into()),
            None => access_token,
        })
    }
}

fn unreadable() -> TokenError {
    TokenError::permanent("the token server's answer has no access token")
}

/// Makes the connections on which yup-oauth2 speaks, and passes on what it says.
#[derive(Clone)]
struct Pipe(Arc<Carrier>);

struct Carrier {
    http: Http,
    to: Uri,
    /// Why the newest request has no answer.
    failure: Mutex<Option<TokenError>>,
}

impl Pipe {
    fn new(http: Http, to: Uri) -> Self {
        Self(Arc::new(Carrier { http, to, failure: Mutex::default() }))
    }

    fn client(&self) -> CustomHyperClientBuilder<Self> {
        // A pipe for each request: no connection is kept, so none outlives the runtime that made it.
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(self.clone()).into()
    }

    fn failure(&self) -> Option<TokenError> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Carrier {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let outcome = self.pass_on(request).await.and_then(|body| bounded(&body));
        let mut answer = Response::default();
        match outcome {
            Ok(body) => *answer.body_mut() = Full::new(body),
            Err(error) => {
                *answer.status_mut() = StatusCode::BAD_GATEWAY;
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        }
        answer
    }

    async fn pass_on(&self, request: Request<Incoming>) -> Result<Bytes, TokenError> {
        let (mut head, body) = request.into_parts();
        let body = body.collect().await.map_err(|cause| TokenError::transient(cause.to_string()))?.to_bytes();
        // yup-oauth2 has one address for all users; a file may name another.
        head.uri = self.to.clone();
        head.headers.remove(http::header::HOST);
        self.http.send(Request::from_parts(head, body)).await.map(|answer| answer.body)
    }
}

/// The answer of a token server with a life that fits into a calendar.
fn bounded(body: &[u8]) -> Result<Bytes, TokenError> {
    let mut answer: Value = serde_json::from_slice(body).map_err(|_| unreadable())?;
    if let Some(fields) = answer.as_object_mut()
        && let Some(life) = fields.remove("expires_in").as_ref().and_then(seconds)
    {
        fields.insert("expires_in".to_owned(), (life.clamp(0.0, LONGEST_LIFE.as_secs_f64()) as u64).into());
    }
    Ok(answer.to_string().into())
}

impl Service<Uri> for Pipe {
    type Response = TokioIo<WebStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<WebStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let carrier = Arc::clone(&self.0);
        async move {
            let (near, far) = tokio::io::duplex(PIPE);
            let service = service_fn(move |request| {
                let carrier = Arc::clone(&carrier);
                async move { Ok::<_, Infallible>(carrier.answer(request).await) }
            });
            tokio::spawn(http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(far), service));
            Ok(TokioIo::new(WebStream::new(near)))
        }
        .boxed()
    }
}
