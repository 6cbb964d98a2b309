//! A person at the dashboard, in a real browser, of a real cluster.

use anyhow::{Context, Result, ensure};
use regent_harness::{Browser, Cluster, wait};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// For whatever the page shows a moment later.
const SOON: Duration = Duration::from_secs(60);

/// Looks, is refused without the right password, hands over by clicking, and sees the members follow. With
/// `REGENT_SCREENSHOTS`, pictures of it are left in that folder.
#[tokio::test]
async fn a_person_switches_over_by_clicking() -> Result<()> {
    if let Err(why) = Browser::programs() {
        eprintln!("SKIPPED: the dashboard in a browser: {why}");
        return Ok(());
    }
    let credentials = json!({"username": "ops", "password": "secret"});
    let cluster = Cluster::builder("dash")
        .nodes(2)
        .local_yaml(move |_, config| config["restapi"]["authentication"] = credentials.clone())
        .start()
        .await?;
    let browser = Browser::start(1400, 1000).await?;
    let first = cluster.wait_healthy(Duration::from_secs(90)).await?.name.clone();
    let second = cluster.others(&first).next().context("there are two")?.name.clone();
    browser.open(&format!("http://127.0.0.1:{}/dashboard", cluster.node(&second).layout.rest_port)).await?;

    browser.wait_text(&role_of(&first), "leader", SOON).await?;
    browser.wait_text("#promise", "wait for nobody", SOON).await?;
    browser.wait_text(&format!("{} td[data-label='Last decision']", row(&first)), "rule", SOON).await?;
    ensure!(browser.count("#operations button").await? == 0, "nobody may act yet");
    nothing_is_read_as_html(&browser).await?;
    it_fits(&browser).await?;
    log_in(&browser).await?;

    browser.click("[data-key='switchover']").await?;
    browser.wait_text("#dialog-text", &format!("{first} stops taking writes"), SOON).await?;
    browser.click(&format!("#candidate option[value='{second}']")).await?;
    browser.click("#dialog-confirm").await?;
    browser.wait_text("#dialog-answer", &format!("Successfully switched over to \"{second}\""), SOON).await?;
    browser.click("#dialog-cancel").await?;
    browser.wait_text(&role_of(&second), "leader", SOON).await?;
    browser.wait_text(&role_of(&first), "replica", SOON).await?;
    browser.wait_text("#history", &second, SOON).await?;
    restart_the_other(&browser, &first).await?;
    pictures(&browser).await?;
    cluster.finish().await
}

fn row(member: &str) -> String {
    format!("#members tr[data-member='{member}']")
}

fn role_of(member: &str) -> String {
    format!("{} td[data-label='Role']", row(member))
}

async fn log_in(browser: &Browser) -> Result<()> {
    browser.click("[data-key='login']").await?;
    browser.enter("#login-name", "ops").await?;
    browser.enter("#login-password", "wrong").await?;
    browser.click("#dialog-confirm").await?;
    browser.wait_text("#dialog-answer", "not authenticated (401)", SOON).await?;
    ensure!(browser.count("#operations button").await? == 0, "the wrong password opens nothing");
    browser.enter("#login-password", "secret").await?;
    // By the keyboard alone.
    browser.press("\u{e007}").await?;
    browser.wait_text("#account", "ops", SOON).await?;
    let kept = browser.script("return document.cookie + localStorage.length + sessionStorage.length").await?;
    ensure!(kept == json!("00"), "{kept}");
    Ok(())
}

/// What is done to another member goes through the node that the page came from.
async fn restart_the_other(browser: &Browser, member: &str) -> Result<()> {
    browser.click(&format!("[data-key='restart {member}']")).await?;
    browser.wait_text("#dialog-text", "its sessions end", SOON).await?;
    browser.click("#dialog-confirm").await?;
    browser.wait_text("#dialog-answer", "restarted successfully", SOON).await?;
    browser.click("#dialog-cancel").await?;
    browser.wait_text(&format!("{} td[data-label='State']", row(member)), "streaming", SOON).await.map(drop)
}

/// A member may be called anything; so may what it says.
async fn nothing_is_read_as_html(browser: &Browser) -> Result<()> {
    let evil = "<img src=x onerror=\"window.hurt=1\"><script>window.hurt=1</script>";
    let member = json!({"name": evil, "role": evil, "state": evil, "silent": evil, "pending_restart_reason":
        {evil: {"old_value": evil, "new_value": evil}}, "node": {"state": evil, "task": evil, "software": evil,
        "decisions": [{"rule": evil, "action": evil, "reason": evil, "situation": evil, "at": evil}]}});
    let row = json!({"timeline": evil, "lsn": evil, "reason": evil, "at": evil, "leader": evil});
    let state = json!({"members": [member], "history": [row], "leader": evil, "served_by": evil});
    let script = format!(
        "return import('/dashboard/draw.js').then((draw) => {{
            const state = {state};
            const box = document.createElement('div');
            box.append(draw.members(state, null), ...draw.decisions(state), draw.history(state));
            box.append(draw.chart(state.leader, [{{ at: 0, behind: 1 }}, {{ at: 1, behind: null }}]));
            document.body.append(box);
            const found = box.querySelectorAll('script, img').length;
            const shown = box.textContent.split(state.leader).length - 1;
            box.remove();
            return [found, shown, window.hurt ?? 0];
        }});"
    );
    let found = browser.script(&script).await?;
    ensure!(found[0] == 0 && found[2] == 0, "{found}");
    ensure!(found[1].as_u64().is_some_and(|shown| shown > 10), "all of it is shown as it stands: {found}");
    Ok(())
}

/// On a telephone and on a wide screen nothing hangs over the edge.
async fn it_fits(browser: &Browser) -> Result<()> {
    for (width, height) in [(360, 740), (1400, 1000)] {
        browser.resize(width, height).await?;
        wait::until(&format!("a page that is {width} wide"), SOON, async || {
            let script = "return [window.innerWidth, document.documentElement.scrollWidth]";
            let widths = browser.script(script).await.map_err(|error| format!("{error:#}"))?;
            let fits = widths[0] == json!(width) && widths[1].as_u64().is_some_and(|shown| shown <= u64::from(width));
            if fits { Ok(()) } else { Err(widths.to_string()) }
        })
        .await?;
    }
    Ok(())
}

async fn pictures(browser: &Browser) -> Result<()> {
    let Some(folder) = std::env::var_os("REGENT_SCREENSHOTS").map(PathBuf::from) else { return Ok(()) };
    // The charts have something to show.
    wait::until("samples", SOON, async || {
        let points =
            "return Math.max(0, ...[...document.querySelectorAll('polyline')].map((line) => line.points.length))";
        let count = browser.script(points).await.map_err(|error| format!("{error:#}"))?;
        if count.as_u64() >= Some(8) { Ok(()) } else { Err(count.to_string()) }
    })
    .await?;
    for (name, scheme, width, height) in
        [("dashboard.png", "light", 1400, 820), ("dashboard-small.png", "dark", 360, 760)]
    {
        browser.prefer(scheme).await?;
        browser.resize(width, height).await?;
        browser.script("window.scrollTo(0, 0); document.activeElement?.blur()").await.map(|_: Value| ())?;
        std::fs::write(folder.join(name), browser.picture().await?)?;
    }
    Ok(())
}
