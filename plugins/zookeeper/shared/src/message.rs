//! The messages of ZooKeeper that we need: what is asked, and what is answered.

use crate::jute::{Malformed, Reader, Writer};

/// Why a server refuses, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub i32);

impl Code {
    pub const UNDONE: Code = Code(-2);
    pub const MARSHALLING: Code = Code(-5);
    pub const UNIMPLEMENTED: Code = Code(-6);
    pub const BAD_ARGUMENTS: Code = Code(-8);
    pub const NO_NODE: Code = Code(-101);
    pub const NO_AUTH: Code = Code(-102);
    pub const BAD_VERSION: Code = Code(-103);
    pub const NO_CHILDREN: Code = Code(-108);
    pub const NODE_EXISTS: Code = Code(-110);
    pub const NOT_EMPTY: Code = Code(-111);
    pub const SESSION_EXPIRED: Code = Code(-112);
    pub const INVALID_ACL: Code = Code(-114);
    pub const AUTH_FAILED: Code = Code(-115);
    pub const SESSION_MOVED: Code = Code(-118);
    pub const NOT_READ_ONLY: Code = Code(-119);
    pub const QUOTA: Code = Code(-125);
    pub const THROTTLED: Code = Code(-127);
}

/// Who may do what with a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acl {
    pub permissions: i32,
    pub scheme: String,
    pub id: String,
}

