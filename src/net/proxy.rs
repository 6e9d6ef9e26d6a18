//! Which connections go through a proxy: `HTTPS_PROXY` and `NO_PROXY`, or what the caller says. The proxy is asked for a
//! tunnel (CONNECT, RFC 9110 9.3.6), in which TLS is spoken with the server itself.
//!
//! The exchange with the proxy is hyper-util's, and so is matching a name with an entry of `NO_PROXY`. How entries are
//! written beside that, with a port or `*.` in front, is read here as Go and curl read it.

use std::{error::Error as StdError, net::IpAddr, sync::Arc};

use http::{Uri, uri::Scheme};
use hyper_util::client::{
    legacy::connect::proxy::Tunnel,
    proxy::matcher::{Intercept, Matcher},
};

use crate::error::{Error, ErrorKind, Result, chain};

/// What hyper-util calls the status 407; it does not export the type of the error.
const NO_PASSWORD: &str = "tunnel error: proxy authorization required";

/// The port of a server that names none.
const HTTPS: u16 = 443;

/// Decides for each server whether a proxy leads there. Plaintext connections and this machine itself never need one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Option<Arc<ProxyRules>>);

#[derive(Debug)]
struct ProxyRules {
    /// Which servers the proxy leads to, by their names.
    by_name: Matcher,
    /// The same for the exceptions that name a port.
    by_port: Vec<(u16, Matcher)>,
}

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
        let but = |names: String| Matcher::builder().https(whole.as_str()).no(names).build();
        let (with_port, names): (Vec<_>, Vec<_>) = exceptions(except).partition(|(_, port)| port.is_some());
        let names: Vec<&str> = names.into_iter().map(|(name, _)| name).collect();
        let by_name = but(names.join(","));
        let by_port = with_port.into_iter().filter_map(|(name, port)| Some((port?, but(name.to_owned()))));
        Ok(Self(Some(Arc::new(ProxyRules { by_name, by_port: by_port.collect() }))))
    }

    /// The proxy that leads to this server, or nothing where it is reached directly.
    pub(super) fn to(&self, server: &Uri) -> Option<Intercept> {
        let is_near = is_loopback(server.host().unwrap_or_default());
        let rules = self.0.as_ref().filter(|_| !is_near)?;
        let port = server.port_u16().unwrap_or(HTTPS);
        let mut of_port = rules.by_port.iter().filter(|(known, _)| *known == port);
        let proxy = rules.by_name.intercept(server)?;
        of_port.all(|(_, matcher)| matcher.intercept(server).is_some()).then_some(proxy)
    }
}

/// The entries of a list as in `NO_PROXY`, each with its port, if it names one. They stand between commas or spaces; `*.`
/// in front is a dot, brackets around an address of IPv6 and a dot at the end mean nothing.
fn exceptions(list: &str) -> impl Iterator<Item = (&str, Option<u16>)> {
    let entries = list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
    entries.map(|entry| {
        let (name, port) = match entry.rsplit_once(':') {
            // Another colon is in an address of IPv6, which has a port only after brackets.
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port.parse().ok()),
            _ => (entry, None),
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
        (name.strip_suffix('.').unwrap_or(name), port)
    })
}

/// Whether the proxy wants a password that it was not given: asked again, it says the same.
pub(super) fn wants_password(cause: &(dyn StdError + 'static)) -> bool {
    chain(cause).any(|e| e.to_string() == NO_PASSWORD)
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
    async fn a_proxy_that_refuses_is_named_without_its_password_and_asked_again_unless_it_wants_one() {
        for (answer, why, again) in [
            ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "authorization required", false),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", "unsuccessful", true),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "unsuccessful", true),
            ("SSH-2.0-OpenSSH_9.9\r\n", "unsuccessful", true),
            ("", "unexpected end", true),
        ] {
            let (address, _asked) = proxy(answer).await;
            let url = format!("http://me:canary@{address}");
            let dialer = Dialer::new(proxies(&[("HTTPS_PROXY", &url)]).expect("a proxy"));
            let error = dialer.dial(&Uri::from_static("https://run.googleapis.com")).await.expect_err("refused");
            let text = error.to_string();
            assert!(text.contains(why) && text.contains(&address) && !text.contains("canary"), "{text}");
            assert_eq!(error.is_retryable(), again, "{text}");
        }
    }

    /// What the list says of a server, beside what Go (`httpproxy.Config`) and curl (`--noproxy`) say.
    #[test]
    fn a_list_of_exceptions_is_read_as_go_and_curl_read_it() {
        for (list, server, needs) in [
            ("corp.example", "https://corp.example", false),
            ("corp.example", "https://CORP.EXAMPLE", false),
            ("corp.example", "https://a.b.corp.example:8443", false),
            ("corp.example", "https://notcorp.example", true),
            (".corp.example", "https://sts.corp.example", false),
            ("*.corp.example", "https://sts.corp.example", false),
            ("*.corp.example", "https://notcorp.example", true),
            ("corp.example.", "https://corp.example", false),
            ("a.example b.example\tc.example", "https://b.example", false),
            (" ,, a.example , ", "https://a.example", false),
            (" ,, a.example , ", "https://b.example", true),
            ("corp.example:8443", "https://corp.example:8443", false),
            ("corp.example:8443", "https://corp.example", true),
            ("corp.example:443", "https://sts.corp.example", false),
            ("corp.example:8443, other.example", "https://other.example", false),
            ("10.0.0.0/8", "https://10.1.2.3", false),
            ("10.0.0.0/8", "https://11.1.2.3", true),
            ("10.0.0.0/33", "https://10.1.2.3", true),
            ("10.1.2.3:8443", "https://10.1.2.3:8443", false),
            ("10.1.2.3:8443", "https://10.1.2.3", true),
            ("[fd00::1]", "https://[fd00::1]", false),
            ("[fd00::1]:8443", "https://[fd00::1]:8443", false),
            ("[fd00::1]:8443", "https://[fd00::1]", true),
            ("fd00::/8", "https://[fd00::1]", false),
            ("*", "https://run.googleapis.com", false),
            ("run.googleapis.com.evil.example", "https://run.googleapis.com", true),
            (":", "https://run.googleapis.com", true),
            ("*.", "https://run.googleapis.com", true),
        ] {
            let set = [("HTTPS_PROXY", "proxy.example:3128"), ("NO_PROXY", list)];
            let proxies = proxies(&set).expect("a proxy");
            assert_eq!(proxies.to(&server.parse().expect("a URL")).is_some(), needs, "{list:?} {server}");
        }
    }

    #[test]
    fn both_spellings_of_the_variables_are_known_and_the_one_in_capitals_wins() {
        let server = Uri::from_static("https://run.googleapis.com");
        let to = |set: &[_]| proxies(set).expect("a proxy").to(&server).as_ref().map(super::address);
        assert_eq!(to(&[("https_proxy", "a.example:1")]).as_deref(), Some("a.example:1"));
        assert_eq!(
            to(&[("https_proxy", "a.example:1"), ("HTTPS_PROXY", "b.example:2")]).as_deref(),
            Some("b.example:2")
        );
        assert_eq!(to(&[("https_proxy", "a.example:1"), ("no_proxy", "googleapis.com")]), None);
        assert_eq!(to(&[("http_proxy", "a.example:1"), ("ALL_PROXY", "a.example:1")]), None);
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
