//! How TLS is spoken: the option `tls`.

use napi::{Unknown, ValueType};

use crate::napi::options::reader::Reader;
use crate::napi::raw::{self, JsResult};
use crate::redis::{Tls, TlsOptions};

impl<'e> Reader<'e, '_> {
    /// Reads the option `tls`: `None` if it is not given, `Some(None)` if it is false.
    pub fn tls(&self, source: &Unknown<'e>) -> JsResult<'e, Option<Option<Tls>>> {
        let tls = self.option(source, "tls")?;
        let options = match (raw::kind(&tls), raw::boolean(&tls)) {
            (ValueType::Undefined, _) => return Ok(None),
            (_, Some(false)) => return Ok(Some(None)),
            (_, Some(true)) => self.default_tls(),
            (ValueType::Object, _) => TlsOptions {
                ca: self.pem(&tls, "ca")?,
                cert: self.pem(&tls, "cert")?,
                key: self.pem(&tls, "key")?,
                servername: self.string(&tls, "servername")?,
                reject_unauthorized: raw::boolean(&self.option(&tls, "rejectUnauthorized")?)
                    .unwrap_or_else(|| self.callbacks.rejects_unauthorized(self.env)),
                versions: (
                    self.string(&tls, "minVersion")?.as_deref() != Some("TLSv1.3"),
                    self.string(&tls, "maxVersion")?.as_deref() != Some("TLSv1.2"),
                ),
            },
            _ => return Err(self.wrong("tls", "true, false or an object of TLS options", &tls)),
        };
        let made = Tls::new(options)
            .map_err(|reason| self.refuse(format!("the option tls cannot be used: {reason}")))?;
        Ok(Some(Some(made)))
    }

    fn default_tls(&self) -> TlsOptions {
        TlsOptions {
            reject_unauthorized: self.callbacks.rejects_unauthorized(self.env),
            ..TlsOptions::default()
        }
    }

    /// Decides by the option and the url whether TLS is spoken.
    pub fn decide_tls(
        &self,
        option: Option<Option<Tls>>,
        is_in_url: bool,
    ) -> JsResult<'e, Option<Tls>> {
        match option {
            Some(None) if is_in_url => {
                Err(self.refuse("tls is false, but the url is one with TLS".into()))
            }
            Some(tls) => Ok(tls),
            None if is_in_url => Tls::new(self.default_tls())
                .map(Some)
                .map_err(|reason| self.refuse(reason)),
            None => Ok(None),
        }
    }

    /// Reads PEM as Node does: from a string, a Buffer, or a list of these.
    fn pem(&self, tls: &Unknown<'e>, name: &str) -> JsResult<'e, Option<Vec<u8>>> {
        let value = self.option(tls, name)?;
        if raw::kind(&value) == ValueType::Undefined {
            return Ok(None);
        }
        let parts = raw::elements(self.env, &value).unwrap_or_else(|| vec![value]);
        let mut pem = Vec::new();
        for part in &parts {
            match (raw::kind(part), raw::buffer_bytes(self.env, part)) {
                (ValueType::String, _) => {
                    pem.append(&mut raw::string_bytes(self.env, part, 2048)?);
                }
                (_, Some(mut bytes)) => pem.append(&mut bytes),
                _ => {
                    let option = format!("tls.{name}");
                    return Err(self.wrong(&option, "PEM in a string or a Buffer", part));
                }
            }
            pem.push(b'\n');
        }
        Ok(Some(pem))
    }
}
