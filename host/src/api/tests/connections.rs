//! Connections: exact bytes, keep-alive, slow and silent clients, moved listeners, and bytes that are no HTTP (API-14,
//! API-15).

use super::support::*;
use crate::agent::handle::Request;
use crate::api::{ApiError, Options};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

const UP: &str = "HTTP/1.0 200 OK\r\n\r\n";
const DOWN: &str = "HTTP/1.0 503 Service Unavailable\r\n\r\n";

/// API-14, API-18
#[tokio::test]
async fn bare_status_lines_are_exact() {
    let served = Served::start(leader(), Options::default()).await;
    for (request, expected) in [
        ("OPTIONS / HTTP/1.0\r\n\r\n", UP),
        ("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n", UP),
        ("OPTIONS /replica HTTP/1.0\r\n\r\n", DOWN),
        ("OPTIONS /config HTTP/1.0\r\n\r\n", DOWN),
        ("OPTIONS /readiness HTTP/1.0\r\n\r\n", DOWN),
        ("HEAD /primary HTTP/1.0\r\n\r\n", UP),
        ("HEAD /patroni HTTP/1.0\r\n\r\n", DOWN),
        ("HEAD /liveness HTTP/1.0\r\n\r\n", DOWN),
        ("GET /liveness HTTP/1.0\r\n\r\n", UP),
        ("GET /readiness HTTP/1.1\r\nHost: a\r\n\r\n", UP),
    ] {
        assert_eq!(served.send(request).await, expected, "{request:?}");
    }
}

#[tokio::test]
async fn query_parameters_are_read_in_every_form() {
    let served = Served::start(replica(), Options::default()).await;
    for (target, expected) in [
        ("/replica", 200),
        ("/replica?lag=0", 200),
        ("/replica?lag=1kB&lag=nonsense", 200),
        ("/replica?replication_state=streaming", 200),
        ("/replica?replication_state=in%20archive%20recovery", 503),
        ("/replica?replication_state=in+archive+recovery", 503),
        ("/replica?tag_custom=1.5", 200),
        ("/replica?tag_clonefrom=true", 200),
        ("/replica?tag_custom=2", 503),
        ("/replica?tag_custom=1.5&tag_custom=2", 200),
        ("/replica?tag_nosuch=", 200),
        ("/read-only", 200),
        ("/asynchronous", 200),
        ("/sync", 503),
        ("/nosuch", 503),
        ("/readiness?mode=write&lag=0", 200),
    ] {
        assert_eq!(served.get(target).await.code(), expected, "GET {target}");
        if !target.starts_with("/readiness") {
            assert_eq!(served.ask("HEAD", target, None).await.code(), expected, "HEAD {target}");
            assert_eq!(served.ask("OPTIONS", target, None).await.code(), expected, "OPTIONS {target}");
        }
    }
}

#[tokio::test]
async fn connections_stay_open_for_those_who_ask() {
    let served = Served::start(leader(), Options::default()).await;
    let count = |answer: &str| answer.to_lowercase().matches("\r\ncontent-type: application/json\r\n").count();
    let check = "GET /primary HTTP/1.1\r\nHost: a\r\n\r\n";
    let routed = "GET /patroni HTTP/1.1\r\nHost: a\r\n\r\n";
    let last = "GET /primary HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(count(&served.send(&format!("{check}{check}{last}{check}")).await), 3);
    let answer = served.send(&format!("{check}{routed}{check}{routed}{last}")).await;
    assert_eq!(count(&answer), 5, "{answer}");
}

#[tokio::test]
async fn full_answers_say_who_answers() {
    let options = Options {
        server_tokens: "Minimal".to_owned(),
        extra_headers: vec![
            ("X-Frame-Options".to_owned(), "SAMEORIGIN".to_owned()),
            ("Bad\r\nX".to_owned(), "1".to_owned()),
        ],
        ..Options::default()
    };
    let served = Served::start(leader(), options).await;
    for target in ["/primary", "/replica", "/patroni", "/history", "/metrics"] {
        let answer = served.get(target).await;
        let server = format!("Patroni/{}", crate::agent::handle::PEER_VERSION);
        assert_eq!(answer.header("server"), Some(server.as_str()), "{target}");
        assert_eq!(answer.header("x-frame-options"), Some("SAMEORIGIN"), "{target}");
        assert!(answer.header("date").is_some(), "{target}");
    }
    let answer = served.ask("POST", "/nosuch", None).await;
    assert_eq!(answer.status, "501 Unsupported method ('POST')");
    assert!(answer.body.contains("Server does not support this operation"));
}

