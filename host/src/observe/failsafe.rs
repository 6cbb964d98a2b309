//! Asks members whether a leader may go on without the store (`POST /failsafe`), all at once. Nothing but a plain yes
//! is a yes.

use regent_core::model::{FailsafeRound, Moment, Secret};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a member may take to answer (rest-api §9).
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a member is asked that did not answer.
const TRIES: u32 = 2;

/// The question as every member gets it.
#[derive(Clone, Debug)]
pub struct Question {
    /// The document that goes with it.
    pub body: Value,
    /// Name and password for the members' APIs.
    pub authentication: Option<(String, Secret)>,
}

/// Asks everybody; returns when all have answered or were silent for too long.
///
/// `begun_at` is the moment just before the first question is sent.
pub async fn ask(
    client: &reqwest::Client,
    begun_at: Moment,
    members: BTreeMap<String, String>,
    question: Question,
) -> FailsafeRound {
    let mut questions = JoinSet::new();
    for (name, url) in members.clone() {
        let (client, question) = (client.clone(), question.clone());
        questions.spawn(async move {
            let answer = ask_one(&client, &url, &question).await;
            (name, answer)
        });
    }
    let mut missing = members.clone();
    while let Some(joined) = questions.join_next().await {
        match joined {
            Ok((name, Ok(()))) => {
                missing.remove(&name);
            }
            Ok((name, Err(why))) => tracing::warn!("{name} does not let this leader go on: {why}"),
            Err(error) => tracing::warn!("a member could not be asked: {error}"),
        }
    }
    FailsafeRound { begun_at, asked: members, missing: missing.into_keys().collect() }
}

async fn ask_one(client: &reqwest::Client, url: &str, question: &Question) -> Result<(), String> {
    let base = url.split("/patroni").next().unwrap_or(url);
    let mut last = String::new();
    for _ in 0..TRIES {
        let mut request = client.post(format!("{base}/failsafe")).timeout(PATIENCE);
        if let Some((name, password)) = &question.authentication {
            request = request.basic_auth(name, Some(&password.0));
        }
        let request = request.header("content-type", "application/json").body(question.body.to_string());
        match request.send().await {
            Ok(answer) => return judge(answer).await,
            Err(error) => last = super::probe::describe(&error),
        }
    }
    Err(last)
}

async fn judge(answer: reqwest::Response) -> Result<(), String> {
    let status = answer.status().as_u16();
    let text = answer.text().await.map_err(|error| super::probe::describe(&error))?;
    if status == 200 && text == "Accepted" { Ok(()) } else { Err(format!("{status} {}", text.trim())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A member that gives this answer, whatever it is asked; its `api_url`, and what it was asked.
    async fn member(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/patroni", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 4096];
            let mut text = String::new();
            while !text.ends_with('}') {
                let count = stream.read(&mut bytes).await.unwrap();
                text.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
            let length = answer.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
            let whole = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(whole.as_bytes()).await.unwrap();
            text
        });
        (url, asked)
    }

    async fn missing(members: BTreeMap<String, String>) -> Vec<String> {
        let authentication = Some(("user".to_owned(), Secret("word".to_owned())));
        let question = Question { body: json!({"name": "a"}), authentication };
        let _installed = rustls::crypto::ring::default_provider().install_default().is_err();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let round = ask(&client, Moment(7), members.clone(), question).await;
        assert_eq!((round.begun_at, round.asked), (Moment(7), members));
        round.missing
    }

    #[tokio::test]
    async fn nothing_but_a_plain_yes_is_a_yes() {
        let (yes, asked) = member("200 OK\r\n\r\nAccepted").await;
        let (no, _) = member("500 Internal Server Error\r\n\r\nRunning as a leader").await;
        let (odd, _) = member("200 OK\r\n\r\nHello").await;
        let (off, _) = member("502 Bad Gateway\r\n\r\n").await;
        // Nobody listens on a port that was just given back.
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let members = [("b", yes), ("c", no), ("d", odd), ("e", off), ("f", format!("http://{gone}/patroni"))];
        let members = members.map(|(name, url)| (name.to_owned(), url)).into();
        assert_eq!(missing(members).await, ["c", "d", "e", "f"]);
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("POST /failsafe HTTP/1.1\r\n"), "{asked}");
        assert!(asked.to_lowercase().contains("authorization: basic "), "{asked}");
        assert!(asked.ends_with(r#"{"name":"a"}"#), "{asked}");
    }

    #[tokio::test]
    async fn where_nobody_has_to_be_asked_nobody_is_missing() {
        assert!(missing(BTreeMap::new()).await.is_empty());
    }
}
