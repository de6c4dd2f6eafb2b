//! Credentials that a function of the app returns, before a login.

use napi::{Env, Unknown, ValueType};

use crate::napi::raw;
use crate::napi::store_core::StoreCore;
use crate::redis::CredentialReply;

impl StoreCore {
    /// Calls the function of this index. Whoever waits gets the credential by `reply`.
    pub fn request_credential(&self, env: &Env, index: usize, reply: CredentialReply) {
        let Some(function) = self.credential_functions.get(index) else {
            return;
        };
        let id = self.next_credential.get();
        self.next_credential.set(id.wrapping_add(1));
        {
            let mut replies = self.credential_replies.borrow_mut();
            // A function may never answer; then the login has given up.
            replies.retain(|_, reply| !reply.is_closed());
            replies.insert(id, reply);
        }
        self.callbacks
            .call_credential(env, function, id, &self.credential);
    }

    /// A function has returned a credential, or JS says in `complaint` what is wrong.
    pub fn credential_given<'e>(&self, env: &'e Env, [id, given, complaint]: [Unknown<'e>; 3]) {
        let reply = self
            .credential_replies
            .borrow_mut()
            .remove(&(raw::number(&id) as u32));
        let Some(reply) = reply else {
            return;
        };
        let text = |value| raw::text(env, value).unwrap_or_default();
        let answer = match (raw::kind(&complaint), raw::kind(&given)) {
            (ValueType::String, _) => Err(text(&complaint)),
            (_, ValueType::String) => Ok(Some(text(&given))),
            _ => Ok(None),
        };
        let _ = reply.send(answer); // The login may have given up.
    }
}
