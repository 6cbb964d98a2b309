//! Requests as they are sent, answers as servers give them.

use super::*;

fn reply(status: u16, body: &str) -> Reply {
    Reply::of(status, &[("X-Etcd-Index", "7"), ("X-Etcd-Cluster-Id", "48276a8f75b6a87")], body)
}

/// ETCD-01
#[test]
fn requests_are_written_as_the_api_has_them() {
    let check = |request: Request, expected: &str| {
        let sent = request.to("http://a:2379", None);
        let body = sent.body.map(|(_, body)| String::from_utf8(body).expect("it is text")).unwrap_or_default();
        assert_eq!(format!("{} {} {body}", sent.method, sent.url).trim(), expected);
    };
    check(Request::read("/s/d/"), "GET http://a:2379/v2/keys/s/d/?recursive=true&quorum=true");
    check(Request::wait("/s/d/", 8), "GET http://a:2379/v2/keys/s/d/?recursive=true&wait=true&waitIndex=8");
    check(
        Request::write("/s/d/leader", "a b").with("ttl", 30).with("prevExist", false),
        "PUT http://a:2379/v2/keys/s/d/leader value=a%20b&ttl=30&prevExist=false",
    );
    check(Request::write("/s/d/initialize", ""), "PUT http://a:2379/v2/keys/s/d/initialize value=");
    check(
        Request::refresh("/s/d/members/a").with("ttl", 30),
        "PUT http://a:2379/v2/keys/s/d/members/a refresh=true&prevExist=true&ttl=30",
    );
    check(Request::remove("/s/d/x").with("prevIndex", 5), "DELETE http://a:2379/v2/keys/s/d/x?prevIndex=5");
    check(Request::remove("/s/d/x"), "DELETE http://a:2379/v2/keys/s/d/x");
    let secret = "Basic eDp5".to_owned();
    assert_eq!(Request::remove("/x").to("http://a", Some(&secret)).headers, [("Authorization", secret)]);
}

#[test]
fn folders_are_opened() {
    let text = r#"{"action": "get", "node": {"key": "/s/d", "dir": true, "modifiedIndex": 4, "createdIndex": 4, "nodes": [
        {"key": "/s/d/leader", "value": "a", "ttl": 20, "modifiedIndex": 6, "createdIndex": 5},
        {"key": "/s/d/members", "dir": true},
        {"key": "/s/d/optime", "dir": true, "nodes": [{"key": "/s/d/optime/leader", "value": "", "modifiedIndex": 9}]}]}}"#;
    let Meaning::Final(Said::Done(event)) = meaning(&reply(200, text)) else { panic!("it is an answer") };
    let mut keys: Vec<_> = event.node.keys().into_iter().map(|node| (node.session(), node.key, node.index)).collect();
    keys.sort();
    assert_eq!(keys, [(String::new(), "/s/d/optime/leader".into(), 9), ("5".into(), "/s/d/leader".into(), 6)]);
}

/// ETCD-09: codes of a watch that can not go on; and what every other answer means.
#[test]
fn answers_have_meanings() {
    let check = |status: u16, body: &str, expected: &str| {
        let meaning = match meaning(&reply(status, body)) {
            Meaning::Final(Said::Done(event)) => event.action,
            Meaning::Final(Said::No(code)) => format!("no {code}"),
            Meaning::Final(Said::Cleared) => "cleared".to_owned(),
            Meaning::Again(Fault::Unsent(_)) => "unsent".to_owned(),
            Meaning::Again(Fault::Unsure(_)) => "unsure".to_owned(),
            Meaning::Refused(kind, _) => format!("{kind:?}"),
        };
        assert_eq!(meaning, expected, "{status} {body}");
    };
    let code = |code: u32, cause: &str| format!(r#"{{"errorCode":{code},"message":"m","cause":"{cause}","index":4}}"#);
    check(201, r#"{"action":"create","node":{"key":"/a","value":"b","modifiedIndex":1}}"#, "create");
    check(404, &code(100, "/a"), "no 100");
    check(412, &code(101, "[b != a]"), "no 101");
    check(412, &code(105, "/a"), "no 105");
    check(400, &code(400, ""), "cleared");
    check(400, &code(401, "the requested history has been cleared"), "cleared");
    check(500, &code(300, "etcdserver: request timed out"), "unsure");
    check(500, &code(300, "etcdserver: no leader"), "unsent");
    check(500, &code(301, ""), "unsure");
    check(403, &code(102, "/a"), "Invalid");
    check(401, r#"{"message":"Insufficient credentials"}"#, "Auth");
    check(404, "404 page not found", "Invalid");
    check(200, "what", "unsure");
    check(502, "Bad Gateway", "unsure");
    check(429, "", "unsent");
}

#[test]
fn places_are_read_as_they_were_written() {
    let place = Place::of(&reply(200, ""));
    assert_eq!((place.text().as_str(), Place::read(&place.text())), ("48276a8f75b6a87:7", Some(place)));
    for text in ["", "7", "x:1", "1:x", "1:-1", "1:2:3"] {
        assert_eq!(Place::read(text), None, "{text}");
    }
}
