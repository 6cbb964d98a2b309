//! A real browser without a window, spoken to by the WebDriver protocol: what a person would see of a page, and do.
//!
//! The protocol is JSON over HTTP, and the tests need ten of its commands: no crate for it earns its place.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use serde_json::{Value, json};

use crate::folder::Folder;
use crate::os::ports::{self, Port};
use crate::os::reaper;
use crate::os::user::Account;
use crate::{http, wait};

/// How long it may take to come up, or to do one thing: the first start reads a hundred megabytes.
const UP: Duration = Duration::from_secs(60);

/// The name under which an element's id comes.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How often what a page draws anew under the hand is tried again.
const TRIES: usize = 20;

/// A browser with one page. Dropping it ends it.
pub struct Browser {
    _folder: Folder,
    driver: Port,
    session: String,
}

impl Browser {
    /// Both programs, or why there is no browser: what a test says that is skipped for it.
    ///
    /// # Errors
    /// When one is missing.
    pub fn programs() -> Result<(PathBuf, PathBuf)> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let find = |name: &str| {
            let mut places = std::env::split_paths(&path).map(|folder| folder.join(name));
            places.find(|program| program.is_file())
        };
        let chromium = find("chromium").context("chromium was not found: tests/setup.sh --peers installs it")?;
        let driver = find("chromedriver").context("chromedriver was not found: tests/setup.sh --peers installs it")?;
        Ok((chromium, driver))
    }

    /// Starts one whose page is this wide and high.
    ///
    /// # Errors
    /// When it is missing, or does not come up.
    pub async fn start(width: u32, height: u32) -> Result<Self> {
        let (chromium, program) = Self::programs()?;
        let folder = Folder::create(Account::unprivileged()?)?;
        let driver = ports::claim()?;
        let mut command = Command::new(program);
        command.arg(format!("--port={}", driver.number)).env("HOME", folder.root()).env("TMPDIR", folder.root());
        command.current_dir(folder.root()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        reaper::spawn(folder.account().apply(&mut command)).context("cannot start chromedriver")?;
        let mut browser = Self { driver, session: String::new(), _folder: folder };
        wait::until("chromedriver", UP, async || {
            let status = browser.send("GET", "/status", None).await.map_err(|error| format!("{error:#}"))?;
            if status["ready"] == json!(true) { Ok(()) } else { Err(status.to_string()) }
        })
        .await?;
        let profile = browser._folder.root().join("profile");
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", profile.display()),
            &format!("--window-size={width},{height}"),
        ];
        let options = json!({"binary": chromium, "args": arguments});
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}});
        let session = browser.send("POST", "/session", Some(&wanted)).await?;
        browser.session = session["sessionId"].as_str().context("no session")?.to_owned();
        Ok(browser)
    }

    /// Loads a page.
    ///
    /// # Errors
    /// When it can not be loaded.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.command("POST", "url", Some(&json!({"url": url}))).await.map(drop)
    }

    /// Gives the page another width and height, whatever the window can be.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn resize(&self, width: u32, height: u32) -> Result<()> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await
    }

    /// Tells the page that its reader likes it dark, or not.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn prefer(&self, scheme: &str) -> Result<()> {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await
    }

    /// What the page shows of the first element that fits.
    ///
    /// # Errors
    /// When there is none.
    pub async fn text(&self, css: &str) -> Result<String> {
        self.on_element(css, async |id| {
            let text = self.command("GET", &format!("element/{id}/text"), None).await?;
            Ok(text.as_str().unwrap_or_default().to_owned())
        })
        .await
    }

    /// How many elements fit.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn count(&self, css: &str) -> Result<usize> {
        let found = self.command("POST", "elements", Some(&by(css))).await?;
        Ok(found.as_array().map_or(0, Vec::len))
    }

    /// Clicks on the first element that fits, as a person would: it must be there to be seen.
    ///
    /// # Errors
    /// When there is none, or something is before it.
    pub async fn click(&self, css: &str) -> Result<()> {
        let press = async |id: String| self.command("POST", &format!("element/{id}/click"), Some(&json!({}))).await;
        self.on_element(css, press).await.map(drop)
    }

    /// Types into the first field that fits, over what stands there.
    ///
    /// # Errors
    /// When there is none.
    pub async fn enter(&self, css: &str, text: &str) -> Result<()> {
        self.on_element(css, async |id| {
            self.command("POST", &format!("element/{id}/clear"), Some(&json!({}))).await?;
            self.command("POST", &format!("element/{id}/value"), Some(&json!({"text": text}))).await
        })
        .await
        .map(drop)
    }

    /// Presses keys for whatever has the focus.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn press(&self, keys: &str) -> Result<()> {
        let steps: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()})))
            .collect();
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": steps}]});
        self.command("POST", "actions", Some(&actions)).await.map(drop)
    }

    /// What a script that the test brings returns; a promise is waited for.
    ///
    /// # Errors
    /// When it fails.
    pub async fn script(&self, script: &str) -> Result<Value> {
        self.command("POST", "execute/sync", Some(&json!({"script": script, "args": []}))).await
    }

    /// Waits until an element shows this.
    ///
    /// # Errors
    /// With what it shows, when it does not before the deadline.
    pub async fn wait_text(&self, css: &str, part: &str, deadline: Duration) -> Result<String> {
        wait::until(&format!("{part:?} in {css}"), deadline, async || match self.text(css).await {
            Ok(text) if text.contains(part) => Ok(text),
            Ok(text) => Err(text),
            Err(error) => Err(format!("{error:#}")),
        })
        .await
    }

    /// A picture of the page as it is shown, as PNG.
    ///
    /// # Errors
    /// When the browser does not make one.
    pub async fn picture(&self) -> Result<Vec<u8>> {
        let picture = self.command("GET", "screenshot", None).await?;
        Ok(base64::engine::general_purpose::STANDARD.decode(picture.as_str().unwrap_or_default())?)
    }

    /// Does something with an element; one that the page has drawn anew meanwhile is looked for again.
    async fn on_element<T>(&self, css: &str, act: impl AsyncFn(String) -> Result<T>) -> Result<T> {
        let mut tries = 0;
        loop {
            let found = self.command("POST", "element", Some(&by(css))).await.with_context(|| css.to_owned())?;
            let id = found[ELEMENT].as_str().unwrap_or_default().to_owned();
            match act(id).await {
                Err(error) if format!("{error:#}").contains("stale element") && tries < TRIES => tries += 1,
                done => return done.with_context(|| css.to_owned()),
            }
        }
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Result<()> {
        let wanted = json!({"cmd": command, "params": parameters});
        self.command("POST", "goog/cdp/execute", Some(&wanted)).await.map(drop)
    }

    async fn command(&self, method: &str, what: &str, body: Option<&Value>) -> Result<Value> {
        self.send(method, &format!("/session/{}/{what}", self.session), body).await
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let answer = http::request_newer(self.driver.number, method, path, body, UP).await?;
        let mut document = answer.json()?;
        let value = document["value"].take();
        if answer.status != 200 {
            bail!("{}: {}", value["error"].as_str().unwrap_or_default(), value["message"].as_str().unwrap_or_default());
        }
        ensure!(value.get("error").is_none(), "{value}");
        Ok(value)
    }
}

fn by(css: &str) -> Value {
    json!({"using": "css selector", "value": css})
}