#[tokio::test]
async fn a_head_may_come_in_pieces() {
    let served = Served::start(leader(), Options::default()).await;
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in b"OPTIONS /primary HTTP/1.1\r\nHost: a\r\n\r" {
        stream.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(exchange(stream, b"\n").await, UP);
}

/// API-14: load balancers know no other answer than a status line, whatever they sent.
#[tokio::test]
async fn a_status_line_is_all_there_is() {
    let served = Served::start(leader(), Options::default()).await;
    for request in [
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD /primary HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}",
        "OPTIONS /primary HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        "OPTIONS / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        assert_eq!(served.send(request).await, UP, "{request}");
    }
}

#[tokio::test]
async fn announcements_of_a_distributed_database_are_taken() {
    let served = Served::start(leader(), Options::default()).await;
    let body = r#"{"type": "before_demote", "group": 1, "leader": "a", "timeout": 30, "cooldown": 10}"#;
    for target in ["/citus", "/mpp"] {
        let answer = served.ask("POST", target, Some(body)).await;
        assert_eq!((answer.status.as_str(), answer.body.as_str()), ("200 OK", "OK"), "{target}");
    }
}

/// A client that sends its whole body before it reads gets its answer all the same.
#[tokio::test]
async fn bodies_have_an_end() {
    let served = Served::start(leader(), Options::default()).await;
    let body = "x".repeat(8 << 20);
    assert_eq!(served.ask("POST", "/restart", Some(&body)).await.status, "413 Request Entity Too Large");
}

#[tokio::test]
async fn the_listener_moves_and_stays_when_it_can_not() {
    let mut served = Served::start(leader(), Options::default()).await;
    let old = served.address();
    let to = |listen: String| Options { listen, ..Options::default() };
    // The same port, as a differing address: only free once the old listener is gone.
    served.server.reconfigure(to(format!("*:{}", old.port()))).await.unwrap();
    assert_eq!(served.server.address().port(), old.port());
    assert_eq!(exchange(TcpStream::connect(old).await.unwrap(), b"OPTIONS / HTTP/1.0\r\n\r\n").await, UP);
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = served.server.reconfigure(to(taken.local_addr().unwrap().to_string())).await;
    assert!(matches!(refused, Err(ApiError::Listen { .. })));
    assert!(matches!(served.server.reconfigure(to("nonsense".to_owned())).await, Err(ApiError::Address(_))));
    assert_eq!(exchange(TcpStream::connect(old).await.unwrap(), b"OPTIONS / HTTP/1.0\r\n\r\n").await, UP);
    served.server.reconfigure(to("127.0.0.1:0".to_owned())).await.unwrap();
    assert_ne!(served.server.address().port(), old.port());
    assert_eq!(served.get("/primary").await.code(), 200);
}

/// API-15: who is being served is served to the end.
#[tokio::test]
async fn a_move_lets_requests_finish() {
    let mut served = Served::start(leader(), Options::default()).await;
    let (asked, mut restarts) = tokio::sync::mpsc::unbounded_channel();
    served.on_request(move |request, _| {
        if let Request::Restart(_, reply) = request {
            asked.send(reply).unwrap();
        }
    });
    let stream = TcpStream::connect(served.address()).await.unwrap();
    let answer = tokio::spawn(async move { exchange(stream, b"POST /restart HTTP/1.0\r\n\r\n").await });
    let reply = tokio::time::timeout(PATIENCE, restarts.recv()).await.unwrap().unwrap();
    served.server.reconfigure(Options { listen: "127.0.0.2:0".to_owned(), ..Options::default() }).await.unwrap();
    let said = crate::agent::handle::Reply { status: 200, text: "restarted successfully".to_owned() };
    reply.send(said).unwrap();
    assert_eq!(Answer::read(&answer.await.unwrap()).said(), (200, "restarted successfully"));
}
