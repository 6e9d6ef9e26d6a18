//! The checks of `runjob doctor`: what a call needs, in the order in which it needs it.
//!
//! Each takes one step of a call and keeps what the next ones need. One whose step cannot be taken, because an earlier one
//! failed, says so. None shows what credentials hold.

use std::{net::IpAddr, time::Duration};

use futures_util::{TryStreamExt as _, future::BoxFuture};
use tokio::{net::TcpStream, time::timeout};

use super::{
    Finding,
    permissions::{self, Granted},
};
use crate::{
    Credentials, JobName, Location,
    cli::{
        context::{Context, ServicePath, Target},
        exit::Exit,
        failure::Failure,
        printer::Printer,
        session::Session,
    },
    net::{self, Tls},
    transport::{self, H2},
};

/// How long a step to a server may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How many addresses of a host are shown.
const MOST_ADDRESSES: usize = 4;

/// A step of a call.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) examine: for<'a, 'b> fn(&'a mut Patient<'b>) -> BoxFuture<'a, Finding>,
    /// Whether it waits for another machine, so that its time is worth telling.
    pub(super) calls: bool,
}

/// All checks.
pub(super) const CHECKS: [Check; 14] = [
    Check { name: "project", examine: |patient| Box::pin(async { patient.project() }), calls: false },
    Check { name: "region", examine: |patient| Box::pin(async { patient.region() }), calls: false },
    Check { name: "endpoint", examine: |patient| Box::pin(async { patient.endpoint() }), calls: false },
    Check { name: "credentials", examine: |patient| Box::pin(patient.credentials()), calls: false },
    Check { name: "proxy", examine: |patient| Box::pin(async { patient.proxy() }), calls: false },
    Check { name: "dns", examine: |patient| Box::pin(patient.dns()), calls: true },
    Check { name: "tcp", examine: |patient| Box::pin(patient.tcp()), calls: true },
    Check { name: "tls", examine: |patient| Box::pin(patient.tls()), calls: true },
    Check { name: "token", examine: |patient| Box::pin(patient.token()), calls: true },
    Check { name: "permissions", examine: |patient| Box::pin(patient.permissions()), calls: true },
    Check { name: "start", examine: |patient| Box::pin(async { patient.granted(permissions::start) }), calls: false },
    Check {
        name: "overrides",
        examine: |patient| Box::pin(async { patient.granted(permissions::overrides) }),
        calls: false,
    },
    Check { name: "wait", examine: |patient| Box::pin(async { patient.granted(permissions::wait) }), calls: false },
    Check { name: "tasks", examine: |patient| Box::pin(async { patient.granted(permissions::tasks) }), calls: false },
];

/// What is examined, and what was found so far.
pub(super) struct Patient<'a> {
    context: &'a Context<'a>,
    printer: &'a Printer,
    job: Option<String>,
    project: Option<String>,
    location: Option<Location>,
    server: Option<transport::ServerAddress>,
    credentials: Option<Credentials>,
    way: Option<ServicePath>,
    is_resolved: bool,
    socket: Option<TcpStream>,
    /// Whether the server can be called, as far as the network goes.
    is_reached: bool,
    has_token: bool,
    session: Option<Session>,
    granted: Option<Granted>,
}

impl<'a> Patient<'a> {
    pub(super) fn new(context: &'a Context<'a>, printer: &'a Printer, job: Option<String>) -> Self {
        Self {
            context,
            printer,
            job,
            project: None,
            location: None,
            server: None,
            credentials: None,
            way: None,
            is_resolved: false,
            socket: None,
            is_reached: false,
            has_token: false,
            session: None,
            granted: None,
        }
    }

    /// Ends what the checks have opened.
    pub(super) async fn discharge(self) -> Result<(), Failure> {
        match self.session {
            Some(session) => session.close().await,
            None => Ok(()),
        }
    }

    /// The location of a job that was named in full.
    fn full(&self) -> Option<Result<Location, Failure>> {
        let name = self.job.as_deref().filter(|name| name.contains('/'))?;
        Some(self.context.job(name).map(|job| job.location().clone()))
    }

