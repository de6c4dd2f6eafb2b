//! What to log in with: fixed, or returned by a function of the app before each login, since tokens
//! of Azure, AWS and Vault expire.

use std::sync::Arc;

use redis::RedisConnectionInfo;
use tokio::sync::oneshot;

use super::timeout::waiting_for;
use crate::error::{Code, ConnectError};

/// The user to log in as, and the database to select.
#[derive(Clone, Default)]
pub struct Login {
    pub username: Option<Credential>,
    pub password: Option<Credential>,
    pub database: Option<i64>,
}

/// A username or password.
#[derive(Clone)]
pub enum Credential {
    Given(String),
    /// Asked before each login.
    Function(CredentialFunction),
}

/// A function of the app that returns a username or password.
#[derive(Clone)]
pub struct CredentialFunction {
    /// The option it was given as, for messages.
    option: &'static str,
    /// Calls the function, on the JS thread.
    call: Arc<dyn Fn(CredentialReply) + Send + Sync>,
}

/// Takes what the function returned, if anything; or in what way it failed. Dropping it means that
/// the store is closed.
pub type CredentialReply = oneshot::Sender<Result<Option<String>, String>>;

impl CredentialFunction {
    pub fn new(
        option: &'static str,
        call: impl Fn(CredentialReply) + Send + Sync + 'static,
    ) -> CredentialFunction {
        let call = Arc::new(call);
        CredentialFunction { option, call }
    }

    /// Returns what the function returns; `None` for nothing and for an empty text.
    async fn get(&self) -> Result<Option<String>, ConnectError> {
        let (sender, reply) = oneshot::channel();
        (self.call)(sender);
        match waiting_for(self.option, reply).await {
            Ok(Ok(given)) => Ok(given.filter(|given| !given.is_empty())),
            Ok(Err(failure)) => Err(ConnectError::new(
                Code::Credentials,
                format!("the function given as {} {failure}", self.option),
            )),
            Err(_) => Err(ConnectError::new(Code::Closed, "the store is closed")),
        }
    }
}

impl Credential {
    async fn get(credential: Option<&Credential>) -> Result<Option<String>, ConnectError> {
        match credential {
            None => Ok(None),
            Some(Credential::Given(text)) => Ok(Some(text.clone())),
            Some(Credential::Function(function)) => function.get().await,
        }
    }
}

impl Login {
    /// Returns what to log in with this time.
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

    /// This login, with `other` for what it does not say.
    pub fn or(self, other: Login) -> Login {
        Login {
            username: self.username.or(other.username),
            password: self.password.or(other.password),
            database: self.database.or(other.database),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::timeout::within;
    use super::*;
    use std::time::Duration;

    /// A function that replies like this, or never.
    fn function(option: &'static str, reply: Option<Result<Option<String>, String>>) -> Credential {
        Credential::Function(CredentialFunction::new(
            option,
            move |sender| match &reply {
                Some(reply) => drop(sender.send(reply.clone())),
                None => std::mem::forget(sender),
            },
        ))
    }

    async fn get(
        username: Credential,
        password: Credential,
    ) -> Result<RedisConnectionInfo, ConnectError> {
        let login = Login {
            username: Some(username),
            password: Some(password),
            database: None,
        };
        within(Duration::from_millis(100), login.get()).await
    }

    #[tokio::test]
    async fn an_empty_text_from_a_function_counts_as_nothing() {
        let info = get(
            function("username", Some(Ok(Some("me".into())))),
            function("password", Some(Ok(Some(String::new())))),
        );
        let info = info.await.unwrap();
        assert_eq!((info.username(), info.password()), (Some("me"), None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_that_fails_or_never_replies_is_named() {
        let given = || Credential::Given("x".into());
        let failing = || function("password", Some(Err("failed: no token".into())));
        for (username, password, code, reason) in [
            (
                given(),
                failing(),
                Code::Credentials,
                "the function given as password failed: no token",
            ),
            (
                given(),
                function("sentinel.password", None),
                Code::TimedOut,
                "the function given as sentinel.password gave no answer within 100 ms \
                 (connectTimeout)",
            ),
            // The username is not waited for.
            (
                function("username", None),
                failing(),
                Code::Credentials,
                "the function given as password failed: no token",
            ),
        ] {
            let error = get(username, password).await.unwrap_err();
            assert_eq!((error.code, &*error.reason), (code, reason));
        }
    }

    #[tokio::test]
    async fn a_reply_that_is_dropped_means_that_the_store_is_closed() {
        let dropped = Credential::Function(CredentialFunction::new("password", drop));
        let error = get(Credential::Given("x".into()), dropped).await;
        assert_eq!(error.unwrap_err().code, Code::Closed);
    }
}
