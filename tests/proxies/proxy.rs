//! A proxy as a process: its configuration, its start and its reload. Ends with the test.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long a proxy may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Proxy {
    folder: TempDir,
    process: Child,
    /// The signal by which it is told to read its configuration again.
    reload: &'static str,
}

impl Proxy {
    /// nginx, which closes a connection after ten requests, and gives up a call that is silent for five seconds.
    pub(crate) fn nginx(emulator: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let at = folder.path().display();
        let configuration = format!(
            "daemon off; worker_processes 2; pid {at}/pid; error_log {at}/log;
             events {{ worker_connections 512; }}
             http {{
                 access_log off; keepalive_requests 10;
                 client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
                 uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
                 upstream emulator {{ server {emulator}; keepalive 8; }}
                 server {{
                     listen unix:{at}/socket http2;
                     location / {{
                         grpc_pass grpc://emulator; grpc_set_header Host localhost;
                         grpc_read_timeout 5s; grpc_send_timeout 5s;
                     }}
                 }}
             }}"
        );
        fs::write(folder.path().join("configuration"), configuration).expect("a file");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("configuration"));
        Self::run(folder, command, "HUP")
    }

    /// haproxy, which gives up whatever is silent for four seconds.
    pub(crate) fn haproxy(emulator: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let at = folder.path().display();
        let configuration = format!(
            "global
                 stats socket {at}/stats mode 600 expose-fd listeners level admin
             defaults
                 mode http
                 timeout connect 4s
                 timeout client 4s
                 timeout server 4s
             frontend runjob
                 bind unix@{at}/socket proto h2
                 default_backend emulator
             backend emulator
                 http-request set-header host localhost
                 server emulator {emulator} proto h2\n"
        );
        fs::write(folder.path().join("configuration"), configuration).expect("a file");
        let mut command = Command::new("haproxy");
        command.arg("-W").arg("-db").arg("-f").arg(folder.path().join("configuration"));
        Self::run(folder, command, "USR2")
    }

    fn run(folder: TempDir, mut command: Command, reload: &'static str) -> Self {
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn();
        let program = command.get_program().to_string_lossy().into_owned();
        let process = process.unwrap_or_else(|cause| panic!("{program} cannot be run: {cause}"));
        let mut proxy = Self { folder, process, reload };
        let began = Instant::now();
        while std::os::unix::net::UnixStream::connect(proxy.socket()).is_err() {
            let ended = proxy.process.try_wait().expect("a child");
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "{program} does not listen: {ended:?}");
            thread::sleep(Duration::from_millis(20));
        }
        proxy
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Has it replace its workers, as after a change of its configuration.
    pub(crate) fn reload(&self) {
        self.signal(self.reload);
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.process.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{signal}");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Both end their workers at once when they are told to end. One that has ended already needs no telling.
        if matches!(self.process.try_wait(), Ok(None)) {
            self.signal("TERM");
            let _ = self.process.wait();
        }
    }
}
