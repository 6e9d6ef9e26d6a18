//! A server of HTTP/1.1, on one port with TLS and on another without, that notes what it is asked.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

/// What the server was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("visible characters"))
    }

    pub(super) fn authorization(&self) -> &str {
        self.header(AUTHORIZATION.as_str())
    }

    /// The fields of a form.
    pub(super) fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    pub(super) fn field(&self, name: &str) -> String {
        self.form().into_iter().find(|(known, _)| known == name).map(|(_, value)| value).unwrap_or_default()
    }
}

type Answers = dyn Fn(&Asked, usize) -> (u16, String) + Send + Sync;

pub(super) struct Fake {
    tls: SocketAddr,
    plain: SocketAddr,
    authority: String,
    state: Arc<State>,
}

struct State {
    answers: Box<Answers>,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
    /// The `location` of each answer.
    location: OnceLock<String>,
}

impl Fake {
    /// A server that answers each request with a status and a body; `answers` is told how many requests came before.
    pub(super) async fn new(answers: impl Fn(&Asked, usize) -> (u16, String) + Send + Sync + 'static) -> Self {
        let state = State {
            answers: Box::new(answers),
            asked: Mutex::default(),
            connections: AtomicUsize::new(0),
            location: OnceLock::new(),
        };
        let state = Arc::new(state);
        let (authority, config) = certified();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (tls_listener, plain_listener) = (listener().await, listener().await);
        let (tls, plain) = (address(&tls_listener), address(&plain_listener));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((socket, _)) = tls_listener.accept().await {
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    if let Ok(socket) = acceptor.accept(socket).await {
                        serve(socket, state).await;
                    }
                });
            }
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((socket, _)) = plain_listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&shared)));
            }
        });
        Self { tls, plain, authority, state }
    }

    /// A server that answers each request with this status and body.
    pub(super) async fn always(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::new(move |_, _| (status, body.clone())).await
    }

    /// A server that sends each request elsewhere, with this status.
    pub(super) async fn redirecting(status: u16, to: &str) -> Self {
        let fake = Self::always(status, "").await;
        fake.state.location.set(to.to_owned()).expect("it was not set");
        fake
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.tls.port())
    }

    pub(super) fn plain(&self, path: &str) -> String {
        format!("http://{}{path}", self.plain)
    }

    /// The address without TLS.
    pub(super) fn host(&self) -> String {
        self.plain.to_string()
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().expect("no panic").clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.state.connections.load(Relaxed)
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("an address")
}

/// A certificate for `localhost`, and the authority that it is trusted by.
fn certified() -> (String, ServerConfig) {
    let authority_key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).expect("a certificate").pem();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().expect("a key");
    let names = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = names.signed_by(&key, &issuer).expect("signed").into();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring's defaults")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    (authority, config.expect("a pair"))
}

async fn serve(socket: impl AsyncRead + AsyncWrite + Unpin + Send, state: Arc<State>) {
    state.connections.fetch_add(1, Relaxed);
    let service = service_fn(|request: Request<Incoming>| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(state.answer(request).await) }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let asked = Asked {
            method: head.method.to_string(),
            path: head.uri.to_string(),
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        let before = {
            let mut all = self.asked.lock().expect("no panic");
            all.push(asked.clone());
            all.len() - 1
        };
        let (status, body) = (self.answers)(&asked, before);
        let mut answer = Response::new(Full::from(body));
        *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
        if let Some(to) = self.location.get() {
            answer.headers_mut().insert("location", to.parse().expect("a URL"));
        }
        if asked.header("metadata-flavor") == "Google" {
            answer.headers_mut().insert("metadata-flavor", http::HeaderValue::from_static("Google"));
        }
        answer
    }
}
