//! The time limit of an attempt to connect.

use std::cell::RefCell;
use std::pin::pin;
use std::time::Duration;

use crate::error::{Code, ConnectError};

tokio::task_local! {
    /// The options of the app's functions that have not replied yet, in this attempt.
    static UNANSWERED: RefCell<Vec<&'static str>>;
}

/// Limits an attempt to connect to `connectTimeout`. The error says whether a function of the app
/// took the time.
pub async fn within<T>(
    limit: Duration,
    attempt: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    let mut attempt = pin!(UNANSWERED.scope(RefCell::default(), attempt));
    if let Ok(result) = tokio::time::timeout(limit, attempt.as_mut()).await {
        return result;
    }
    let unanswered = attempt.take_value().map(RefCell::into_inner);
    let who = match unanswered.as_deref() {
        Some([option, ..]) => format!("the function given as {option} gave no answer"),
        _ => "no answer".to_string(),
    };
    let limit = limit.as_millis();
    Err(ConnectError::new(
        Code::TimedOut,
        format!("{who} within {limit} ms (connectTimeout)"),
    ))
}

/// Waits for the function given as `option`. If [`within`]'s limit passes meanwhile, its error names
/// that option.
pub async fn waiting_for<T>(option: &'static str, reply: impl Future<Output = T>) -> T {
    let _ = UNANSWERED.try_with(|options| options.borrow_mut().push(option));
    let reply = reply.await;
    let _ = UNANSWERED.try_with(|options| options.borrow_mut().retain(|o| *o != option));
    reply
}
