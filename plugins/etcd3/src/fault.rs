//! What an error means for the request that met it: whether it may have been applied, and what to do about it.

use etcd_client::Error;
use std::error::Error as _;
use tonic::{Code, ConnectError, Status};

/// Why an attempt gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Surely not applied; another server, or this one later, may do it.
    Unsent(String),
    /// Perhaps applied.
    Unsure(String),
    /// The token is not, or no longer, accepted.
    Token(String),
    /// Name or password are wrong, or the user may not do this.
    Denied(String),
    /// The lease is gone.
    LeaseGone,
    /// The request makes no sense to the server.
    Refused(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fault::Unsent(why) | Fault::Unsure(why) | Fault::Token(why) | Fault::Denied(why) | Fault::Refused(why) => {
                why
            }
            Fault::LeaseGone => "the lease is gone",
        })
    }
}

/// Answers that were given before anything was proposed to the cluster.
const NOT_PROPOSED: [&str; 5] =
    ["no leader", "too many requests", "server stopped", "not capable", "rpc not supported for learner"];

/// A server that believes itself to be the leader of leases, and is not: a broken member under a wrong code.
const NO_LESSOR: &str = "not a primary lessor";

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        match error {
            Error::GRpcStatus(status) => of_status(&status),
            Error::LeaseKeepAliveError(text) if text.contains("not found") => Fault::LeaseGone,
            Error::TransportError(error) => Fault::Unsent(chain(&error)),
            Error::InvalidArgs(text) => Fault::Refused(text),
            other => Fault::Unsure(other.to_string()),
        }
    }
}

fn of_status(status: &Status) -> Fault {
    let text = status.message().trim_start_matches("etcdserver: ").to_owned();
    if is_connect_error(status) {
        return Fault::Unsent(chain(status));
    }
    if let Some(fault) = of_credentials(status.code(), &text) {
        return fault;
    }
    if text.contains("requested lease not found") {
        return Fault::LeaseGone;
    }
    if NOT_PROPOSED.iter().any(|known| text.contains(known)) {
        return Fault::Unsent(text);
    }
    if text.contains(NO_LESSOR) {
        return Fault::Unsure(text);
    }
    match status.code() {
        Code::ResourceExhausted | Code::Unimplemented => Fault::Unsent(text),
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Cancelled
        | Code::Unknown
        | Code::Internal
        | Code::DataLoss => Fault::Unsure(chain(status)),
        _ => Fault::Refused(text),
    }
}

/// The errors after which a new token may help, and those after which nothing does.
fn of_credentials(code: Code, text: &str) -> Option<Fault> {
    let renewable = ["user name is empty", "permission denied", "invalid auth token", "revision of auth store is old"];
    if renewable.iter().any(|known| text.contains(known)) || code == Code::Unauthenticated {
        return Some(Fault::Token(text.to_owned()));
    }
    text.contains("authentication failed").then(|| Fault::Denied(text.to_owned()))
}

/// Whether the server takes requests from anybody, so that there is no token to be had.
pub(crate) fn is_without_authentication(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if status.message().contains("authentication is not enabled"))
}

/// Whether a watch was to begin before what the store still remembers.
pub(crate) fn is_compacted(reason: &str) -> bool {
    reason.contains("required revision has been compacted")
}

fn is_connect_error(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An error with its causes, since `Display` tells only the first.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = match error.downcast_ref::<Status>() {
        Some(status) => status.message().to_owned(),
        None => error.to_string(),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !next.is_empty() && !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_say_whether_a_request_was_applied() {
        let check = |code: Code, message: &str, expected: fn(String) -> Fault| {
            let text = message.trim_start_matches("etcdserver: ").to_owned();
            assert_eq!(Fault::from(Error::GRpcStatus(Status::new(code, message))), expected(text), "{message}");
        };
        check(Code::Unavailable, "etcdserver: no leader", Fault::Unsent);
        check(Code::ResourceExhausted, "etcdserver: too many requests", Fault::Unsent);
        check(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", Fault::Unsent);
        check(Code::Unavailable, "etcdserver: leader changed", |_| Fault::Unsure("etcdserver: leader changed".into()));
        check(Code::Unavailable, "etcdserver: request timed out", |_| {
            Fault::Unsure("etcdserver: request timed out".into())
        });
        check(Code::Unknown, "lease: not a primary lessor", Fault::Unsure);
        check(Code::NotFound, "etcdserver: requested lease not found", |_| Fault::LeaseGone);
        check(Code::Unauthenticated, "etcdserver: invalid auth token", Fault::Token);
        check(Code::InvalidArgument, "etcdserver: user name is empty", Fault::Token);
        check(Code::InvalidArgument, "etcdserver: revision of auth store is old", Fault::Token);
        check(Code::PermissionDenied, "etcdserver: permission denied", Fault::Token);
        check(Code::InvalidArgument, "etcdserver: authentication failed, invalid user ID or password", Fault::Denied);
        check(Code::InvalidArgument, "etcdserver: request is too large", Fault::Refused);
        let gone = Fault::from(Error::LeaseKeepAliveError("lease not found".to_owned()));
        assert_eq!(gone, Fault::LeaseGone);
    }
}
