//! Requests that are damaged anywhere, from the method to the body: each gets an answer or a closed connection, and
//! health checks go on being answered.

use super::support::*;
use crate::api::Options;
use crate::tests::damage::{self, Rounds};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TARGETS: [&str; 16] = [
    "/primary",
    "/replica?lag=10MB&replication_state=streaming&tag_zone=1",
    "/read-only-sync?x=%41",
    "/patroni",
    "/config",
    "/cluster",
    "/history",
    "/metrics",
    "/restart",
    "/reload",
    "/reinitialize",
    "/switchover",
    "/failover",
    "/failsafe",
    "/journal?last=5",
    "/liveness",
];

fn bodies() -> [Value; 6] {
    [
        json!({"leader": "postgresql0", "candidate": "postgresql1", "scheduled_at": "2030-01-01T00:00:00+00:00"}),
        json!({"schedule": "2030-01-01T00:00Z", "role": "replica", "postgres_version": "16.0", "timeout": "10s", "restart_pending": true}),
        json!({"force": true, "from_leader": "yes"}),
        json!({"ttl": 30, "postgresql": {"parameters": {"max_connections": null}}}),
        json!({"name": "postgresql1", "conn_url": "postgres://h:1/x", "api_url": "http://h:2/patroni", "slots": {"a": 1}}),
        json!([]),
    ]
}

fn request(round: &mut damage::Round) -> Vec<u8> {
    let bodies = bodies();
    let chance = &mut round.chance;
    let methods = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
    let method = methods[chance.usize(..methods.len())];
    let target = TARGETS[chance.usize(..TARGETS.len())];
    let target = if chance.bool() { damage::text(chance, target) } else { target.to_owned() };
    let body = &bodies[chance.usize(..bodies.len())];
    let body = if chance.bool() {
        damage::document(chance, body).to_string()
    } else {
        damage::text(chance, &body.to_string())
    };
    let length = if chance.u8(..8) == 0 { damage::piece(chance) } else { body.len().to_string() };
    let text =
        format!("{method} {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    if chance.u8(..4) == 0 { damage::text(chance, &text).into_bytes() } else { text.into_bytes() }
}

#[tokio::test]
async fn fuzz_requests() {
    let mut served = Served::start(leader(), Options::default()).await;
    // A loop that is too busy to answer: requests are refused or dropped, none is carried out.
    served.on_request(|_, _| {});
    let mut rounds = Rounds::begin();
    while let Some(mut round) = rounds.next() {
        let bytes = request(&mut round);
        round.show(String::from_utf8_lossy(&bytes));
        let mut stream = TcpStream::connect(served.address()).await.unwrap();
        let talk = async {
            // Half of the clients say no more after this: whoever waits for the rest need not.
            if stream.write_all(&bytes).await.is_ok() && stream.shutdown().await.is_ok() {
                let _reset = stream.read_to_end(&mut Vec::new()).await.is_err();
            }
        };
        tokio::time::timeout(PATIENCE, talk).await.expect("the connection ends");
        if round.chance.u8(..16) == 0 {
            assert_eq!(served.get("/primary").await.code(), 200);
        }
    }
    assert_eq!(served.get("/primary").await.code(), 200);
}
