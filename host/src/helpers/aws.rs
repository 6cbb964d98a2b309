//! Tags this machine and its volumes with the member's role (CB-07). Outside of AWS it does nothing. Exit codes: 0, or 1
//! for a wrong call and for tags that could not be set.

use super::signature::{self, Credentials, Request, encoded};
use super::{Arguments, causes, pause};
use crate::ports;
use std::collections::BTreeMap;
use std::time::Duration;

/// Who a machine asks about itself.
const METADATA: &str = "http://169.254.169.254";

/// How long that may take: elsewhere than on AWS nobody answers.
const METADATA_LIMIT: Duration = Duration::from_millis(2_100);

/// How long tags are tried, and how long one request may take.
const TAGGING_LIMIT: Duration = Duration::from_secs(300);
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// The version of the interface that is spoken.
const VERSION: &str = "2016-11-15";

pub(super) async fn run(arguments: &Arguments) -> u8 {
    let words = arguments.words();
    let [action @ ("on_start" | "on_stop" | "on_role_change"), role, cluster] = words.as_slice() else {
        eprintln!("usage: regent helper aws on_start|on_stop|on_role_change ROLE CLUSTER");
        return 1;
    };
    let _ = action;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let variables = variables();
    let Some(machine) = Machine::here(&variables).await else {
        println!("this machine is none of AWS: there is nothing to tag");
        return 0;
    };
    match tokio::time::timeout(TAGGING_LIMIT, machine.tag(role, cluster)).await {
        Ok(Ok(())) => 0,
        Ok(Err(why)) => {
            eprintln!("{why}");
            1
        }
        Err(_) => {
            eprintln!("the tags could not be set in {} seconds", TAGGING_LIMIT.as_secs());
            1
        }
    }
}

fn variables() -> BTreeMap<String, String> {
    let texts = ports::environment().into_iter();
    texts.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// Why a request did not work.
enum Refusal {
    /// It may work soon.
    Passing(String),
    /// It will not.
    Final(String),
}

/// The machine that we are on.
struct Machine {
    client: reqwest::Client,
    id: String,
    region: String,
    endpoint: String,
    credentials: Credentials,
}

impl Machine {
    /// `None` where there is nobody to ask about it.
    async fn here(variables: &BTreeMap<String, String>) -> Option<Machine> {
        let variable = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
        let base = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| METADATA.to_owned());
        let metadata = Metadata::open(base.trim_end_matches('/')).await?;
        let document = metadata.get("latest/dynamic/instance-identity/document").await?;
        let document: serde_json::Value = serde_json::from_str(&document).ok()?;
        let (id, region) = (document["instanceId"].as_str()?, document["region"].as_str()?);
        let endpoint = variable("AWS_ENDPOINT_URL_EC2").or_else(|| variable("AWS_ENDPOINT_URL"));
        let endpoint = endpoint.unwrap_or_else(|| format!("https://ec2.{region}.amazonaws.com"));
        let credentials = match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            (Some(key), Some(secret)) => Credentials { key, secret, token: variable("AWS_SESSION_TOKEN") },
            _ => metadata.credentials().await.unwrap_or_default(),
        };
        let client = reqwest::Client::builder().timeout(REQUEST_LIMIT).build().ok()?;
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Some(Machine { client, id: id.to_owned(), region: region.to_owned(), endpoint, credentials })
    }

    /// Tags the machine, and every volume at it.
    async fn tag(&self, role: &str, cluster: &str) -> Result<(), String> {
        self.create_tags(std::slice::from_ref(&self.id), &[("Role", role)]).await?;
        let filter = [("Filter.1.Name", "attachment.instance-id"), ("Filter.1.Value.1", self.id.as_str())];
        let answer =
            self.call("DescribeVolumes", &filter.map(|(name, value)| (name.to_owned(), value.to_owned()))).await?;
        let volumes = volumes(&answer);
        if volumes.is_empty() {
            return Ok(());
        }
        let name = format!("spilo_{cluster}");
        self.create_tags(&volumes, &[("Name", name.as_str()), ("Role", role), ("Instance", self.id.as_str())]).await
    }

    async fn create_tags(&self, resources: &[String], tags: &[(&str, &str)]) -> Result<(), String> {
        let mut fields = Vec::new();
        for (at, resource) in resources.iter().enumerate() {
            fields.push((format!("ResourceId.{}", at + 1), resource.clone()));
        }
        for (at, (key, value)) in tags.iter().enumerate() {
            fields.push((format!("Tag.{}.Key", at + 1), (*key).to_owned()));
            fields.push((format!("Tag.{}.Value", at + 1), (*value).to_owned()));
        }
        self.call("CreateTags", &fields).await.map(drop)
    }

    /// Calls until it works, or never will.
    async fn call(&self, action: &str, fields: &[(String, String)]) -> Result<String, String> {
        let mut wait = Duration::from_secs(1);
        loop {
            match self.call_once(action, fields).await {
                Ok(answer) => return Ok(answer),
                Err(Refusal::Final(why)) => return Err(why),
                Err(Refusal::Passing(why)) => {
                    eprintln!("{why}: trying again");
                    pause(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(30));
                }
            }
        }
    }

    async fn call_once(&self, action: &str, fields: &[(String, String)]) -> Result<String, Refusal> {
        let mut body = format!("Action={action}&Version={VERSION}");
        for (name, value) in fields {
            body += &format!("&{}={}", encoded(name), encoded(value));
        }
        let host = self.endpoint.split_once("://").map_or(self.endpoint.as_str(), |(_, host)| host);
        let request = Request { host, region: &self.region, service: "ec2", body: &body };
        let now = jiff::Timestamp::from_microsecond(ports::wall_now().0).unwrap_or_default();
        let mut post = self.client.post(format!("{}/", self.endpoint)).header("host", host);
        for (name, value) in signature::headers(&request, &self.credentials, now) {
            post = post.header(name, value);
        }
        let answer = post.body(body).send().await.map_err(|error| Refusal::Passing(causes(&error)))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| Refusal::Passing(causes(&error)))?;
        if status.is_success() {
            return Ok(text);
        }
        let why = format!("{action} was answered with {status}: {}", text.trim());
        let passing = status.is_server_error() || status == 429 || text.contains("RequestLimitExceeded");
        Err(if passing { Refusal::Passing(why) } else { Refusal::Final(why) })
    }
}

