//! Who logs in: the options `username`, `password` and `database`.

use napi::{Unknown, ValueType};

use crate::io::event::Event;
use crate::napi::options::reader::Reader;
use crate::napi::raw::{self, JsRef, JsResult};
use crate::redis::{Credential, CredentialFunction, Login};

impl<'e> Reader<'e, '_> {
    /// Reads `username`, `password` and `database`. Messages call the first two by `names`.
    pub fn login(&self, source: &Unknown<'e>, names: [&'static str; 2]) -> JsResult<'e, Login> {
        let database = self.option(source, "database")?;
        let [username, password] = names;
        Ok(Login {
            username: self.credential(source, "username", username)?,
            password: self.credential(source, "password", password)?,
            database: match raw::kind(&database) {
                ValueType::Undefined => None,
                ValueType::Number
                    if raw::number(&database) >= 0.0 && raw::number(&database).fract() == 0.0 =>
                {
                    Some(raw::number(&database) as i64)
                }
                _ => return Err(self.wrong("database", "a number from 0", &database)),
            },
        })
    }

    /// Reads a credential: a string, or a function that returns one. An empty string counts as not
    /// given, as for node-redis.
    fn credential(
        &self,
        source: &Unknown<'e>,
        name: &str,
        shown: &'static str,
    ) -> JsResult<'e, Option<Credential>> {
        let value = self.option(source, name)?;
        match (raw::kind(&value), self.functions) {
            (ValueType::Undefined, _) => Ok(None),
            (ValueType::String, _) => {
                let text = raw::text(self.env, &value)?;
                Ok((!text.is_empty()).then_some(Credential::Given(text)))
            }
            (ValueType::Function, Some(functions)) => {
                let index = functions.list.borrow().len();
                functions
                    .list
                    .borrow_mut()
                    .push(JsRef::new(self.env, &value)?);
                let completions = functions.completions.clone();
                let ask = move |reply| completions.push([Event::Credential(index, reply)]);
                Ok(Some(Credential::Function(CredentialFunction::new(
                    shown, ask,
                ))))
            }
            // Not shown: it may be a secret of another type.
            _ => Err(self.refuse(format!(
                "the option {shown} must be a string, or a function that returns one"
            ))),
        }
    }
}
