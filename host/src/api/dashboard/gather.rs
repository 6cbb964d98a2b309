//! Asks the other members what they say of themselves, all at once and not more than once a second, however many pages
//! are open.

use super::{node, view};
use crate::agent::handle::Published;
use crate::api::Shared;
use crate::api::python_json;
use crate::ports;
use regent_core::model::Moment;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// How long a member may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// For how long one view serves all pages.
const YOUNG: Duration = Duration::from_millis(900);

/// More than any member has to say.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// The last view, and when it was made.
pub(in crate::api) type Gathered = Mutex<Option<(Moment, Arc<[u8]>)>>;

/// What a member said, or why it said nothing.
pub(super) type Said = Result<Value, String>;

/// The view of the whole cluster, rendered. Who asks while it is made waits for it.
pub(super) async fn state(shared: &Shared) -> Arc<[u8]> {
    let mut gathered = shared.gathered.lock().await;
    if let Some((at, view)) = gathered.as_ref()
        && ports::now().since(*at) < YOUNG
    {
        return Arc::clone(view);
    }
    let said = ask(shared, &shared.published()).await;
    let published = shared.published();
    let document = view::document(&published, said, &shared.in_force(), ports::now());
    let view: Arc<[u8]> = python_json::to_bytes(&document).into();
    *gathered = Some((ports::now(), Arc::clone(&view)));
    view
}

async fn ask(shared: &Shared, published: &Published) -> BTreeMap<String, Said> {
    let me = &published.settings.name;
    let own = node::document(published, &shared.handle.journal, ports::now());
    let mut said = BTreeMap::from([(me.clone(), Ok(own))]);
    let cluster = published.cluster.as_deref();
    let members = cluster.map(|cluster| cluster.view.members.as_slice()).unwrap_or_default();
    let mut questions = JoinSet::new();
    for member in members.iter().filter(|member| member.name != *me) {
        let Some(url) = member.api_url.as_deref().and_then(base) else { continue };
        let (client, name, url) = (shared.handle.client.clone(), member.name.clone(), format!("{url}/dashboard/node"));
        questions.spawn(async move { (name, ask_one(&client, &url).await) });
    }
    while let Some(answered) = questions.join_next().await {
        if let Ok((name, answer)) = answered {
            said.insert(name, answer);
        }
    }
    said
}

/// Scheme, host and port of a member's API.
pub(super) fn base(api_url: &str) -> Option<&str> {
    let authority = api_url.find("://")? + 3;
    let end = api_url[authority..].find('/').map_or(api_url.len(), |length| authority + length);
    Some(&api_url[..end])
}

async fn ask_one(client: &reqwest::Client, url: &str) -> Said {
    let question = client.get(url).timeout(PATIENCE).send();
    let answer = question.await.map_err(|error| why(&error))?;
    let body = read(answer, ANSWER_BYTES_MAX).await?;
    let document: Value = serde_json::from_slice(&body).map_err(|_| "its answer is not understood".to_owned())?;
    match document.get("decisions") {
        Some(_) => Ok(document),
        None => node::of_status(&document).ok_or_else(|| "its answer is not understood".to_owned()),
    }
}

/// The body of an answer, if it is no longer than that.
pub(super) async fn read(mut answer: reqwest::Response, bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| why(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > bytes_max {
            return Err("its answer is too long".to_owned());
        }
    }
    Ok(body)
}

/// In words that need no address: those are in the view already.
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", PATIENCE.as_secs());
    }
    if error.is_connect() { "no connection".to_owned() } else { "no whole answer".to_owned() }
}
