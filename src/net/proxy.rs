//! Which connections go through a proxy: `HTTPS_PROXY` and `NO_PROXY`, or what the caller says. The proxy is asked for a
//! tunnel (CONNECT, RFC 9110 9.3.6), in which TLS is spoken with the server itself.
//!
//! Reading the list of `NO_PROXY` and the exchange with the proxy are hyper-util's.

use std::{net::IpAddr, sync::Arc};

use http::{Uri, uri::Scheme};
use hyper_util::client::{
    legacy::connect::proxy::Tunnel,
    proxy::matcher::{Intercept, Matcher},
};

use crate::error::{Error, ErrorKind, Result};

/// Decides for each server whether a proxy leads there. Plaintext connections and this machine itself never need one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Option<Arc<Matcher>>);

impl Proxies {
    /// This proxy for all servers, where the caller has named one, else what the environment says.
    ///
    /// # Errors
    /// When it is no proxy that can be used.
    pub(crate) fn find(named: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        match named {
            Some(url) => Self::new("the proxy", url, ""),
            None => Self::from_env(env),
        }
    }

    /// What the environment says; `env` looks a variable up. The spelling in lower case is known too.
    ///
    /// # Errors
    /// When the variable holds no proxy that can be used.
    fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name: &str| {
            let value = env(name).or_else(|| env(&name.to_lowercase()));
            value.filter(|value| !value.is_empty())
        };
        match set("HTTPS_PROXY") {
            Some(proxy) => Self::new("HTTPS_PROXY", &proxy, set("NO_PROXY").as_deref().unwrap_or_default()),
            None => Ok(Self::default()),
        }
    }

    /// All servers through this proxy, but those of the list `except`, which is written as in `NO_PROXY`. `source` is
    /// where a wrong value came from.
    ///
    /// # Errors
    /// When it is no URL of a proxy.
    fn new(source: &str, proxy: &str, except: &str) -> Result<Self> {
        let whole = if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") };
        let uri = whole.parse::<Uri>().ok();
        if uri.is_none_or(|uri| uri.scheme() != Some(&Scheme::HTTP) || uri.host().is_none_or(str::is_empty)) {
            // Not repeated: it may hold a password.
            let message = format!("{source} names no proxy that can be used; write http://[USER:PASSWORD@]HOST:PORT");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(Self(Some(Arc::new(Matcher::builder().https(whole).no(except.to_owned()).build()))))
    }

    /// The proxy that leads to this server, or nothing where it is reached directly.
    pub(super) fn to(&self, server: &Uri) -> Option<Intercept> {
        let is_near = is_loopback(server.host().unwrap_or_default());
        self.0.as_ref().filter(|_| !is_near).and_then(|matcher| matcher.intercept(server))
    }
}

/// The proxy as `HOST:PORT`, without the password that its URL may hold.
pub(super) fn address(proxy: &Intercept) -> String {
    let uri = proxy.uri();
    format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80))
}

/// A connector that asks this proxy for a tunnel.
pub(super) fn tunnel<C>(proxy: &Intercept, connector: C) -> Tunnel<C> {
    let tunnel = Tunnel::new(proxy.uri().clone(), connector);
    match proxy.basic_auth() {
        Some(value) => tunnel.with_auth(value.clone()),
        None => tunnel,
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::net::Dialer;

    /// A proxy that answers each CONNECT with this, and its address. It returns what it was asked.
    async fn proxy(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 1024];
            let len = socket.read(&mut request).await.expect("a request");
            socket.write_all(answer.as_bytes()).await.expect("an answer");
            String::from_utf8_lossy(&request[..len]).into_owned()
        });
        (address, asked)
    }

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies> {
        Proxies::from_env(&|name| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned()))
    }

    #[tokio::test]
    async fn a_server_is_reached_through_a_tunnel_of_the_proxy() {
        let (address, asked) = proxy("HTTP/1.1 200 OK\r\n\r\n").await;
        let url = format!("http://me:canary@{address}");
        let dialer = Dialer::new(proxies(&[("https_proxy", &url)]).expect("a proxy"));
        dialer.dial(&Uri::from_static("https://run.googleapis.com")).await.expect("a tunnel");
        let asked = asked.await.expect("no panic");
        assert!(asked.starts_with("CONNECT run.googleapis.com:443 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.to_lowercase().contains("proxy-authorization: basic bwu6y2fuyxj5\r\n"), "{asked}");
        assert!(!format!("{dialer:?}").contains("canary"));
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_is_named_without_its_password() {
        for (answer, why) in [
            ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "authorization required"),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", "unsuccessful"),
        ] {
            let (address, _asked) = proxy(answer).await;
            let url = format!("http://me:canary@{address}");
            let dialer = Dialer::new(proxies(&[("HTTPS_PROXY", &url)]).expect("a proxy"));
            let error = dialer.dial(&Uri::from_static("https://run.googleapis.com")).await.expect_err("refused");
            let text = error.to_string();
            assert!(text.contains(why) && text.contains(&address) && !text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn only_servers_that_are_far_and_not_excepted_need_a_proxy() {
        let set = [("HTTPS_PROXY", "proxy.example:3128"), ("NO_PROXY", "corp.example, 10.0.0.0/8")];
        let proxies = proxies(&set).expect("a proxy");
        for (server, needs) in [
            ("https://run.googleapis.com", true),
            ("https://notcorp.example", true),
            ("https://corp.example", false),
            ("https://sts.corp.example", false),
            ("https://10.1.2.3", false),
            ("https://localhost:1", false),
            ("https://127.0.0.1:1", false),
            ("https://[::1]:1", false),
            ("http://169.254.169.254", false),
        ] {
            assert_eq!(proxies.to(&Uri::from_static(server)).is_some(), needs, "{server}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused_and_not_repeated() {
        for value in ["socks5://canary", "https://canary", "http://", "http://me:canary@", "canary canary"] {
            let error = proxies(&[("HTTPS_PROXY", value)]).expect_err(value).to_string();
            assert!(error.contains("HTTPS_PROXY") && !error.contains("canary"), "{error}");
        }
        assert!(proxies(&[("HTTPS_PROXY", "")]).expect("not set").to(&Uri::from_static("https://a.b")).is_none());
    }
}
