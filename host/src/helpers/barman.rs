//! Has Barman work through its HTTP API: restore a backup here, or switch its configuration when the role of this
//! member changes (BOOT-20). Exit codes: a restore ends with 0, 1 when it failed, 2 when the API did; a switch with 0, 1
//! when there was nothing to do, 2 when it failed, 3 when the API did, 4 for options that do not fit; 254 when the API is
//! not well, 255 without a command.

use super::{Arguments, causes, pause};
use serde_json::{Value, json};
use std::time::Duration;

const API_UNWELL: u8 = 254;
const NO_COMMAND: u8 = 255;

/// How often a switch is asked about, in seconds.
const SWITCH_WAIT: u64 = 5;

/// How long one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn run(arguments: &Arguments) -> u8 {
    let words = arguments.words();
    let command = match words.first() {
        Some(&"recover") => Command::Recover,
        Some(&"config-switch") => Command::Switch,
        _ => {
            println!("usage: regent helper barman --api-url=URL recover|config-switch OPTIONS");
            return NO_COMMAND;
        }
    };
    let api = match Api::from(arguments) {
        Ok(api) => api,
        Err(why) => {
            eprintln!("{why}");
            return API_UNWELL;
        }
    };
    if let Err(why) = api.healthy().await {
        eprintln!("the API of Barman is not well: {why}");
        return API_UNWELL;
    }
    match command {
        Command::Recover => recover(&api, arguments).await,
        Command::Switch => switch(&api, arguments, &words[1..]).await,
    }
}

enum Command {
    Recover,
    Switch,
}

async fn recover(api: &Api, arguments: &Arguments) -> u8 {
    let folder = arguments.text("data-directory").or_else(|| arguments.text("datadir"));
    let (Some(server), Some(ssh), Some(folder)) =
        (arguments.text("barman-server"), arguments.text("ssh-command"), folder)
    else {
        eprintln!("--barman-server, --ssh-command and --datadir are wanted");
        return 2;
    };
    let request = json!({
        "type": "recovery",
        "backup_id": arguments.text("backup-id").unwrap_or("latest"),
        "remote_ssh_command": ssh,
        "destination_directory": folder,
    });
    let wait = arguments.number("loop-wait", 10).unwrap_or(10);
    match api.operate(server, &request, wait).await {
        Ok(true) => 0,
        Ok(false) => {
            eprintln!("the restore failed: the log of Barman says why");
            1
        }
        Err(why) => {
            eprintln!("{why}");
            2
        }
    }
}

async fn switch(api: &Api, arguments: &Arguments, words: &[&str]) -> u8 {
    let change = match (arguments.text("barman-model"), arguments.truth("reset")) {
        (Some(model), false) => json!({"type": "config_switch", "model_name": model}),
        (None, true) => json!({"type": "config_switch", "reset": true}),
        _ => {
            eprintln!("either --barman-model or --reset is wanted");
            return 4;
        }
    };
    let when = arguments.text("switch-when").unwrap_or("promoted");
    let (Some(server), [action, role, _cluster]) = (arguments.text("barman-server"), words) else {
        eprintln!("--barman-server and the words of a callback are wanted");
        return 4;
    };
    if !["promoted", "demoted", "always"].contains(&when) || *action != "on_role_change" {
        eprintln!("--switch-when is promoted, demoted or always, and the callback is on_role_change");
        return 4;
    }
    if !concerns(when, role) {
        println!("nothing to switch for the role {role}");
        return 1;
    }
    match api.operate(server, &change, SWITCH_WAIT).await {
        Ok(true) => 0,
        Ok(false) => {
            eprintln!("the switch failed: the log of Barman says why");
            2
        }
        Err(why) => {
            eprintln!("{why}");
            3
        }
    }
}

fn concerns(when: &str, role: &str) -> bool {
    match when {
        "promoted" => ["primary", "master", "promoted"].contains(&role),
        "demoted" => ["replica", "demoted"].contains(&role),
        _ => true,
    }
}

/// Barman's HTTP API.
struct Api {
    url: String,
    client: reqwest::Client,
    retry_wait: Duration,
    retries: u64,
}

impl Api {
    fn from(arguments: &Arguments) -> Result<Api, String> {
        let url = arguments.text("api-url").ok_or("--api-url is missing")?.trim_end_matches('/').to_owned();
        // It may be there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = reqwest::Client::builder().timeout(REQUEST_LIMIT);
        if let Some(file) = arguments.text("cert-file") {
            let read = |path: &str| std::fs::read(path).map_err(|error| format!("{path}: {error}"));
            let mut pem = read(file)?;
            pem.push(b'\n');
            pem.extend(arguments.text("key-file").map(read).transpose()?.unwrap_or_default());
            let identity = reqwest::Identity::from_pem(&pem).map_err(|error| format!("{file}: {}", causes(&error)))?;
            client = client.identity(identity);
        }
        let client = client.build().map_err(|error| causes(&error))?;
        let retry_wait = Duration::from_secs(arguments.number("retry-wait", 2)?);
        Ok(Api { url, client, retry_wait, retries: arguments.number("max-retries", 5)? })
    }

    async fn healthy(&self) -> Result<(), String> {
        let status = self.ask("status", None).await?;
        if status == json!("OK") { Ok(()) } else { Err(format!("it says {status}")) }
    }

    /// Begins an operation and waits for its end: did it work?
    async fn operate(&self, server: &str, request: &Value, wait: u64) -> Result<bool, String> {
        let operations = format!("servers/{server}/operations");
        let begun = self.ask(&operations, Some(request)).await?;
        let id = begun["operation_id"].as_str().ok_or_else(|| format!("no operation began: {begun}"))?.to_owned();
        println!("operation {id} began");
        loop {
            let state = self.ask(&format!("{operations}/{id}"), None).await?;
            match state["status"].as_str() {
                Some("DONE") => return Ok(true),
                Some("FAILED") => return Ok(false),
                _ => pause(Duration::from_secs(wait)).await,
            }
        }
    }

    /// Asks until there is an answer, or too often.
    async fn ask(&self, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let mut left = self.retries;
        loop {
            match self.ask_once(path, body).await {
                Ok(answer) => return Ok(answer),
                Err(why) if left == 0 => return Err(why),
                Err(why) => {
                    eprintln!("{why}: trying again");
                    left -= 1;
                    pause(self.retry_wait).await;
                }
            }
        }
    }

    async fn ask_once(&self, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let url = format!("{}/{path}", self.url);
        let request = match body {
            Some(body) => self.client.post(&url).header("content-type", "application/json").body(body.to_string()),
            None => self.client.get(&url),
        };
        let failed = |error: reqwest::Error| causes(&error);
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        if !status.is_success() {
            return Err(format!("{url} answers {status}: {}", text.trim()));
        }
        serde_json::from_str(&text).map_err(|error| format!("{url} answers with no JSON: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_for_one_direction_or_both() {
        // BOOT-20
        let check = |when, role, expected| assert_eq!(concerns(when, role), expected, "{when} {role}");
        check("promoted", "primary", true);
        check("promoted", "replica", false);
        check("demoted", "replica", true);
        check("demoted", "primary", false);
        check("always", "standby_leader", true);
    }
}