/// What is known of a node beside its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The change that wrote it last: no two have the same.
    pub modified: i64,
    /// Counts its values, from zero at each creation.
    pub version: i32,
    /// The session that it ends with; 0 if with none.
    pub owner: i64,
    pub children: i32,
    /// The change that added or removed a child last.
    pub listed: i64,
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) enum Op<'a> {
    /// With `bool`: it ends with the session.
    Create(&'a str, &'a [u8], bool),
    /// A node for others to lie below; it may be there, and may be none of our business.
    Folder(&'a str),
    /// -1 stands for any version, here and below.
    Delete(&'a str, i32),
    Set(&'a str, &'a [u8], i32),
    Check(&'a str, i32),
    /// With `bool`: tell of the next change, here and below.
    Exists(&'a str, bool),
    Get(&'a str, bool),
    List(&'a str, bool),
    /// Answered once the server knows all that the ensemble knew.
    Sync(&'a str),
    /// All or nothing.
    Multi(Vec<Op<'a>>),
    Close,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Nothing,
    Stat(Stat),
    Value(Vec<u8>, Stat),
    Children(Vec<String>, Stat),
    /// Of each operation, in its order.
    All(Vec<Body>),
    /// None of them was done: the place of the one that could not be, and why.
    Refused(usize, Code),
}

/// One answer: the last change that the server knew, and what came of the operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    pub zxid: i64,
    pub body: Result<Body, Code>,
}

/// What a new connection asks for.
pub(crate) struct Hello<'a> {
    /// The newest change that we know: a server that knows less does not answer.
    pub seen: i64,
    pub timeout_ms: i32,
    /// 0 for a new session.
    pub session: i64,
    pub password: &'a [u8],
}

/// What it gets.
#[derive(Debug, PartialEq)]
pub(crate) struct Welcome {
    /// Zero: the session is gone.
    pub timeout_ms: i32,
    pub session: i64,
    pub password: Vec<u8>,
}

/// What a message from the server is about.
#[derive(Debug, PartialEq)]
pub(crate) enum Heading {
    /// Something changed that a reading asked to be told of.
    Event,
    /// The answer to the request of that number.
    Answer(i32, i64, Code),
}

const CREATE: i32 = 1;
const DELETE: i32 = 2;
const SET: i32 = 5;
const CHECK: i32 = 13;
const MULTI: i32 = 14;
const FAILED: i32 = -1;
const AUTH: i32 = 100;

/// The number of an answer to credentials, and of an event.
pub(crate) const AUTH_NUMBER: i32 = -4;
const EVENT_NUMBER: i32 = -1;

impl Hello<'_> {
    pub fn frame(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.int(0).long(self.seen).int(self.timeout_ms).long(self.session).bytes(self.password).flag(false);
        writer.frame()
    }
}

impl Welcome {
    pub fn read(frame: &[u8]) -> Result<Welcome, Malformed> {
        let mut reader = Reader(frame);
        reader.int()?;
        let (timeout_ms, session) = (reader.int()?, reader.long()?);
        Ok(Welcome { timeout_ms, session, password: reader.bytes()?.to_vec() })
    }
}

/// Credentials; they are answered under [`AUTH_NUMBER`].
pub(crate) fn credentials(scheme: &str, credential: &str) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.int(AUTH_NUMBER).int(AUTH).int(0).text(scheme).text(credential);
    writer.frame()
}

/// What the message is about, and the rest of it.
pub(crate) fn heading(frame: &[u8]) -> Result<(Heading, &[u8]), Malformed> {
    let mut reader = Reader(frame);
    let (number, zxid, code) = (reader.int()?, reader.long()?, Code(reader.int()?));
    let heading = if number == EVENT_NUMBER { Heading::Event } else { Heading::Answer(number, zxid, code) };
    Ok((heading, reader.0))
}

impl Op<'_> {
    fn number(&self) -> i32 {
        match self {
            Op::Create(..) | Op::Folder(_) => CREATE,
            Op::Delete(..) => DELETE,
            Op::Exists(..) => 3,
            Op::Get(..) => 4,
            Op::Set(..) => SET,
            Op::Sync(..) => 9,
            Op::List(..) => 12,
            Op::Check(..) => CHECK,
            Op::Multi(..) => MULTI,
            Op::Close => -11,
        }
    }

    /// The operation as a request of that number; what it creates gets these permissions.
    pub fn frame(&self, number: i32, acls: &[Acl]) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.int(number).int(self.number());
        self.write(&mut writer, acls);
        writer.frame()
    }

    fn write(&self, writer: &mut Writer, acls: &[Acl]) {
        match self {
            Op::Folder(path) => Op::Create(path, b"", false).write(writer, acls),
            Op::Create(path, value, with_session) => {
                writer.text(path).bytes(value).int(i32::try_from(acls.len()).unwrap_or(0));
                for acl in acls {
                    writer.int(acl.permissions).text(&acl.scheme).text(&acl.id);
                }
                writer.int(i32::from(*with_session));
            }
            Op::Delete(path, version) | Op::Check(path, version) => {
                writer.text(path).int(*version);
            }
            Op::Set(path, value, version) => {
                writer.text(path).bytes(value).int(*version);
            }
            Op::Exists(path, tell) | Op::Get(path, tell) | Op::List(path, tell) => {
                writer.text(path).flag(*tell);
            }
            Op::Sync(path) => {
                writer.text(path);
            }
            Op::Multi(ops) => {
                for op in ops {
                    writer.int(op.number()).flag(false).int(-1);
                    op.write(writer, acls);
                }
                writer.int(-1).flag(true).int(-1);
            }
            Op::Close => {}
        }
    }

    /// The answer to it, after its heading.
    pub fn answer(&self, code: Code, rest: &[u8]) -> Result<Result<Body, Code>, Malformed> {
        let mut reader = Reader(rest);
        if code != Code(0) {
            return Ok(Err(code));
        }
        Ok(Ok(match self {
            Op::Exists(..) | Op::Set(..) => Body::Stat(stat(&mut reader)?),
            Op::Get(..) => Body::Value(reader.bytes()?.to_vec(), stat(&mut reader)?),
            Op::List(..) => Body::Children(reader.texts()?, stat(&mut reader)?),
            Op::Multi(ops) => results(ops.len(), &mut reader)?,
            Op::Create(..) | Op::Folder(_) | Op::Delete(..) | Op::Check(..) | Op::Sync(..) | Op::Close => Body::Nothing,
        }))
    }
}

fn results(count: usize, reader: &mut Reader<'_>) -> Result<Body, Malformed> {
    let (mut bodies, mut refused) = (Vec::new(), None);
    for place in 0..count {
        let (kind, _, _) = (reader.int()?, reader.flag()?, reader.int()?);
        bodies.push(match kind {
            CREATE => {
                reader.bytes()?;
                Body::Nothing
            }
            SET => Body::Stat(stat(reader)?),
            DELETE | CHECK => Body::Nothing,
            FAILED => {
                let code = Code(reader.int()?);
                // Those before it were undone, those after it not tried.
                if code != Code(0) && code != Code::UNDONE {
                    refused = refused.or(Some((place, code)));
                }
                Body::Nothing
            }
            _ => return Err(Malformed),
        });
    }
    Ok(match refused {
        Some((place, code)) => Body::Refused(place, code),
        None => Body::All(bodies),
    })
}

fn stat(reader: &mut Reader<'_>) -> Result<Stat, Malformed> {
    let _created = reader.long()?;
    let modified = reader.long()?;
    let _times = (reader.long()?, reader.long()?);
    let version = reader.int()?;
    let _of_children_and_permissions = (reader.int()?, reader.int()?);
    let owner = reader.long()?;
    let _length = reader.int()?;
    Ok(Stat { modified, version, owner, children: reader.int()?, listed: reader.long()? })
}

#[cfg(test)]
mod tests;
