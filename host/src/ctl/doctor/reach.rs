//! Whether members' servers can be reached at the addresses that they publish.

use super::{Finding, Weight};
use crate::ctl::rows::address;
use regent_core::model::MemberView;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// A running server whose address nobody answers at: standbys could not follow it, nor clients reach it.
pub(super) async fn of_address(member: &MemberView) -> Option<Finding> {
    let (host, port) = address(member).filter(|_| member.is_running())?;
    let opened = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect((host.as_str(), port.parse().ok()?))).await;
    let why = match opened {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", CONNECT_LIMIT.as_secs()),
    };
    Some(Finding(Weight::Bad, format!("{}: its server can not be reached at {host}:{port}: {why}", member.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcs::read_keys;
    use serde_json::json;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_closed_port_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("postgres://127.0.0.1:{port}/postgres");
        let snapshot = read_keys(&json!({
            "members/a": {"state": "running", "conn_url": url}, "members/b": {"state": "stopped", "conn_url": url},
        }));
        assert_eq!(of_address(&snapshot.view.members[0]).await, None);
        drop(listener);
        let Finding(weight, text) = of_address(&snapshot.view.members[0]).await.unwrap();
        assert!(weight == Weight::Bad && text.contains(&format!("reached at 127.0.0.1:{port}: ")), "{text}");
        assert_eq!(of_address(&snapshot.view.members[1]).await, None, "nobody expects it");
    }
}
