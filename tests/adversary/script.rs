//! A conversation as a list of steps: what a peer does on each connection and at each request, and what a caller wants.
//!
//! Steps are what somebody can write down and read again; what they are as bytes, and whether a step would be a lie
//! that nobody can see through, the peer knows.

use std::fmt::{self, Display, Formatter};

/// One conversation around one start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    pub(crate) caller: Caller,
    /// What becomes of the execution, and when.
    pub(crate) fate: Fate,
    /// What the first, second, ... connection does before it is asked anything. Later ones are polite.
    pub(crate) opens: Vec<Vec<Step>>,
    /// What the first, second, ... request of each method is answered with. Later ones are answered truly.
    pub(crate) answers: [Vec<Reply>; Method::ALL.len()],
    /// A request that was read and not refused takes effect when all is over.
    pub(crate) late: bool,
    /// SETTINGS and PING of the client are not acknowledged.
    pub(crate) rude: bool,
}

/// What the caller under test does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) start: Start,
    /// An execution with the caller's key or token exists already.
    pub(crate) earlier: bool,
    pub(crate) wait: Wait,
    pub(crate) rpc_timeout_ms: u64,
    /// A layer is around the transport.
    pub(crate) is_layered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Plain,
    Key,
    Token,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Never,
    /// By the handle that the start returned.
    Handle,
    /// By the execution's name, as another process would.
    Name,
}

/// The truth about the execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) end: End,
    pub(crate) after_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Succeeded,
    Failed,
    Cancelled,
    Deleted,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Method {
    RunJob,
    ListExecutions,
    GetJob,
    UpdateJob,
    GetExecution,
    WaitOperation,
    GetOperation,
    ListTasks,
}

impl Method {
    pub(crate) const ALL: [Self; 8] = [
        Self::RunJob,
        Self::ListExecutions,
        Self::GetJob,
        Self::UpdateJob,
        Self::GetExecution,
        Self::WaitOperation,
        Self::GetOperation,
        Self::ListTasks,
    ];

    /// The method of a `:path`.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next()?;
        Self::ALL.into_iter().find(|method| format!("{method:?}") == name)
    }

    /// Whether it is the request that starts.
    pub(crate) fn starts(self) -> bool {
        matches!(self, Self::RunJob | Self::UpdateJob)
    }
}

/// What is done about one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reply {
    /// At its head, before its message is read.
    pub(crate) early: Vec<Step>,
    /// At its message.
    pub(crate) steps: Vec<Step>,
    pub(crate) split: Split,
    /// Every later request of the method is answered like this too.
    pub(crate) forever: bool,
}

/// How the bytes are handed to the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Split {
    /// All in one write.
    #[default]
    None,
    /// A write for each step.
    Steps,
    /// Writes of so many bytes.
    Bytes(usize),
}

/// One thing that a peer does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// The request takes effect: the job is started.
    Process,
    /// The whole answer, as a service gives it, and the effect.
    Honest,
    Settings(Vec<(u16, u32)>),
    SettingsAck,
    Ping,
    Pong,
    Window {
        ours: bool,
        by: u32,
    },
    Priority,
    Unknown(u8),
    Push,
    Interim(u16),
    Head(Head),
    Message {
        body: Body,
        framing: Framing,
        frames: usize,
        end: bool,
    },
    Data {
        length: usize,
        end: bool,
    },
    GoAway {
        last: Last,
        code: u32,
    },
    Reset {
        target: Target,
        code: u32,
    },
    Raw(Raw),
    Pause(u64),
    Deaf,
    HalfClose,
    Close,
    Abort,
}

/// A HEADERS frame: an answer's head, its trailers, or both in one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Head {
    /// `:status` and a content type.
    pub(crate) http: Option<u16>,
    /// `grpc-status`, as often as it is there.
    pub(crate) grpc: Vec<&'static str>,
    pub(crate) extras: Vec<Extra>,
    pub(crate) end: bool,
    pub(crate) continuations: usize,
    pub(crate) indexed: bool,
}

