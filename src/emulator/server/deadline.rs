//! The deadline that a call brings: over it, the answer is DEADLINE_EXCEEDED and the handler is given up.
//!
//! tonic's server has the same limit and answers CANCELLED, which no gRPC server does. Knows no message.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use tokio::time::timeout;
use tonic::{Status, body::Body};
use tower::Service;

/// A service whose calls end at their deadlines. Nothing of tonic's that counts the same time may stand inside.
#[derive(Clone, Debug)]
pub(crate) struct Deadlines<S>(pub(crate) S);

impl<S, B> Service<Request<B>> for Deadlines<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let limit = limit(request.headers());
        let answer = self.0.call(request);
        let Some(limit) = limit else { return Box::pin(answer) };
        // From now on, and not from the first poll: tonic counts from now, too.
        let answer = timeout(limit, answer);
        Box::pin(async move {
            let late = || Ok(Status::deadline_exceeded("The deadline of the call has passed.").into_http());
            answer.await.unwrap_or_else(|_| late())
        })
    }
}

/// What `grpc-timeout` says: at most eight digits, and a unit (gRPC over HTTP/2, Timeout).
fn limit(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::pending};

    use tower::{ServiceExt as _, service_fn};

    use super::*;

    fn request(timeout: &str) -> Request<()> {
        Request::builder().header("grpc-timeout", timeout).body(()).expect("a request")
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_over_its_deadline_is_told_so() {
        let never = Deadlines(service_fn(|_: Request<()>| pending::<Result<_, Infallible>>()));
        let began = tokio::time::Instant::now();
        let Ok(answer) = never.oneshot(request("1500m")).await;
        assert_eq!(answer.headers()["grpc-status"], "4");
        assert_eq!(began.elapsed(), Duration::from_millis(1500));
    }

    #[test]
    fn a_deadline_is_up_to_eight_digits_and_a_unit() {
        let limit = |text| limit(request(text).headers());
        assert_eq!(limit("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(limit("99999999n"), Some(Duration::from_nanos(99_999_999)));
        assert_eq!(["", "m", "5", "5x", "-5m", "+5m", "123456789m"].map(limit), [None; 7]);
    }
}
