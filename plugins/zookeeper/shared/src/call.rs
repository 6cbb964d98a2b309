//! Repeats requests until there is an answer or the budget ends, and says at the end what their fate means.

use crate::Ensemble;
use crate::connection::Fault;
use crate::message::{Body, Code, Op, Reply};
use crate::session::{Held, NoConnection, Session};
use regent_plugin_sdk::{Cx, DcsError, ErrorKind, Result};
use std::time::Duration;

/// With less left, another try would tell nothing but that there was no time.
const TRY_MIN: Duration = Duration::from_millis(20);

/// Between two tries, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(400));

/// What may be done about requests of which nobody knows whether they were applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// They change nothing: again, and if all fails, nothing was applied.
    Read,
    /// Doing them twice is doing them once, or shows: again.
    Write,
    /// A second try could take the first for somebody else's: never.
    Once,
}

/// Answers that say something.
#[derive(Debug)]
pub(crate) struct Answer {
    /// In the order of the operations.
    pub replies: Vec<Reply>,
    /// The session that they were asked in.
    pub held: Held,
    /// The connection.
    pub serial: u64,
    /// An earlier try of the same may have been applied too.
    pub unsure: bool,
}

impl Answer {
    /// What came of the operation at that place.
    pub fn body(&self, place: usize) -> std::result::Result<&Body, Code> {
        match self.replies.get(place) {
            Some(reply) => reply.body.as_ref().map_err(|code| *code),
            None => Err(Code::UNDONE),
        }
    }
}

/// What a refusal means for its request.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// It is for the operation to say.
    Final,
    /// Not applied: another connection may do better.
    Elsewhere,
    Unsure,
    Refused(ErrorKind),
}

/// Asks until there are answers.
pub(crate) async fn run<E: Ensemble>(
    session: &Session<E>,
    cx: &Cx,
    (wanted, repeat): (Duration, Repeat),
    ops: &[Op<'_>],
) -> Result<Answer> {
    let (mut unsure, mut pause) = (false, PAUSE.0);
    let mut last = "there was no time to ask".to_owned();
    while cx.left() >= TRY_MIN {
        match attempt(session, cx, wanted, ops).await? {
            Ok(answer) => match judge(ops, &answer.replies) {
                (Meaning::Final, _) => return Ok(Answer { unsure, ..answer }),
                (Meaning::Refused(kind), code) => {
                    let kind = if unsure && repeat != Repeat::Read { ErrorKind::Indeterminate } else { kind };
                    return Err(failed(kind, &format!("the server refuses ({})", code.0)));
                }
                (Meaning::Elsewhere, code) => last = format!("the server refuses for now ({})", code.0),
                (Meaning::Unsure, code) => {
                    unsure = true;
                    last = format!("the server fails ({})", code.0);
                }
            },
            Err(Fault::Unsent(why)) => last = why,
            Err(Fault::Unsure(why)) => {
                unsure = true;
                last = why;
            }
        }
        if unsure && repeat == Repeat::Once {
            break;
        }
        rest(pause.min(cx.left().saturating_sub(TRY_MIN))).await;
        pause = (pause * 2).min(PAUSE.1);
    }
    let kind = if unsure && repeat != Repeat::Read { ErrorKind::Indeterminate } else { ErrorKind::Unavailable };
    Err(failed(kind, &last))
}

async fn attempt<E: Ensemble>(
    session: &Session<E>,
    cx: &Cx,
    wanted: Duration,
    ops: &[Op<'_>],
) -> Result<std::result::Result<Answer, Fault>> {
    let (connection, held) = match tokio::time::timeout(cx.left(), session.ready(wanted)).await {
        Ok(Ok(ready)) => ready,
        Ok(Err(NoConnection::Yet(why))) => return Ok(Err(Fault::Unsent(why))),
        Ok(Err(NoConnection::Ever(error))) => return Err(error),
        Err(_) => return Ok(Err(Fault::Unsent("no connection in time".to_owned()))),
    };
    let answers = tokio::time::timeout(cx.left(), connection.ask(ops, session.acls())).await;
    let answers = answers.unwrap_or_else(|_| Err(Fault::Unsure("no answer in time".to_owned())));
    Ok(answers.map(|replies| {
        if judge(ops, &replies).0 == Meaning::Elsewhere {
            connection.end();
        }
        Answer { replies, held, serial: connection.serial, unsure: false }
    }))
}

/// What the first refusal that is not for the operation itself to judge means.
fn judge(ops: &[Op<'_>], replies: &[Reply]) -> (Meaning, Code) {
    let meanings = ops.iter().zip(replies).filter_map(|(op, reply)| match (&reply.body, op) {
        (Err(code), Op::Folder(_)) => Some((meaning(*code), *code)).filter(|(it, _)| *it == Meaning::Elsewhere),
        (Err(code) | Ok(Body::Refused(_, code)), _) => Some((meaning(*code), *code)),
        (Ok(_), _) => None,
    });
    meanings.into_iter().find(|(meaning, _)| *meaning != Meaning::Final).unwrap_or((Meaning::Final, Code(0)))
}

fn meaning(code: Code) -> Meaning {
    match code {
        Code::NO_NODE | Code::BAD_VERSION | Code::NODE_EXISTS | Code::NOT_EMPTY => Meaning::Final,
        Code::SESSION_EXPIRED | Code::SESSION_MOVED | Code::NOT_READ_ONLY | Code::THROTTLED => Meaning::Elsewhere,
        Code::NO_AUTH | Code::AUTH_FAILED => Meaning::Refused(ErrorKind::Auth),
        Code::INVALID_ACL | Code::BAD_ARGUMENTS | Code::NO_CHILDREN | Code::QUOTA | Code::MARSHALLING => {
            Meaning::Refused(ErrorKind::Invalid)
        }
        Code::UNIMPLEMENTED => Meaning::Refused(ErrorKind::Unsupported),
        _ => Meaning::Unsure,
    }
}

/// An error in ZooKeeper's name.
pub(crate) fn failed(kind: ErrorKind, why: &str) -> DcsError {
    DcsError::new(kind, format!("zookeeper: {why}"))
}

#[allow(clippy::disallowed_methods, reason = "between two tries, within the call's budget")]
pub(crate) async fn rest(time: Duration) {
    // pace: the next try
    tokio::time::sleep(time).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_meanings() {
        let check = |body: std::result::Result<Body, Code>, expected: Meaning| {
            let replies = [Err(Code::NO_AUTH), body.clone(), Err(Code::NO_NODE)];
            let replies = replies.map(|body| Reply { zxid: 1, body });
            let ops = [Op::Folder("/a"), Op::Multi(Vec::new()), Op::Exists("/a", false)];
            assert_eq!(judge(&ops, &replies).0, expected, "{body:?}");
        };
        check(Ok(Body::Nothing), Meaning::Final);
        check(Err(Code::BAD_VERSION), Meaning::Final);
        check(Ok(Body::Refused(1, Code::NODE_EXISTS)), Meaning::Final);
        check(Err(Code::SESSION_MOVED), Meaning::Elsewhere);
        check(Ok(Body::Refused(0, Code::SESSION_EXPIRED)), Meaning::Elsewhere);
        check(Err(Code::NO_AUTH), Meaning::Refused(ErrorKind::Auth));
        check(Err(Code::INVALID_ACL), Meaning::Refused(ErrorKind::Invalid));
        check(Err(Code(-1)), Meaning::Unsure);
    }
}
