//! The emulator as a process of its own, which can be killed outright and comes back with what it had, on the same port;
//! and its own pages.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::program::{Running, line, runjob};

/// What a task is told apart by: its start's own name, in its environment.
pub(crate) const MARKER: &str = "SOAK_MARKER";
pub(crate) const PLAIN: &str = "plain";
/// Its tasks are tried again when they fail, or are lost with the emulator.
pub(crate) const TENACIOUS: &str = "tenacious";
pub(crate) const BATCH: &str = "batch";
/// Several, because each look for a key reads its job's list.
pub(crate) const KEYED: [&str; 8] =
    ["keyed-0", "keyed-1", "keyed-2", "keyed-3", "keyed-4", "keyed-5", "keyed-6", "keyed-7"];

const IMAGE: &str = "example.com/work";
/// How long one of the emulator's own pages may take.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Server {
    dir: PathBuf,
    running: Option<Running>,
    address: SocketAddr,
}

impl Server {
    /// A new emulator with its state in this directory.
    pub(crate) async fn start(dir: &Path) -> Self {
        write_work(dir);
        fs::write(dir.join("seed.json"), seed(dir).to_string()).expect("a file");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { dir: dir.to_owned(), running: None, address: any };
        server.restart().await;
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process, while there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.running = None;
    }

    /// Comes back once it is ready.
    pub(crate) async fn restart(&mut self) {
        let path = |name: &str| self.dir.join(name).display().to_string();
        let arguments =
            format!("emulator --listen={} --data-dir={} --seed={}", self.address, path("state"), path("seed.json"));
        for _ in 0..50 {
            let command = runjob(&arguments);
            let begin = move || {
                let mut running = Running::start(command);
                (running.line_of_stdout(), running)
            };
            let (variable, mut running) = spawn_blocking(begin).await.expect("it does not panic");
            if let Some((_, address)) = variable.split_once('=') {
                self.address = address.parse().expect("an address");
                self.running = Some(running);
                return;
            }
            println!("the emulator does not start yet: {}", line(&mut running.stderr));
            // The port of one that was killed may take a moment to be free.
            sleep(Duration::from_millis(100)).await;
        }
        panic!("the emulator does not start: {arguments}");
    }

    /// What every attempt has left behind: marker, execution, task and attempt.
    pub(crate) fn marks(&self) -> String {
        fs::read_to_string(self.dir.join("marks")).expect("a file")
    }
}

/// One of the emulator's own pages, asked for without the client.
pub(crate) async fn page(address: SocketAddr, method: &str, page: &str, body: &Value) -> io::Result<Value> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} /emulator/v1/{page} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let exchange = async {
        let mut connection = TcpStream::connect(address).await?;
        connection.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = timeout(PATIENCE, exchange).await??;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    assert!(head.starts_with("HTTP/1.1 200"), "{request}\n{answer}");
    Ok(serde_json::from_str(body)?)
}

/// The work of every task: leave a mark, take `$1` seconds, exit with `$2`.
fn write_work(dir: &Path) {
    let (work, marks) = (dir.join("work.sh"), dir.join("marks"));
    let text = format!(
        "#!/bin/sh\n\
         echo \"${MARKER} $CLOUD_RUN_EXECUTION $CLOUD_RUN_TASK_INDEX $CLOUD_RUN_TASK_ATTEMPT\" >> {}\n\
         sleep \"$1\"\n\
         exit \"$2\"\n",
        marks.display()
    );
    fs::write(&work, text).expect("a file");
    fs::set_permissions(&work, fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::write(&marks, "").expect("a file");
}

fn seed(dir: &Path) -> Value {
    let job =
        |retries: u32| json!({"template": {"template": {"containers": [{"image": IMAGE}], "maxRetries": retries}}});
    let once = KEYED.into_iter().chain([PLAIN, BATCH]).map(|id| (id.to_owned(), job(0)));
    let jobs: serde_json::Map<_, _> = once.chain([(TENACIOUS.to_owned(), job(3))]).collect();
    json!({"images": {IMAGE: [dir.join("work.sh")]}, "jobs": jobs})
}
