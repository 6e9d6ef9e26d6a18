//! The cache above every source of tokens. Knows time and waiters, and nothing of where a token comes from.
//!
//! One fetch is in flight for any number of waiters. It runs as a task, so that a caller that gives up takes it from
//! nobody else. A token is renewed in the background some minutes before its end, while calls are made, and served until
//! its end. Each token has a generation, by which a hundred calls that the service refused cost one forced renewal.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use http::HeaderValue;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    Authorization,
    source::{AccessToken, AnySource, TokenError},
};

/// How long before its end a token is renewed. Google's metadata server hands out the same token until five minutes
/// before its end, so earlier is no use.
const MARGIN: Duration = Duration::from_secs(240);

/// The pause after a renewal in the background has failed.
const PAUSE: Duration = Duration::from_secs(10);

/// How long a source may take that asks one server at the most. Ours give up earlier; this one is for a caller's own.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// A source and its newest token. Clones share it.
#[derive(Clone)]
pub(super) struct Cache(Arc<CacheInner>);

struct CacheInner {
    source: Box<dyn AnySource>,
    /// How long one fetch may take.
    limit: Duration,
    state: Mutex<CacheState>,
}

#[derive(Default)]
struct CacheState {
    held: Option<CachedToken>,
    /// The fetch that all waiters share.
    flight: Option<Fetch>,
    /// Counts the tokens.
    generation: u64,
}

#[derive(Clone)]
struct CachedToken {
    authorization: Authorization,
    renew: Instant,
    end: Instant,
}

/// `None` is a fetch whose runtime has ended before it had.
type Fetch = Shared<BoxFuture<'static, Option<Result<CachedToken, TokenError>>>>;

impl Cache {
    pub(super) fn new(source: impl AnySource + 'static) -> Self {
        Self::within(LIMIT, source)
    }

    /// A cache above a source that has several servers to ask, or a program to run, and this long for it.
    pub(super) fn within(limit: Duration, source: impl AnySource + 'static) -> Self {
        Self(Arc::new(CacheInner { source: Box::new(source), limit, state: Mutex::default() }))
    }

    /// How long one fetch may take.
    pub(super) fn limit(&self) -> Duration {
        self.0.limit
    }

    /// The token, from memory while it is good. That way allocates nothing.
    pub(super) async fn authorization(&self) -> Result<Authorization, TokenError> {
        match self.0.good() {
            Some(authorization) => Ok(authorization),
            None => self.fetched().await.map(|held| held.authorization),
        }
    }

    /// Gives up the token of this generation, because a service did not accept it. A newer one stays.
    pub(super) fn renew(&self, generation: u64) {
        let mut state = self.0.lock();
        if state.held.as_ref().is_some_and(|held| held.authorization.generation == generation) {
            state.held = None;
        }
    }

    async fn fetched(&self) -> Result<CachedToken, TokenError> {
        // Twice: the runtime of the first fetch may have ended under it.
        for _ in 0..2 {
            let flight = self.0.flight(&mut self.0.lock());
            if let Some(outcome) = flight.await {
                return outcome;
            }
        }
        Err(TokenError::transient("the fetch of a token was ended before it had one"))
    }
}

