//! A run as a stream: progress while it happens, and then the end.

use std::{
    borrow::BorrowMut,
    fmt::{self, Debug, Formatter},
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};
use tokio::time::{Instant, timeout_at};

use super::{Finished, Run, wait::Wait};
use crate::{
    error::Result,
    outcome::{Phase, Progress},
};

/// News of a run.
#[derive(Clone, Debug)]
pub enum Change {
    /// How far it is now, or why the service does not answer ([`Progress::trouble`]).
    Progress(Progress),
    /// It has ended. Nothing comes after this.
    Finished(Finished),
}

/// The stream of [`Run::changes`].
pub struct Changes<'a>(BoxStream<'a, Result<Change>>);

impl<'a> Changes<'a> {
    pub(super) fn of(run: impl BorrowMut<Run> + Send + 'a) -> Self {
        let following = Following::new(run);
        Self(
            stream::unfold(following, |mut following| async move { Some((following.next().await?, following)) })
                .boxed(),
        )
    }

    /// The next change, or `None` after the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Change>> {
        self.0.next().await
    }
}

impl Stream for Changes<'_> {
    type Item = Result<Change>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl Debug for Changes<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

/// A wait, and what was yielded of it.
struct Following<R> {
    run: R,
    wait: Wait,
    limit: Option<Instant>,
    shown: Option<(Phase, [u32; 6])>,
    is_over: bool,
}

impl<R: BorrowMut<Run> + Send> Following<R> {
    fn new(run: R) -> Self {
        let wait = Wait::for_progress(run.borrow());
        let limit = run.borrow().wait_limit.and_then(|limit| Instant::now().checked_add(limit));
        Self { run, wait, limit, shown: None, is_over: false }
    }

    async fn next(&mut self) -> Option<Result<Change>> {
        while !self.is_over {
            if let Some(progress) = self.progress() {
                return Some(Ok(Change::Progress(progress)));
            }
            let run = self.run.borrow_mut();
            let step = self.wait.step(run);
            let end = match self.limit {
                None => step.await,
                Some(limit) => match timeout_at(limit, step).await {
                    Ok(end) => end,
                    Err(_) => Err(self.run.borrow().out_of_patience()),
                },
            };
            match end {
                Ok(None) => {}
                Ok(Some(finished)) => return self.ends(Ok(Change::Finished(finished))),
                Err(error) => return self.ends(Err(error)),
            }
        }
        None
    }

    fn ends(&mut self, last: Result<Change>) -> Option<Result<Change>> {
        self.is_over = true;
        Some(last)
    }

    /// How far the run is, where that is news.
    fn progress(&mut self) -> Option<Progress> {
        let latest = self.run.borrow().latest().map(Progress::of);
        let trouble = self.wait.trouble();
        if trouble.is_none() && latest.as_ref().map(Progress::key) == self.shown {
            return None;
        }
        self.shown = latest.as_ref().map(Progress::key);
        Some(Progress { trouble, ..latest.unwrap_or_else(Progress::unknown) })
    }
}
