//! What tasks print, line by line, for any number of readers. Bounded everywhere; never makes a task wait.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::broadcast::{
        self,
        error::{RecvError, TryRecvError},
    },
};

use crate::emulator::state::AttemptId;

/// Lines that wait for a slow reader; older ones are lost first.
const QUEUED_LINES: usize = 1024;
/// Of one attempt; what it prints beyond is read and dropped.
const MAX_OUTPUT: usize = 1024 * 1024;
/// A longer line comes in pieces.
const MAX_LINE: usize = 256 * 1024;

/// Which of its two outputs a task wrote to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line that a task printed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct OutputLine {
    /// Which try of which task of which execution.
    pub attempt: AttemptId,
    /// Where it was printed.
    pub stream: Stream,
    /// Without its end. Bytes that are no UTF-8 are replaced; control characters are as the task wrote them.
    /// A line over 256 KiB comes in pieces; after 1 MiB the rest of the attempt's output is left out.
    pub line: String,
}

/// What a [`OutputReader`] finds next.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// A line.
    Line(OutputLine),
    /// So many lines were lost because the reader was more than 1024 lines late.
    Lost(u64),
}

/// Reads what the tasks print, from the moment it was made: see [`Emulator::output`](crate::emulator::Emulator::output).
#[derive(Debug)]
pub struct OutputReader(broadcast::Receiver<OutputLine>);

impl OutputReader {
    /// The next line as soon as there is one; `None` when the emulator has stopped.
    pub async fn recv(&mut self) -> Option<Output> {
        match self.0.recv().await {
            Ok(line) => Some(Output::Line(line)),
            Err(RecvError::Lagged(lost)) => Some(Output::Lost(lost)),
            Err(RecvError::Closed) => None,
        }
    }

    /// The next line if it is already there. All lines of an attempt are there before the attempt counts as ended.
    pub fn try_recv(&mut self) -> Option<Output> {
        match self.0.try_recv() {
            Ok(line) => Some(Output::Line(line)),
            Err(TryRecvError::Lagged(lost)) => Some(Output::Lost(lost)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

/// Where runtimes put lines.
#[derive(Clone, Debug)]
pub(crate) struct OutputSender(broadcast::Sender<OutputLine>);

impl OutputSender {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(QUEUED_LINES))
    }

    pub(crate) fn reader(&self) -> OutputReader {
        OutputReader(self.0.subscribe())
    }

    /// The output of one attempt.
    pub(crate) fn of(&self, attempt: AttemptId) -> AttemptOutput {
        AttemptOutput { lines: self.clone(), attempt, left: Arc::new(AtomicUsize::new(MAX_OUTPUT)) }
    }
}

/// The output of one attempt, with what is left of its allowance.
#[derive(Clone, Debug)]
pub(crate) struct AttemptOutput {
    lines: OutputSender,
    attempt: AttemptId,
    left: Arc<AtomicUsize>,
}

impl AttemptOutput {
    /// Reads one stream to its end and passes its lines on.
    pub(crate) async fn pump(self, stream: Stream, mut source: impl AsyncRead + Unpin) {
        let mut pending = Vec::new();
        let mut chunk = vec![0; 16 * 1024];
        // A read error is the end of the stream.
        while let Ok(length @ 1..) = source.read(&mut chunk).await {
            for byte in &chunk[..length] {
                if *byte == b'\n' {
                    self.send(stream, &mut pending);
                    continue;
                }
                pending.push(*byte);
                if pending.len() == MAX_LINE {
                    self.send(stream, &mut pending);
                }
            }
        }
        if !pending.is_empty() {
            self.send(stream, &mut pending);
        }
    }

    fn send(&self, stream: Stream, line: &mut Vec<u8>) {
        let cost = line.len() + 1;
        let spend = |left: usize| Some(left.saturating_sub(cost));
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).unwrap_or(0);
        let text = match left {
            0 => None,
            _ if left > cost => Some(String::from_utf8_lossy(line).into_owned()),
            _ => Some(format!("[the rest of this attempt's output is left out: it is over {MAX_OUTPUT} bytes]")),
        };
        line.clear();
        if let Some(line) = text {
            // Nobody listening is no failure.
            _ = self.lines.0.send(OutputLine { attempt: self.attempt.clone(), stream, line });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Location;

    fn attempt() -> AttemptId {
        let job = Location::new("p", "r").expect("valid").job("j").expect("valid");
        AttemptId { execution: job.execution("j-1").expect("valid"), task_index: 0, attempt: 0 }
    }

    async fn lines(printed: &[u8]) -> Vec<String> {
        let sender = OutputSender::new();
        let mut reader = sender.reader();
        sender.of(attempt()).pump(Stream::Stdout, printed).await;
        let line = |output| match output {
            Output::Line(line) => line.line,
            Output::Lost(lost) => format!("lost {lost}"),
        };
        std::iter::from_fn(|| reader.try_recv()).map(line).collect()
    }

    #[tokio::test]
    async fn output_is_split_at_line_ends() {
        assert_eq!(lines(b"a\n\nb\nlast").await, ["a", "", "b", "last"]);
        assert_eq!(lines(b"").await, [""; 0]);
        assert_eq!(lines(b"\xff\n").await, ["\u{fffd}"]);
    }

    #[tokio::test]
    async fn a_line_without_an_end_comes_in_pieces_up_to_the_limit() {
        let pieces = lines(&vec![b'x'; 10 * MAX_OUTPUT]).await;
        assert_eq!(pieces.len(), 4);
        assert!(pieces[..3].iter().all(|piece| piece.len() == MAX_LINE));
        assert!(pieces[3].starts_with("[the rest"), "{}", pieces[3]);
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_how_many_lines_it_lost() {
        let printed = "x\n".repeat(QUEUED_LINES + 10);
        let lines = lines(printed.as_bytes()).await;
        assert_eq!((lines[0].as_str(), lines.len()), ("lost 10", QUEUED_LINES + 1));
    }
}