    fn project(&mut self) -> Finding {
        let (project, origin) = match self.full() {
            Some(Ok(location)) => (location.project().to_owned(), "the job's name".to_owned()),
            Some(Err(failure)) => return Finding::Failed(failure),
            None => match self.context.project() {
                Ok(found) => (found.value, found.origin.to_string()),
                Err(failure) => return Finding::Failed(failure),
            },
        };
        let detail = format!("{project}, from {origin}");
        self.project = Some(project);
        Finding::Good(detail)
    }

    fn region(&mut self) -> Finding {
        let (location, origin) = match self.full() {
            Some(Ok(location)) => (Ok(location), "the job's name".to_owned()),
            Some(Err(_)) => return Finding::Skipped,
            None => match self.context.region() {
                Ok(found) => (self.context.location(), found.origin.to_string()),
                Err(failure) => return Finding::Failed(failure),
            },
        };
        if self.project.is_none() {
            return Finding::Skipped;
        }
        Finding::of(location.map(|location| {
            let detail = format!("{}, from {origin}", location.region());
            self.location = Some(location);
            detail
        }))
    }

    fn endpoint(&mut self) -> Finding {
        let region = self.location.as_ref().map(Location::region);
        let (server, origin) = match &self.context.target {
            Target::InProcess => {
                self.is_reached = true;
                return Finding::Unused("an emulator inside this process".to_owned());
            }
            Target::Emulator { host, variable } => (transport::ServerAddress::emulator(host), *variable),
            Target::Service { endpoint: Some(endpoint) } => (transport::ServerAddress::parse(endpoint), "--endpoint"),
            Target::Service { endpoint: None } => (transport::ServerAddress::service(region), "the region"),
        };
        Finding::of(server.map(|server| {
            let detail = format!("{server}, from {origin}");
            self.server = Some(server);
            detail
        }))
    }

    async fn credentials(&mut self) -> Finding {
        if self.is_emulator() {
            self.credentials = Some(Credentials::anonymous());
            return Finding::Unused("an emulator takes none".to_owned());
        }
        let Some(server) = &self.server else { return Finding::Skipped };
        if let Err(error) = server.check_for_tokens(false) {
            return Finding::Failed(error.into());
        }
        let roots = match self.context.roots() {
            Ok(roots) => roots,
            Err(failure) => return Finding::Failed(failure),
        };
        Finding::of(self.context.credentials(roots).await.map(|credentials| {
            let detail = format!("{}, from {}", credentials.kind(), credentials.origin());
            self.credentials = Some(credentials);
            detail
        }))
    }

    fn proxy(&mut self) -> Finding {
        let Some(server) = &self.server else { return self.without_network() };
        let way = match self.context.way() {
            Ok(way) => way,
            Err(failure) => return Finding::Failed(failure),
        };
        let proxy = way.dialer.proxy_to(server.uri());
        self.way = Some(way);
        proxy.map_or_else(|| Finding::Unused("none".to_owned()), Finding::Good)
    }

    async fn dns(&mut self) -> Finding {
        let (Some(server), Some(way)) = (&self.server, &self.way) else { return self.without_network() };
        let proxy = way.dialer.proxy_to(server.uri());
        let host = proxy.as_deref().and_then(|proxy| proxy.rsplit_once(':')).map(|(host, _)| host);
        let host = host.or(server.uri().host()).unwrap_or_default().trim_matches(['[', ']']);
        if host.parse::<IpAddr>().is_ok() {
            self.is_resolved = true;
            return Finding::Unused(format!("{host} is an address"));
        }
        match timeout(LIMIT, net::resolve(host)).await {
            Ok(Ok(addresses)) => {
                self.is_resolved = true;
                let shown = addresses.iter().take(MOST_ADDRESSES).map(|address| address.ip().to_string());
                Finding::Good(format!("{host} is {}", shown.collect::<Vec<_>>().join(", ")))
            }
            Ok(Err(cause)) => unreachable(format!("{host} does not resolve: {cause}"), "check the name server"),
            Err(_) => unreachable(late(&format!("an address of {host}")), "check the name server"),
        }
    }

