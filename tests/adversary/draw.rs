//! Draws a script from a seed: a way to answer that somebody has thought of, and then a few edits that nobody has.

use fastrand::Rng;

use crate::script::{
    Body, Caller, End, Extra, Fate, Framing, Head, Last, Mark, Method, Next, OpResult, Raw, Reply, Script, Split,
    Start, Step, Target, Wait, Whose,
};

/// The script of one conversation of a seed.
pub(crate) fn script(seed: u64, conversation: u64) -> Script {
    let mut draw = Draw(Rng::with_seed(seed.rotate_left(32) ^ conversation.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    draw.script()
}

struct Draw(Rng);

const CODES: [&str; 24] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "99", "-1", "",
    "05", "5 ", "x",
];

impl Draw {
    fn chance(&mut self, percent: u8) -> bool {
        self.0.u8(0..100) < percent
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.0.usize(0..of.len())].clone()
    }

    fn script(&mut self) -> Script {
        let start = self.one(&[Start::Plain, Start::Plain, Start::Plain, Start::Key, Start::Key, Start::Token]);
        let wait = self.one(&[Wait::Never, Wait::Never, Wait::Handle, Wait::Name]);
        let (earlier, rpc_timeout_ms) = (self.chance(15), self.one(&[500, 1000, 2000]));
        let caller = Caller { start, earlier, wait, rpc_timeout_ms, is_layered: self.chance(20) };
        let end = self.one(&[End::Succeeded, End::Succeeded, End::Failed, End::Cancelled, End::Deleted, End::Never]);
        let fate = Fate { end, after_ms: self.one(&[0, 300, 2000, 8000]) };
        let opens = (0..self.one(&[0, 0, 1, 1, 1, 2, 3])).map(|_| self.opening()).collect();
        // To be seen to wait, something has to start.
        let is_easy = wait != Wait::Never && self.chance(60);
        let mut answers: [Vec<Reply>; Method::ALL.len()] = Default::default();
        for method in Method::ALL {
            let is_used = match method {
                Method::RunJob => start != Start::Token,
                Method::ListExecutions => start == Start::Key,
                Method::GetJob | Method::UpdateJob => start == Start::Token,
                Method::GetExecution => start == Start::Token || wait != Wait::Never,
                _ => wait != Wait::Never,
            };
            let is_about_the_start =
                matches!(method, Method::RunJob | Method::ListExecutions | Method::GetJob | Method::UpdateJob);
            if is_used && !(is_easy && is_about_the_start) {
                answers[method as usize] = self.replies(method);
            }
        }
        Script { caller, fate, opens, answers, late: self.chance(30), rude: self.chance(10) }
    }

    fn opening(&mut self) -> Vec<Step> {
        if self.chance(15) {
            return Vec::new();
        }
        let mut steps = vec![if self.chance(30) { self.settings() } else { Step::Settings(Vec::new()) }];
        for _ in 0..self.one(&[0, 0, 0, 0, 0, 0, 1, 2, 3]) {
            let step = self.connection_step();
            self.insert(&mut steps, step);
        }
        steps
    }

    fn replies(&mut self, method: Method) -> Vec<Reply> {
        let most = if method == Method::RunJob { 3 } else { 2 };
        let count = if method.starts() { self.0.usize(1..=most) } else { self.0.usize(0..=most) };
        let mut replies: Vec<_> = (0..count).map(|_| self.reply(method)).collect();
        if let Some(last) = replies.last_mut() {
            last.forever = self.chance(if method.starts() { 10 } else { 25 });
        }
        replies
    }

    fn reply(&mut self, method: Method) -> Reply {
        let mut reply = Reply { split: self.split(), ..Reply::default() };
        reply.steps = self.way(method);
        for _ in 0..self.one(&[0, 0, 1, 1, 2, 3, 5]) {
            self.edit(&mut reply, method);
        }
        reply
    }

    fn split(&mut self) -> Split {
        let size = self.0.usize(2..40);
        self.one(&[Split::None, Split::None, Split::Steps, Split::Bytes(1), Split::Bytes(size)])
    }

    /// A way to answer that makes some sense.
    fn way(&mut self, method: Method) -> Vec<Step> {
        let ok = Step::Head(Head { http: Some(200), ..Head::default() });
        let message = |body| Step::Message { body, framing: Framing::True, frames: 1, end: false };
        let trailers = |code| Step::Head(Head { grpc: vec![code], end: true, ..Head::default() });
        let only = |code| Step::Head(Head { http: Some(200), grpc: vec![code], end: true, ..Head::default() });
        let mut steps = if self.chance(60) { vec![Step::Process] } else { Vec::new() };
        let body = if self.chance(50) { Body::About(Whose::Own) } else { self.body(method) };
        let code = self.one(&CODES);
        if matches!(method, Method::ListExecutions | Method::ListTasks) && self.chance(30) {
            let page = Body::Page { item: None, next: self.one(&[Next::Same, Next::New]) };
            return vec![ok, message(page), trailers("0")];
        }
        match self.0.u8(0..12) {
            0..=2 => steps.extend([ok, message(body), trailers("0")]),
            3 => steps.extend([ok, message(body), trailers(code)]),
            4 => steps.push(only(code)),
            5 => {
                let head = Head { http: Some(200), grpc: vec![code], ..Head::default() };
                let closing = self.one(&[trailers("0"), Step::Data { length: 0, end: true }, trailers(code)]);
                steps.extend([Step::Head(head), message(body), closing]);
            }
            6 => {
                let status = self.one(&[200, 204, 301, 400, 401, 403, 404, 408, 429, 500, 502, 503, 504, 999]);
                let head = Head { http: Some(status), extras: vec![Extra::Html], ..Head::default() };
                steps.extend([Step::Head(head), Step::Data { length: 40, end: true }]);
            }
            7 => steps.push(Step::GoAway { last: self.last(), code: self.error_code() }),
            8 => steps.push(Step::Reset { target: Target::Ours, code: self.error_code() }),
            9 => steps.push(Step::Raw(self.raw())),
            10 => steps.push(self.one(&[Step::Close, Step::Abort, Step::HalfClose, Step::Deaf])),
            _ => steps.extend([ok, trailers(code)]),
        }
        steps
    }

    fn edit(&mut self, reply: &mut Reply, method: Method) {
        match self.0.u8(0..10) {
            0 if !reply.steps.is_empty() => {
                let at = self.0.usize(0..reply.steps.len());
                reply.steps.remove(at);
            }
            1 if !reply.steps.is_empty() => {
                let step = self.one(&reply.steps);
                self.insert(&mut reply.steps, step);
            }
            2 if reply.steps.len() > 1 => {
                let (one, other) = (self.0.usize(0..reply.steps.len()), self.0.usize(0..reply.steps.len()));
                reply.steps.swap(one, other);
            }
            3 if !reply.steps.is_empty() => {
                // An answer before the question.
                let count = self.0.usize(1..=reply.steps.len());
                reply.early.extend(reply.steps.drain(..count).collect::<Vec<_>>());
            }
            4 => {
                let step = self.connection_step();
                self.insert(&mut reply.early, step);
            }
            5 | 6 => {
                let step = self.connection_step();
                self.insert(&mut reply.steps, step);
            }
            7 => {
                if let Some(Step::Head(head)) = reply.steps.iter_mut().find(|step| matches!(step, Step::Head(_))) {
                    self.bend(head);
                }
            }
            8 => {
                for step in &mut reply.steps {
                    if let Step::Message { framing, frames, end, .. } = step {
                        *framing = self.framing();
                        *frames = self.one(&[1, 2, 7, 50]);
                        *end = self.chance(30);
                    }
                }
            }
            _ => {
                let step = self.stream_step(method);
                self.insert(&mut reply.steps, step);
            }
        }
    }

    fn insert(&mut self, steps: &mut Vec<Step>, step: Step) {
        let at = self.0.usize(0..=steps.len());
        steps.insert(at, step);
    }

    /// Something about the connection.
    fn connection_step(&mut self) -> Step {
        match self.0.u8(0..16) {
            0 | 1 => Step::Ping,
            2 => Step::Pong,
            3 => self.settings(),
            4 => Step::SettingsAck,
            5 => Step::Window { ours: self.chance(50), by: self.one(&[0, 1, 1000, 0x7fff_ffff]) },
            6 => Step::Priority,
            7 => Step::Unknown(self.one(&[10, 0x20, 0xfa])),
            8 => Step::Push,
            9 | 10 => Step::GoAway { last: self.last(), code: self.error_code() },
            11 => Step::Reset {
                target: self.one(&[Target::Ours, Target::Connection, Target::Next]),
                code: self.error_code(),
            },
            12 => Step::Raw(self.raw()),
            13 => self.one(&[Step::Close, Step::Abort, Step::HalfClose, Step::Deaf]),
            _ => Step::Pause(self.one(&[1, 10, 100, 600, 1500])),
        }
    }

    /// Something about the request at hand.
    fn stream_step(&mut self, method: Method) -> Step {
        match self.0.u8(0..6) {
            0 => Step::Interim(self.one(&[100, 103, 199])),
            1 | 2 => {
                let mut head = Head { http: self.one(&[None, Some(200), Some(503)]), ..Head::default() };
                head.end = self.chance(50);
                if self.chance(70) {
                    head.grpc = vec![self.one(&CODES)];
                }
                self.bend(&mut head);
                Step::Head(head)
            }
            3 => Step::Data { length: self.one(&[0, 1, 4, 5, 100]), end: self.chance(30) },
            4 => Step::Process,
            _ => Step::Message {
                body: self.body(method),
                framing: self.framing(),
                frames: self.one(&[1, 2, 7]),
                end: self.chance(30),
            },
        }
    }

    fn bend(&mut self, head: &mut Head) {
        match self.0.u8(0..8) {
            0 => head.end = !head.end,
            1 => head.grpc.push(self.one(&CODES)),
            2 => head.grpc = vec![self.one(&CODES)],
            3 => head.continuations = self.one(&[1, 2, 5]),
            4 => head.indexed = true,
            5 => head.http = self.one(&[None, Some(200), Some(404), Some(503), Some(600), Some(101)]),
            _ => head.extras.push(self.extra()),
        }
    }

    fn extra(&mut self) -> Extra {
        let seconds = self.one(&[-1, 0, 1, 3600, i64::MAX]);
        let pushback = self.one(&["0", "-1", "100", "x", "99999999999999999999"]);
        self.one(&[
            Extra::BadDetails,
            Extra::OddDetails,
            Extra::RetryInfo(seconds),
            Extra::Pushback(pushback),
            Extra::Message,
            Extra::NotAscii,
            Extra::BadPercent,
            Extra::Giant,
            Extra::Many,
            Extra::OtherBinary,
            Extra::Html,
            Extra::NoContentType,
            Extra::Gzip,
            Extra::Uppercase,
            Extra::Connection,
            Extra::StatusAgain,
            Extra::PseudoLate,
            Extra::BadIndex,
            Extra::BadTableSize,
        ])
    }

    fn body(&mut self, method: Method) -> Body {
        let whose = self.whose();
        match self.0.u8(0..10) {
            0..=2 => Body::About(whose),
            3 => Body::Empty,
            4 => Body::Garbage(self.one(&[1, 5, 300])),
            5 => Body::Cut(self.0.usize(1..60)),
            6 => Body::Padded(self.one(&[10, 20_000, 5_000_000])),
            _ if matches!(method, Method::ListExecutions | Method::ListTasks) => {
                let mark = self.one(&[Mark::Key, Mark::LongerKey, Mark::OtherVariable, Mark::None]);
                let item = if self.chance(60) { Some((whose, mark)) } else { None };
                Body::Page { item, next: self.one(&[Next::None, Next::Same, Next::New]) }
            }
            _ => {
                let metadata = if self.chance(60) { Some(self.whose()) } else { None };
                let codes: &[i32] =
                    if method.starts() { &[0, 1, 2, 4, 5, 7, 8, 9, 13, 14, 99, -1] } else { &[2, 4, 8, 13, 14] };
                let result = match self.0.u8(0..3) {
                    0 => OpResult::None,
                    1 => OpResult::Error(self.one(codes)),
                    _ => OpResult::Response(self.whose()),
                };
                Body::Operation { name: whose, done: self.chance(60), metadata, result }
            }
        }
    }

    fn whose(&mut self) -> Whose {
        self.one(&[
            Whose::Own,
            Whose::Own,
            Whose::Own,
            Whose::OwnByNumber,
            Whose::OtherProject,
            Whose::OtherRegion,
            Whose::OtherJob,
            Whose::OtherExecution,
            Whose::Malformed,
            Whose::Nameless,
        ])
    }

    fn settings(&mut self) -> Step {
        let known = [
            (1, 0),
            (1, 65_536),
            (2, 0),
            (2, 1),
            (3, 0),
            (3, 1),
            (3, 100),
            (4, 0),
            (4, 10),
            (4, 0x7fff_ffff),
            (4, 0xffff_ffff),
            (5, 16_384),
            (5, 1),
            (5, 0xff_ffff),
            (6, 0),
            (6, 16_384),
            (8, 1),
            (0xff, 7),
        ];
        let count = self.one(&[0, 0, 0, 1, 2]);
        Step::Settings((0..count).map(|_| self.one(&known)).collect())
    }

    fn framing(&mut self) -> Framing {
        self.one(&[
            Framing::True,
            Framing::True,
            Framing::Compressed,
            Framing::Longer(1),
            Framing::Longer(1 << 30),
            Framing::Shorter(1),
            Framing::Bare,
        ])
    }

    fn last(&mut self) -> Last {
        self.one(&[Last::Zero, Last::Below, Last::Ours, Last::Most])
    }

    fn error_code(&mut self) -> u32 {
        self.one(&[0, 1, 2, 3, 5, 7, 7, 8, 9, 11, 12, 13, 99, 0xffff_ffff])
    }

    fn raw(&mut self) -> Raw {
        self.one(&[
            Raw::Http1,
            Raw::Http1Upgrade,
            Raw::TlsAlert,
            Raw::Zeros,
            Raw::Ones,
            Raw::Preface,
            Raw::HugeFrame,
            Raw::HalfFrame,
            Raw::DataOnZero,
            Raw::LoneContinuation,
        ])
    }
}
