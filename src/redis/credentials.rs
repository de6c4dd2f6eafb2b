//! Who logs in, and what with: given once, or asked of the app before each login, as tokens of
//! Azure, AWS and Vault change.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use redis::RedisConnectionInfo;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::error::ConnectError;

/// As whom to log in, and to which database.
#[derive(Clone, Default)]
pub struct Login {
    pub username: Option<Credential>,
    pub password: Option<Credential>,
    pub database: Option<i64>,
}

/// A user's name or password.
#[derive(Clone)]
pub enum Credential {
    Given(String),
    Asked(CredentialFunction),
}

/// A function of the app's that gives one.
#[derive(Clone)]
pub struct CredentialFunction {
    /// The option that it is, as messages name it.
    option: &'static str,
    /// Has it called, on the JS thread.
    ask: Arc<dyn Fn(CredentialReply) + Send + Sync>,
}

/// Takes what the function gives, if it gives something; or what became of it instead.
pub type CredentialReply = oneshot::Sender<Result<Option<String>, String>>;

impl CredentialFunction {
    pub fn new(
        option: &'static str,
        ask: impl Fn(CredentialReply) + Send + Sync + 'static,
    ) -> CredentialFunction {
        let ask = Arc::new(ask);
        CredentialFunction { option, ask }
    }

    async fn answer(&self) -> Result<Option<String>, ConnectError> {
        let (sender, receiver) = oneshot::channel();
        let _ = UNANSWERED.try_with(|options| options.borrow_mut().push(self.option));
        (self.ask)(sender);
        let answer = receiver.await;
        let _ = UNANSWERED.try_with(|options| options.borrow_mut().retain(|o| *o != self.option));
        match answer {
            Ok(Ok(given)) => Ok(given.filter(|given| !given.is_empty())),
            Ok(Err(said)) => Err(ConnectError {
                code: "ECREDENTIALS".into(),
                reason: format!("the function given as {} {said}", self.option).into(),
            }),
            Err(_) => Err(ConnectError {
                code: "ECLOSED".into(),
                reason: "the store is closed".into(),
            }),
        }
    }
}

impl Credential {
    async fn get(credential: Option<&Credential>) -> Result<Option<String>, ConnectError> {
        match credential {
            None => Ok(None),
            Some(Credential::Given(text)) => Ok(Some(text.clone())),
            Some(Credential::Asked(question)) => question.answer().await,
        }
    }
}

impl Login {
    /// What to log in with this time.
    pub async fn get(&self) -> Result<RedisConnectionInfo, ConnectError> {
        let (username, password) = tokio::try_join!(
            Credential::get(self.username.as_ref()),
            Credential::get(self.password.as_ref()),
        )?;
        let mut info = RedisConnectionInfo::default().set_db(self.database.unwrap_or(0));
        if let Some(username) = username {
            info = info.set_username(username);
        }
        if let Some(password) = password {
            info = info.set_password(password);
        }
        Ok(info)
    }

    /// This login, and of another what this one leaves open.
    pub fn or(self, other: Login) -> Login {
        Login {
            username: self.username.or(other.username),
            password: self.password.or(other.password),
            database: self.database.or(other.database),
        }
    }
}

tokio::task_local! {
    /// The options whose functions have not answered yet, in this attempt to connect.
    static UNANSWERED: RefCell<Vec<&'static str>>;
}

/// Bounds an attempt to connect by `connectTimeout`. The error says if it was the app that did not
/// answer.
pub async fn within<T>(
    limit: Duration,
    attempt: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    let mut attempt = pin!(UNANSWERED.scope(RefCell::default(), attempt));
    if let Ok(result) = timeout(limit, attempt.as_mut()).await {
        return result;
    }
    let unanswered = attempt.take_value().map(RefCell::into_inner);
    let who = match unanswered.as_deref() {
        Some([option, ..]) => format!("the function given as {option} gave no answer"),
        _ => "no answer".to_string(),
    };
    let limit = limit.as_millis();
    Err(ConnectError {
        code: "ETIMEDOUT".into(),
        reason: format!("{who} within {limit} ms (connectTimeout)").into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::Builder;

    fn asked(option: &'static str, answer: Option<Result<Option<String>, String>>) -> Credential {
        Credential::Asked(CredentialFunction::new(
            option,
            move |answering| match &answer {
                Some(answer) => drop(answering.send(answer.clone())),
                None => std::mem::forget(answering),
            },
        ))
    }

    fn get(
        username: Credential,
        password: Credential,
    ) -> Result<RedisConnectionInfo, ConnectError> {
        let login = Login {
            username: Some(username),
            password: Some(password),
            database: None,
        };
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(within(Duration::from_millis(100), login.get()))
    }

    fn reason(username: Credential, password: Credential) -> String {
        get(username, password).unwrap_err().reason.to_string()
    }

    #[test]
    fn what_a_function_gives_is_taken_and_nothing_is_nothing() {
        let info = get(
            asked("username", Some(Ok(Some("me".into())))),
            asked("password", Some(Ok(Some(String::new())))),
        );
        let info = info.unwrap();
        assert_eq!((info.username(), info.password()), (Some("me"), None));
    }

    #[test]
    fn a_function_that_fails_or_is_silent_is_named() {
        let given = || Credential::Given("x".into());
        assert_eq!(
            reason(
                given(),
                asked("password", Some(Err("failed: no token".into())))
            ),
            "the function given as password failed: no token"
        );
        assert_eq!(
            reason(given(), asked("sentinel.password", None)),
            "the function given as sentinel.password gave no answer within 100 ms \
             (connectTimeout)"
        );
        // The other one is not waited for.
        assert_eq!(
            reason(
                asked("username", None),
                asked("password", Some(Err("failed".into())))
            ),
            "the function given as password failed"
        );
    }
}