    async fn tcp(&mut self) -> Finding {
        let (Some(server), Some(way)) = (&self.server, &self.way) else { return self.without_network() };
        if !self.is_resolved {
            return Finding::Skipped;
        }
        match timeout(LIMIT, way.dialer.dial(server.uri())).await {
            Ok(Ok(socket)) => {
                let peer = socket.peer_addr().map_or_else(|_| "the server".to_owned(), |address| address.to_string());
                self.socket = Some(socket);
                self.is_reached = !server.is_tls();
                Finding::Good(format!("connected to {peer}"))
            }
            Ok(Err(error)) => Finding::Failed(error.into()),
            Err(_) => unreachable(late("a connection"), "check the network, its firewall and --proxy"),
        }
    }

    async fn tls(&mut self) -> Finding {
        let (Some(server), Some(way)) = (&self.server, &self.way) else { return self.without_network() };
        let Some(socket) = self.socket.take() else { return Finding::Skipped };
        if !server.is_tls() {
            return Finding::Unused("the endpoint is plaintext".to_owned());
        }
        let shaken = async { Tls::new(H2, &way.certificates)?.handshake(socket, server.uri()).await };
        match timeout(LIMIT, shaken).await {
            Ok(Ok(_)) => {
                self.is_reached = true;
                Finding::Good(format!("the certificate of {} is trusted", server.uri().host().unwrap_or_default()))
            }
            Ok(Err(error)) => Finding::Failed(error.into()),
            Err(_) => unreachable(late("a TLS handshake"), "check the endpoint and its port"),
        }
    }

    async fn token(&mut self) -> Finding {
        let Some(credentials) = &self.credentials else { return Finding::Skipped };
        match credentials.authorization().await {
            Ok(token) => {
                self.has_token = true;
                match token {
                    Some(_) => Finding::Good("there is one".to_owned()),
                    None => Finding::Unused("none is sent".to_owned()),
                }
            }
            Err(error) => Finding::Failed(error.into()),
        }
    }

    async fn permissions(&mut self) -> Finding {
        let (true, true, Some(credentials), Some(location)) =
            (self.is_reached, self.has_token, self.credentials.clone(), self.location.clone())
        else {
            return Finding::Skipped;
        };
        match self.ask(credentials, &location).await {
            Ok(job) => Finding::Good(format!("asked about {job}")),
            Err(failure) => Finding::Failed(failure),
        }
    }

    async fn ask(&mut self, credentials: Credentials, location: &Location) -> Result<JobName, Failure> {
        let session = Session::open_as(async { Ok(credentials) }, self.context, location, self.printer).await?;
        let client = &self.session.insert(session).client;
        let job = match &self.job {
            Some(job) => self.context.job(job)?,
            None => match client.jobs(location).try_next().await? {
                Some(job) => job.name.parse().map_err(crate::Error::from)?,
                None => {
                    return Err(Failure::new(Exit::Conflict, format!("there is no job in {location} to ask about"))
                        .hint("permissions are those on a job; create one first"));
                }
            },
        };
        self.granted = Some(permissions::granted(client, &job).await?);
        Ok(job)
    }

    fn granted(&self, check: fn(&Granted) -> Finding) -> Finding {
        self.granted.as_ref().map_or(Finding::Skipped, check)
    }

    fn is_emulator(&self) -> bool {
        !matches!(self.context.target, Target::Service { .. })
    }

    /// What a step over the network finds where there is no server to go to.
    fn without_network(&self) -> Finding {
        match self.context.target {
            Target::InProcess => Finding::Unused("nothing leaves this process".to_owned()),
            _ => Finding::Skipped,
        }
    }
}

fn late(what: &str) -> String {
    format!("{what} is not there within {} s", LIMIT.as_secs())
}

fn unreachable(message: String, hint: &str) -> Finding {
    Finding::Failed(Failure::new(Exit::Other, message).hint(hint))
}
