//! SRV records from a name server of our own, and a peer that says who its members are.

use super::*;
use crate::etcd::Config;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::name_server::TokioConnectionProvider;
use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record};
use hickory_resolver::proto::xfer::Protocol;
use tokio::net::{TcpListener, UdpSocket};

#[test]
fn records_are_looked_for_under_the_services_names() {
    let check = |domain: &str, suffix: Option<&str>, expected: &str| {
        let srv = Srv { domain: domain.to_owned(), suffix: suffix.map(str::to_owned) };
        assert_eq!(record_name("etcd-client-ssl", &srv), expected);
    };
    check("example.com", None, "_etcd-client-ssl._tcp.example.com");
    check("example.com.", Some("main"), "_etcd-client-ssl-main._tcp.example.com");
}

#[test]
fn what_members_say_is_read_leniently() {
    let check = |answer: &str, expected: Result<&[&str], &str>| {
        let read = read_members(answer.as_bytes());
        let read = read.map(|found| found.iter().map(Endpoint::to_string).collect::<Vec<_>>());
        match expected {
            Ok(expected) => assert_eq!(read.unwrap(), expected),
            Err(expected) => assert_eq!(read.unwrap_err(), expected),
        }
    };
    check("nonsense", Err("the answer is no HTTP"));
    check("HTTP/1.0 404 Not Found\r\n\r\n", Err("the answer is \"404\""));
    let body = r#"[{"clientURLs":["http://a:2379","http://a:2379","ftp://b"]},{"id":1},{"clientURLs":7}]"#;
    check(&format!("HTTP/1.1 200 OK\r\nX: y\r\n\r\n{body}"), Ok(&["http://a:2379"]));
    check("HTTP/1.1 200 OK\r\n\r\n[]", Ok(&[]));
}

/// A name server that knows one service's record; every other name does not exist.
async fn name_server(known: &'static str, target: &'static str, port: u16) -> TokioResolver {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((count, client)) = socket.recv_from(&mut buffer).await {
            let mut message = Message::from_vec(&buffer[..count]).unwrap();
            message.set_message_type(MessageType::Response);
            let name = message.queries()[0].name().clone();
            if name.to_utf8() == known {
                let record = SRV::new(0, 0, port, Name::from_utf8(target).unwrap());
                message.add_answer(Record::from_rdata(name, 60, RData::SRV(record)));
            } else {
                message.set_response_code(ResponseCode::NXDomain);
            }
            socket.send_to(&message.to_vec().unwrap(), client).await.unwrap();
        }
    });
    let server = NameServerConfig::new(address, Protocol::Udp);
    let config = ResolverConfig::from_parts(None, vec![], vec![server]);
    TokioResolver::builder_with_config(config, TokioConnectionProvider::default()).build()
}

async fn found(resolver: &TokioResolver) -> Vec<String> {
    let config = Config::read("etcd3", r#"{"srv": "example.test"}"#).unwrap();
    let (srv, dns) = (config.srv.clone().unwrap(), Dns::default());
    let way = Way { dns: &dns, tls: &config.tls, patience: Duration::from_secs(5) };
    look_up(resolver, &srv, way).await.iter().map(Endpoint::to_string).collect()
}

#[tokio::test]
async fn the_first_service_with_records_names_the_servers() {
    let resolver = name_server("_etcd-client._tcp.example.test.", "a.example.test.", 1234).await;
    assert_eq!(found(&resolver).await, ["http://a.example.test:1234"]);
    let resolver = name_server("_etcd-ssl._tcp.example.test.", "b.example.test.", 2).await;
    assert_eq!(found(&resolver).await, ["https://b.example.test:2"]);
    let resolver = name_server("_nothing._tcp.example.test.", "c.example.test.", 3).await;
    assert!(found(&resolver).await.is_empty());
}

#[tokio::test]
async fn peers_are_asked_where_clients_are_welcome() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = peer.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = peer.accept().await.unwrap();
        let mut request = vec![0; 1000];
        let count = stream.read(&mut request).await.unwrap();
        assert!(request[..count].starts_with(b"GET /members HTTP/1.0\r\n"));
        let answer = b"HTTP/1.0 200 OK\r\n\r\n[{\"clientURLs\":[\"https://a:2379\"]}]";
        stream.write_all(answer).await.unwrap();
    });
    let resolver = name_server("_etcd-server._tcp.example.test.", "127.0.0.1.", port).await;
    assert_eq!(found(&resolver).await, ["https://a:2379"]);
}