impl Head {
    /// Whether it is the head of a gRPC answer of which more is to come, with no part of a status.
    pub(crate) fn is_plain(&self) -> bool {
        let is_harmless = |extra: &Extra| {
            use Extra::{BadTableSize, Giant, Gzip, Many, OtherBinary, Pushback};
            matches!(extra, BadTableSize | Giant | Gzip | Many | OtherBinary | Pushback(_))
        };
        self.http == Some(200) && self.grpc.is_empty() && self.extras.iter().all(is_harmless) && !self.end
    }
}

/// A header field that need not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    /// `grpc-status-details-bin` that is no base64.
    BadDetails,
    /// The same in base64 that is no protobuf.
    OddDetails,
    /// Details with a RetryInfo of so many seconds.
    RetryInfo(i64),
    Pushback(&'static str),
    Message,
    NotAscii,
    BadPercent,
    Giant,
    Many,
    OtherBinary,
    Html,
    NoContentType,
    Gzip,
    Uppercase,
    Connection,
    StatusAgain,
    PseudoLate,
    BadIndex,
    BadTableSize,
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    /// A true answer to the method, but for whom it is about.
    About(Whose),
    Operation {
        name: Whose,
        done: bool,
        metadata: Option<Whose>,
        result: OpResult,
    },
    /// A page of a list.
    Page {
        item: Option<(Whose, Mark)>,
        next: Next,
    },
    Empty,
    Garbage(usize),
    /// A true answer, cut off after so many bytes.
    Cut(usize),
    /// So many bytes of a field that nobody knows.
    Padded(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpResult {
    None,
    Error(i32),
    Response(Whose),
}

/// Whose names an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Own,
    /// Ours, with the project's number for its id.
    OwnByNumber,
    OtherProject,
    OtherRegion,
    OtherJob,
    /// Another execution of the same job.
    OtherExecution,
    Malformed,
    Nameless,
}

/// How a listed execution is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Key,
    LongerKey,
    OtherVariable,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    None,
    Same,
    New,
}

/// What the prefix of a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    True,
    Compressed,
    Longer(usize),
    Shorter(usize),
    /// Without a prefix at all.
    Bare,
}

/// The last stream of a GOAWAY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Zero,
    Below,
    Ours,
    Most,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Ours,
    Connection,
    Next,
}

/// Bytes that are no HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Raw {
    Http1,
    Http1Upgrade,
    TlsAlert,
    Zeros,
    Ones,
    Preface,
    HugeFrame,
    HalfFrame,
    DataOnZero,
    LoneContinuation,
}

impl Display for Script {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Caller { start, earlier, wait, rpc_timeout_ms, is_layered } = self.caller;
        writeln!(f, "  caller: start {start:?}, wait {wait:?}, rpc_timeout {rpc_timeout_ms} ms")?;
        if is_layered {
            writeln!(f, "  through a layer")?;
        }
        if earlier {
            writeln!(f, "  an execution with the key or token exists already")?;
        }
        if wait != Wait::Never {
            writeln!(f, "  the execution: {:?} after {} ms", self.fate.end, self.fate.after_ms)?;
        }
        if self.rude {
            writeln!(f, "  the peer acknowledges nothing")?;
        }
        if self.late {
            writeln!(f, "  a request that was read takes effect when all is over")?;
        }
        for (n, steps) in self.opens.iter().enumerate() {
            writeln!(f, "  connection {}:", n + 1)?;
            print(f, steps)?;
        }
        for (method, replies) in Method::ALL.iter().zip(&self.answers) {
            for (n, reply) in replies.iter().enumerate() {
                let more = if reply.forever { " and every later one" } else { "" };
                writeln!(f, "  {method:?} {}{more}, written as {:?}:", n + 1, reply.split)?;
                if !reply.early.is_empty() {
                    writeln!(f, "    before its message is read:")?;
                    print(f, &reply.early)?;
                    writeln!(f, "    after its message was read:")?;
                }
                print(f, &reply.steps)?;
            }
        }
        Ok(())
    }
}

fn print(f: &mut Formatter<'_>, steps: &[Step]) -> fmt::Result {
    if steps.is_empty() {
        writeln!(f, "    - nothing")?;
    }
    steps.iter().try_for_each(|step| writeln!(f, "    - {step:?}"))
}