/// The ids of the volumes in the answer to `DescribeVolumes`.
fn volumes(answer: &str) -> Vec<String> {
    let mut found = Vec::new();
    for piece in answer.split("<volumeId>").skip(1) {
        let id = piece.split('<').next().unwrap_or_default().trim().to_owned();
        // Each is named once more below its attachment.
        if !id.is_empty() && !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

/// What the machine can ask about itself.
struct Metadata {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Metadata {
    async fn open(base: &str) -> Option<Metadata> {
        let client = reqwest::Client::builder().timeout(METADATA_LIMIT).no_proxy().build().ok()?;
        let request = client.put(format!("{base}/latest/api/token"));
        let answer = request.header("x-aws-ec2-metadata-token-ttl-seconds", "300").send().await.ok()?;
        let token = answer.error_for_status().ok()?.text().await.ok()?;
        Some(Metadata { client, base: base.to_owned(), token })
    }

    async fn get(&self, path: &str) -> Option<String> {
        let request = self.client.get(format!("{}/{path}", self.base)).header("x-aws-ec2-metadata-token", &self.token);
        request.send().await.ok()?.error_for_status().ok()?.text().await.ok()
    }

    /// Those of the role that the machine has.
    async fn credentials(&self) -> Option<Credentials> {
        const PLACE: &str = "latest/meta-data/iam/security-credentials/";
        let roles = self.get(PLACE).await?;
        let found = self.get(&format!("{PLACE}{}", roles.lines().next()?.trim())).await?;
        let found: serde_json::Value = serde_json::from_str(&found).ok()?;
        let text = |name: &str| found[name].as_str().map(str::to_owned);
        Some(Credentials { key: text("AccessKeyId")?, secret: text("SecretAccessKey")?, token: text("Token") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_found_in_the_answer() {
        let answer = "<r><volumeSet><item><volumeId>vol-1</volumeId><attachmentSet><item><volumeId>vol-1</volumeId>\
            </item></attachmentSet></item><item><volumeId>vol-2</volumeId></item></volumeSet></r>";
        assert_eq!(volumes(answer), ["vol-1", "vol-2"]);
        assert!(volumes("<r/>").is_empty());
    }
}
