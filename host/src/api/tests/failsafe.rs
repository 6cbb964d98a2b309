//! What a leader that has lost the store is told (rest-api §7.7, HA-49).

use super::support::*;
use crate::agent::handle::{FailsafeAnswer, Request};
use crate::api::Options;
use regent_core::model::Lsn;
use std::sync::Arc;
use std::time::Duration;

const BODY: &str = r#"{"name": "postgresql0", "conn_url": "postgres://a:5432/postgres", "api_url": "http://a:8008/patroni", "ttl": 30, "slots": {"b": 1}}"#;

/// A member whose loop says this, provided that it is asked for the leader that asked.
async fn member(said: FailsafeAnswer) -> Served {
    let mut published = replica();
    let mut settings = settings();
    settings.failsafe_mode = true;
    published.settings = Arc::new(settings);
    let mut served = Served::start(published, Options::default()).await;
    served.on_request(move |request, _| {
        if let Request::Failsafe { leader, ttl, reply } = request
            && (leader.as_str(), ttl) == ("postgresql0", Some(Duration::from_secs(30)))
        {
            let _gone = reply.send(said).is_err();
        }
    });
    served
}

#[tokio::test]
async fn a_member_says_whether_the_leader_may_go_on() {
    let answer =
        member(FailsafeAnswer::Accepted(Some(Lsn(50_331_744)))).await.ask("POST", "/failsafe", Some(BODY)).await;
    assert_eq!((answer.said(), answer.header("lsn")), ((200, "Accepted"), Some("50331744")));
    let answer = member(FailsafeAnswer::Accepted(None)).await.ask("POST", "/failsafe", Some(BODY)).await;
    assert_eq!((answer.said(), answer.header("lsn")), ((200, "Accepted"), None));
    let answer = member(FailsafeAnswer::Leading).await.ask("POST", "/failsafe", Some(BODY)).await;
    assert_eq!(answer.said(), (500, "Running as a leader"));
    let answer = member(FailsafeAnswer::Off).await.ask("POST", "/failsafe", Some(BODY)).await;
    assert_eq!(answer.code(), 502, "it was switched off a moment ago");
}

#[tokio::test]
async fn wrong_questions_are_no_questions() {
    let served = member(FailsafeAnswer::Accepted(None)).await;
    let check = async |body: Option<&str>, expected: u16| {
        assert_eq!(served.ask("POST", "/failsafe", body).await.code(), expected, "{body:?}");
    };
    check(None, 411).await;
    check(Some("[]"), 400).await;
    check(Some("{}"), 400).await;
    check(Some(r#"{"name": 1}"#), 400).await;
    let off = Served::start(replica(), Options::default()).await;
    assert_eq!(off.ask("POST", "/failsafe", Some(BODY)).await.code(), 502);
}