impl CacheInner {
    fn lock(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token in memory, while it is good. Begins its renewal when it is time.
    fn good(self: &Arc<Self>) -> Option<Authorization> {
        let now = Instant::now();
        let mut state = self.lock();
        let held = state.held.as_ref().filter(|held| now < held.end)?;
        let (authorization, due) = (held.authorization.clone(), now >= held.renew);
        if due {
            drop(self.flight(&mut state));
        }
        Some(authorization)
    }

    /// The fetch in flight, or a new one.
    fn flight(self: &Arc<Self>, state: &mut CacheState) -> Fetch {
        if let Some(flight) = state.flight.as_ref().filter(|flight| flight.peek().is_none()) {
            return flight.clone();
        }
        let (landed, landing) = oneshot::channel();
        let flight = landing.map(Result::ok).boxed().shared();
        state.flight = Some(flight.clone());
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = inner.fetch().await;
            let _ = landed.send(inner.keep(outcome));
        });
        flight
    }

    async fn fetch(&self) -> Result<(AccessToken, HeaderValue), TokenError> {
        let late = || TokenError::transient(format!("it gave no token within {} s", self.limit.as_secs()));
        let token = timeout(self.limit, self.source.fetch()).await.unwrap_or_else(|_| Err(late()))?;
        let value = super::bearer(token.text()).map_err(TokenError::permanent)?;
        Ok((token, value))
    }

    /// Keeps the outcome of a fetch. After a failure the old token is served on.
    fn keep(&self, outcome: Result<(AccessToken, HeaderValue), TokenError>) -> Result<CachedToken, TokenError> {
        let now = Instant::now();
        let mut state = self.lock();
        // A caller that comes from here on must not join a flight that has landed.
        state.flight = None;
        match outcome {
            Ok((token, value)) => {
                state.generation += 1;
                let end = now + token.life();
                let held = CachedToken {
                    authorization: Authorization { value, generation: state.generation },
                    renew: end - MARGIN.min(token.life() / 2),
                    end,
                };
                state.held = Some(held.clone());
                Ok(held)
            }
            Err(error) => {
                if let Some(held) = &mut state.held {
                    held.renew = now + PAUSE;
                }
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use futures_util::future::join_all;
    use tokio::{sync::Semaphore, time::advance};

    use super::*;
    use crate::auth::source::TokenSource;

    /// Counts its tokens, each of which lives for an hour, and hands one out for each permit.
    #[derive(Clone)]
    struct Counted {
        asked: Arc<AtomicUsize>,
        permits: Arc<Semaphore>,
        is_down: Arc<std::sync::atomic::AtomicBool>,
    }

    impl Counted {
        fn new(permits: usize) -> Self {
            Self { asked: Arc::default(), permits: Arc::new(Semaphore::new(permits)), is_down: Arc::default() }
        }

        fn asked(&self) -> usize {
            self.asked.load(Relaxed)
        }
    }

    impl TokenSource for Counted {
        async fn token(&self) -> Result<AccessToken, TokenError> {
            let number = self.asked.fetch_add(1, Relaxed) + 1;
            self.permits.acquire().await.expect("open").forget();
            if self.is_down.load(Relaxed) {
                return Err(TokenError::transient("down"));
            }
            Ok(AccessToken::new(format!("canary-{number}")))
        }
    }

    const MANY: usize = 1_000_000;

    async fn generation(cache: &Cache) -> u64 {
        cache.authorization().await.expect("a token").generation
    }

    #[tokio::test]
    async fn ten_thousand_callers_of_a_cold_cache_cost_one_fetch_and_so_do_they_at_expiry() {
        tokio::time::pause();
        let source = Counted::new(0);
        let cache = Cache::new(source.clone());
        for round in 1..=2 {
            let callers = join_all((0..10_000).map(|_| cache.authorization()));
            let (tokens, ()) = tokio::join!(callers, async { source.permits.add_permits(1) });
            assert!(tokens.into_iter().all(|token| token.expect("a token").generation == round));
            assert_eq!(source.asked() as u64, round);
            advance(Duration::from_secs(3601)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_refused_calls_cost_one_forced_renewal() {
        let source = Counted::new(MANY);
        let cache = Cache::new(source.clone());
        let refused = generation(&cache).await;
        let again = join_all((0..100).map(|_| async {
            cache.renew(refused);
            generation(&cache).await
        }));
        assert!(again.await.into_iter().all(|new| new == refused + 1));
        cache.renew(refused);
        assert_eq!((generation(&cache).await, source.asked()), (refused + 1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_in_the_background_four_minutes_early_while_calls_go_on() {
        let source = Counted::new(1);
        let cache = Cache::new(source.clone());
        assert_eq!(generation(&cache).await, 1);
        advance(Duration::from_secs(3600 - 241)).await;
        assert_eq!((generation(&cache).await, source.asked()), (1, 1));
        advance(Duration::from_secs(1)).await;
        // The renewal is not through yet, and no call waits for it.
        assert_eq!(generation(&cache).await, 1);
        tokio::task::yield_now().await;
        assert_eq!((generation(&cache).await, source.asked()), (1, 2));
        source.permits.add_permits(1);
        while generation(&cache).await == 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(source.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_not_noticed_before_the_end_of_the_token_and_is_over_when_the_source_is_back() {
        let source = Counted::new(MANY);
        let cache = Cache::new(source.clone());
        generation(&cache).await;
        source.is_down.store(true, Relaxed);
        advance(Duration::from_secs(3600 - 240)).await;
        for _ in 0..239 {
            assert_eq!(generation(&cache).await, 1);
            tokio::task::yield_now().await;
            advance(Duration::from_secs(1)).await;
        }
        assert!((20..=25).contains(&source.asked()), "asked each ten seconds: {}", source.asked());
        advance(Duration::from_secs(61)).await;
        let error = cache.authorization().await.expect_err("it is over");
        assert!(error.is_transient());
        source.is_down.store(false, Relaxed);
        assert_eq!(generation(&cache).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_up_takes_the_fetch_from_no_other() {
        let source = Counted::new(0);
        let cache = Cache::new(source.clone());
        assert!(timeout(Duration::from_secs(1), cache.authorization()).await.is_err());
        source.permits.add_permits(1);
        assert_eq!((generation(&cache).await, source.asked()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_is_silent_is_given_up_in_time() {
        let cache = Cache::new(Counted::new(0));
        let begun = Instant::now();
        let error = cache.authorization().await.expect_err("no token");
        assert!(error.is_transient() && begun.elapsed() == LIMIT, "{error}");
    }

    #[test]
    fn a_runtime_that_ends_takes_the_fetch_of_no_other_runtime_with_it() {
        let source = Counted::new(0);
        let cache = Cache::new(source.clone());
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime().block_on(async {
            let mut call = Box::pin(cache.authorization());
            assert!(call.as_mut().now_or_never().is_none());
        });
        source.permits.add_permits(1);
        assert_eq!(runtime().block_on(generation(&cache)), 1);
    }

    /// Any life that a server may claim.
    #[tokio::test(start_paused = true)]
    async fn a_life_of_any_size_is_bounded() {
        for seconds in [f64::MAX, f64::INFINITY, f64::NAN, 9_223_372_036_854_775_807.0, -1.0, 0.0, 1e-9] {
            let token = AccessToken::new("canary").expires_in_seconds(Some(seconds));
            assert!(token.life() <= crate::auth::source::LONGEST_LIFE, "{seconds}");
        }
        let long = AccessToken::new("canary").expires_at(std::time::UNIX_EPOCH + Duration::from_secs(1 << 40));
        assert_eq!(long.life(), crate::auth::source::LONGEST_LIFE);
    }
}
