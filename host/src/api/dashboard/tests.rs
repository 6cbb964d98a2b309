//! The page and its parts as they are served, and who may act through them.

use crate::agent::handle::{Reply, Request};
use crate::api::Options;
use crate::api::tests::support::*;
use regent_core::model::Secret;
use serde_json::{Value, json};
use std::sync::Arc;

fn locked() -> Options {
    Options { authentication: Some(("ops".to_owned(), Secret("secret".to_owned()))), ..Options::default() }
}

#[tokio::test]
async fn every_part_of_the_page_is_there_and_from_here() {
    let served = Served::start(leader(), Options::default()).await;
    let page = served.get("/dashboard").await;
    assert_eq!((page.code(), page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for (path, kind) in [
        ("/dashboard/style.css", "text/css"),
        ("/dashboard/script.js", "text/javascript"),
        ("/dashboard/draw.js", "text/javascript"),
        ("/dashboard/actions.js", "text/javascript"),
    ] {
        let part = served.get(path).await;
        assert_eq!(part.code(), 200, "{path}");
        assert!(part.header("content-type").unwrap().starts_with(kind), "{path}");
        for stranger in ["http://", "https://", "//cdn", "innerHTML", "insertAdjacentHTML", "eval(", "localStorage"] {
            let text = part.body.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains(stranger), "{path} has {stranger}");
        }
    }
    assert_eq!(served.get("/dashboard/nothing").await.status, "404 Not Found");
}

#[tokio::test]
async fn the_view_holds_what_the_store_and_the_members_say() {
    let served = Served::start(leader(), Options::default()).await;
    let said = served.get("/dashboard/state").await;
    assert_eq!(said.header("cache-control"), Some("no-store"));
    let view: Value = serde_json::from_str(&said.body).unwrap();
    assert_eq!((&view["scope"], &view["leader"]), (&json!("batman"), &json!("postgresql0")));
    assert_eq!(view["credentials_needed"], json!(false));
    assert_eq!(view["guarantee"]["level"], json!("at-risk"));
    let own = &view["members"][0];
    assert_eq!((&own["role"], &own["node"]["state"]), (&json!("leader"), &json!("running")));
    assert!(own["node"]["lease_left_ms"].as_u64().unwrap() > 0);
    // The other one's address leads nowhere.
    assert_eq!((&view["members"][1]["node"], &view["members"][1]["silent"]), (&Value::Null, &json!("no connection")));
    assert_eq!(view["members"][1]["replay_behind"], json!(0), "by the store");
}

/// A store that does not answer takes nothing from what this node knows of itself.
#[tokio::test]
async fn without_the_store_this_node_is_shown() {
    let published = crate::agent::handle::Published { cluster: None, ..leader() };
    let served = Served::start(published, Options::default()).await;
    let view: Value = serde_json::from_str(&served.get("/dashboard/state").await.body).unwrap();
    assert_eq!((&view["store_age_ms"], &view["guarantee"]["level"]), (&Value::Null, &json!("down")));
    assert_eq!(view["members"][0]["node"]["name"], json!("postgresql0"));
}

#[tokio::test]
async fn who_may_not_act_here_may_not_through_the_page() {
    let mut served = Served::start(leader(), locked()).await;
    served.on_request(|request, _| {
        if let Request::Restart(_, reply) = request {
            let _sent = reply.send(Reply { status: 200, text: "restarted successfully".to_owned() });
        }
    });
    let post = async |path: &str, headers: &str| {
        Answer::read(&served.send(&format!("POST {path} HTTP/1.0\r\n{headers}\r\n")).await)
    };
    let (login, restart) = ("/dashboard/login", "/dashboard/members/postgresql0/restart");
    let right = "Authorization: Basic b3BzOnNlY3JldA==\r\n";
    for path in [login, restart] {
        assert_eq!(post(path, "").await.said(), (401, "no auth header received"));
        let refused = post(path, "Authorization: Basic b3BzOndyb25n\r\nX-Regent-Dashboard: 1\r\n").await;
        assert_eq!(refused.said(), (401, "not authenticated"));
        assert_eq!(refused.header("www-authenticate"), None, "the browser would ask, and remember");
        let foreign = post(path, &format!("{right}Sec-Fetch-Site: cross-site\r\n")).await;
        assert_eq!(foreign.code(), 403);
    }
    assert_eq!(post(login, &format!("{right}Sec-Fetch-Site: same-origin\r\n")).await.code(), 200);
    assert_eq!(post(restart, right).await.said(), (200, "restarted successfully"));
    assert_eq!(post("/dashboard/members/postgresql0/sigterm", right).await.code(), 404);
    assert_eq!(post("/dashboard/members/nobody/restart", right).await.code(), 404);
    assert_eq!(post("/dashboard/members/postgresql1/restart", right).await.code(), 502, "its address leads nowhere");
}

/// What is to be done on another member goes there with the caller's credentials, and comes back with its answer.
#[tokio::test]
async fn the_other_member_decides_for_itself() {
    let mut other = Served::start(replica(), locked()).await;
    other.on_request(|request, _| {
        if let Request::Reinitialize { reply, .. } = request {
            let _sent = reply.send(Reply { status: 200, text: "reinitialize started".to_owned() });
        }
    });
    let mut cluster = snapshot();
    cluster.view.members[1].name = "a <b>/ß".to_owned();
    cluster.view.members[1].api_url = Some(format!("http://{}/patroni", other.address()));
    let published = crate::agent::handle::Published { cluster: Some(Arc::new(cluster)), ..leader() };
    let served = Served::start(published, Options::default()).await;
    let path = "/dashboard/members/a%20%3Cb%3E%2F%C3%9F/reinitialize";
    let bare = Answer::read(&served.send(&format!("POST {path} HTTP/1.0\r\n\r\n")).await);
    assert_eq!(bare.said(), (401, "no auth header received"), "this node's own word counts for nothing there");
    let right = "Authorization: Basic b3BzOnNlY3JldA==\r\n";
    let done = Answer::read(&served.send(&format!("POST {path} HTTP/1.0\r\n{right}\r\n")).await);
    assert_eq!(done.said(), (200, "reinitialize started"));
    let view: Value = serde_json::from_str(&served.get("/dashboard/state").await.body).unwrap();
    assert_eq!(view["members"][1]["name"], json!("a <b>/ß"));
    assert_eq!(view["members"][1]["node"]["name"], json!("postgresql1"), "it was asked");
}
