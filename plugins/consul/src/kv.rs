//! Keys as the agent tells them, and transactions on them.

use crate::call::{Agent, Repeat, is_of_session};
use crate::http::{Reply, Request, encoded};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regent_plugin_sdk::{Cx, DcsError, ErrorKind};
use serde::Deserialize;
use serde_json::{Value, json};

/// A key that is there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Kv {
    /// Its whole path.
    pub key: String,
    /// Its value.
    #[serde(default, deserialize_with = "bytes")]
    pub value: Vec<u8>,
    /// The session that locks it; empty if none does.
    #[serde(default)]
    pub session: String,
    /// Its version.
    #[serde(rename = "ModifyIndex")]
    pub index: u64,
}

fn bytes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

/// A step of a transaction.
#[derive(Clone, Debug)]
pub(crate) enum Op<'a> {
    /// Writes.
    Set(&'a str, &'a [u8]),
    /// Writes over that version; 0 is none.
    Cas(&'a str, &'a [u8], u64),
    /// Writes and locks for that session, unless another has it.
    Lock(&'a str, &'a [u8], &'a str),
    /// Removes, if it is there.
    Delete(&'a str),
    /// Fails unless the key is there.
    Get(&'a str),
    /// Fails unless the key has that version.
    CheckIndex(&'a str, u64),
    /// Fails unless that session locks the key.
    CheckSession(&'a str, &'a str),
}

impl Op<'_> {
    fn json(&self) -> Value {
        let kv = match self {
            Op::Set(key, value) => json!({"Verb": "set", "Key": key, "Value": STANDARD.encode(value)}),
            Op::Cas(key, value, index) => {
                json!({"Verb": "cas", "Key": key, "Value": STANDARD.encode(value), "Index": index})
            }
            Op::Lock(key, value, session) => {
                json!({"Verb": "lock", "Key": key, "Value": STANDARD.encode(value), "Session": session})
            }
            Op::Delete(key) => json!({"Verb": "delete", "Key": key}),
            Op::Get(key) => json!({"Verb": "get", "Key": key}),
            Op::CheckIndex(key, index) => json!({"Verb": "check-index", "Key": key, "Index": index}),
            Op::CheckSession(key, session) => json!({"Verb": "check-session", "Key": key, "Session": session}),
        };
        json!({ "KV": kv })
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The session in the request does not exist: another is needed.
    SessionGone,
    /// For the host.
    Error(DcsError),
}

impl From<DcsError> for Trouble {
    fn from(error: DcsError) -> Trouble {
        Trouble::Error(error)
    }
}

impl From<Trouble> for DcsError {
    fn from(trouble: Trouble) -> DcsError {
        match trouble {
            Trouble::Error(error) => error,
            Trouble::SessionGone => DcsError::new(ErrorKind::Unavailable, "consul: the session ended"),
        }
    }
}

/// An answer, or why there is none.
pub(crate) type Tried<T> = Result<T, Trouble>;

/// What a transaction came to.
#[derive(Debug)]
pub(crate) struct Txn {
    /// The keys that were written, or `None` where a step failed and nothing was applied.
    pub written: Option<Vec<Kv>>,
    /// An earlier try of it may have been applied.
    pub unsure: bool,
}

impl Txn {
    /// The version of a key that was written.
    pub fn index(&self, path: &str) -> Option<u64> {
        self.written.as_ref()?.iter().rev().find(|kv| kv.key == path).map(|kv| kv.index)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Results {
    #[serde(default)]
    results: Option<Vec<ResultOf>>,
    #[serde(default)]
    errors: Option<Vec<Failed>>,
}

#[derive(Deserialize)]
struct ResultOf {
    #[serde(rename = "KV")]
    kv: Option<Kv>,
}

#[derive(Deserialize)]
struct Failed {
    #[serde(rename = "What", default)]
    what: String,
}

impl Agent {
    /// Does all of it or nothing.
    pub async fn txn(&self, cx: &Cx, repeat: Repeat, ops: &[Op<'_>]) -> Tried<Txn> {
        let body = Value::Array(ops.iter().map(Op::json).collect());
        let answer = self.run(cx, repeat, &Request::put("txn").json(&body)).await?;
        let Answered { written, session_gone } = read_txn(&answer.reply)?;
        if session_gone {
            return Err(Trouble::SessionGone);
        }
        Ok(Txn { written, unsure: answer.unsure })
    }

    /// All keys that begin so, and up to where in the store's history they tell.
    pub async fn read(&self, cx: &Cx, prefix: &str) -> Result<(Vec<Kv>, u64), DcsError> {
        let answer = self.run(cx, Repeat::Read, &self.reading(prefix)).await?;
        read_kvs(&answer.reply)
    }

    /// The request for all keys that begin so.
    pub fn reading(&self, prefix: &str) -> Request {
        Request::get(format!("kv/{}", encoded(prefix.as_bytes())))
            .with("recurse", "")
            .consistency(self.soft().consistency)
    }
}

struct Answered {
    written: Option<Vec<Kv>>,
    session_gone: bool,
}

fn read_txn(reply: &Reply) -> Result<Answered, DcsError> {
    if reply.status == 500 {
        return Ok(Answered { written: None, session_gone: true });
    }
    let results: Results = serde_json::from_slice(&reply.body).map_err(|_| odd(reply))?;
    let failed = results.errors.unwrap_or_default();
    if reply.status == 200 && failed.is_empty() {
        let written = results.results.unwrap_or_default().into_iter().filter_map(|result| result.kv);
        return Ok(Answered { written: Some(written.collect()), session_gone: false });
    }
    if reply.status != 409 {
        return Err(odd(reply));
    }
    let session_gone = failed.iter().any(|failed| is_of_session(&failed.what));
    Ok(Answered { written: None, session_gone })
}

/// The keys of a reading; none is an answer too.
pub(crate) fn read_kvs(reply: &Reply) -> Result<(Vec<Kv>, u64), DcsError> {
    let index = reply.index.ok_or_else(|| odd(reply))?;
    match reply.status {
        404 => Ok((Vec::new(), index)),
        200 => Ok((serde_json::from_slice(&reply.body).map_err(|_| odd(reply))?, index)),
        _ => Err(odd(reply)),
    }
}

/// An answer that is not of Consul's.
pub(crate) fn odd(reply: &Reply) -> DcsError {
    DcsError::new(ErrorKind::Indeterminate, format!("consul: an answer ({}) that makes no sense", reply.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, index: Some(7), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn keys_are_read() {
        let text = r#"[{"LockIndex": 1, "Key": "s/d/leader", "Flags": 0, "Value": "YQ==", "Session": "x",
                        "CreateIndex": 1, "ModifyIndex": 5},
                       {"Key": "s/d/status", "Value": null, "ModifyIndex": 6}]"#;
        let (kvs, index) = read_kvs(&reply(200, text)).expect("it is right");
        assert_eq!((index, kvs.len()), (7, 2));
        assert_eq!((kvs[0].value.as_slice(), kvs[0].session.as_str(), kvs[0].index), (b"a".as_slice(), "x", 5));
        assert!(kvs[1].value.is_empty() && kvs[1].session.is_empty());
        assert_eq!(read_kvs(&reply(404, "")).expect("no keys"), (vec![], 7));
        assert!(read_kvs(&reply(200, "what")).is_err());
        assert!(read_kvs(&Reply { index: None, ..reply(200, "[]") }).is_err());
    }

    #[test]
    fn transactions_are_done_or_not() {
        let done = r#"{"Results": [{"KV": {"Key": "a", "Value": null, "ModifyIndex": 9}}], "Errors": null}"#;
        let done = read_txn(&reply(200, done)).expect("it is right");
        let txn = Txn { written: done.written, unsure: false };
        assert_eq!((txn.index("a"), txn.index("b")), (Some(9), None));
        let refused = r#"{"Results": null, "Errors": [{"OpIndex": 0, "What": "failed to lock key"}]}"#;
        let refused = read_txn(&reply(409, refused)).expect("it is right");
        assert!(refused.written.is_none() && !refused.session_gone);
        let gone = r#"{"Results": null, "Errors": [{"OpIndex": 0, "What": "invalid session \"x\""}]}"#;
        assert!(read_txn(&reply(409, gone)).expect("it is right").session_gone);
        assert!(read_txn(&reply(500, "invalid session")).expect("it is right").session_gone);
        assert!(read_txn(&reply(404, "no such page")).is_err());
    }
}
