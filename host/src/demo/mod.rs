//! `regent demo`: real servers on loopback under one temporary folder, a live table, keys to hurt them. It starts
//! ordinary daemons with ordinary files and sees them through their REST API, as a stranger does.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a program for a terminal")]

mod folder;
mod nodes;
mod screen;
mod state;
mod store;

use folder::Folder;
use nodes::Nodes;
use regent_core::model::Moment;
use screen::{Key, Screen};
use state::Cluster;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How often the cluster is looked at and the table drawn.
const PACE: Duration = Duration::from_millis(300);

/// A killed node comes back by itself after this long, so that people see it heal.
const COMES_BACK: Duration = Duration::from_secs(12);

/// Without a terminal and without `--duration`, the demo ends after this long.
const UNATTENDED: Duration = Duration::from_secs(30);

/// What the demo is to be like.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many nodes.
    pub nodes: usize,
    /// The store's name: `local`, or `etcd3` for an etcd of the demo's own.
    pub dcs: String,
    /// It ends after this long; `None`: when told to.
    pub duration: Option<Duration>,
}

/// Runs the demo; everything it started or wrote is gone when it returns.
pub fn run(options: &Options) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => match runtime.block_on(show(options)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("regent demo: {why}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("regent demo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn show(options: &Options) -> Result<(), String> {
    // Orphans of killed daemons come to us, so that they can be reaped and nothing stays behind.
    nix::sys::prctl::set_child_subreaper(true).map_err(|error| error.to_string())?;
    let folder = Folder::make(options.nodes, &options.dcs)?;
    println!("{} nodes of PostgreSQL {} under {}", options.nodes, folder.version, folder.root().display());
    let client = state::client()?;
    let mut nodes = Nodes::new(&folder);
    store::start(&folder, &client).await?;
    nodes.start_all(&folder)?;
    build(&folder, &mut nodes, &client).await?;
    println!("connect with:  psql '{}'\n", folder.connection_string());
    watch(options, &folder, &mut nodes, &client).await
}

/// Tells what happens until every node is up.
async fn build(folder: &Folder, nodes: &mut Nodes, client: &reqwest::Client) -> Result<(), String> {
    let mut told: Vec<String> = vec![String::new(); folder.nodes.len()];
    let deadline = crate::ports::now() + Duration::from_secs(120);
    loop {
        let cluster = Cluster::read(client, &folder.nodes).await;
        for (index, row) in cluster.rows.iter().enumerate() {
            let words = format!("{}: {} {}", row.name, row.role, row.state);
            if told[index] != words && !row.state.is_empty() {
                println!("{words}");
                told[index] = words;
            }
        }
        if cluster.is_healthy() {
            return Ok(());
        }
        if let Some(name) = nodes.dead().first() {
            return Err(format!("{name} ended:\n{}", folder.log_tail(name)));
        }
        if crate::ports::now() > deadline {
            return Err(format!("the cluster did not come up:\n{}", folder.log_tail(&folder.nodes[0].name)));
        }
        pause().await;
    }
}

#[allow(clippy::disallowed_methods, reason = "paces the table")]
async fn pause() {
    tokio::time::sleep(PACE).await; // pace: a table for people
}

async fn watch(options: &Options, folder: &Folder, nodes: &mut Nodes, client: &reqwest::Client) -> Result<(), String> {
    let stop = |kind| signal(kind).map_err(|error| error.to_string());
    let (mut terminate, mut interrupt) = (stop(SignalKind::terminate())?, stop(SignalKind::interrupt())?);
    let mut screen = Screen::open();
    let limit = options.duration.or((!screen.is_terminal()).then_some(UNATTENDED));
    let end = limit.map(|limit| crate::ports::now() + limit);
    let mut note = String::from("the cluster is healthy");
    let mut back_at: Vec<(String, Moment)> = Vec::new();
    loop {
        let cluster = Cluster::read(client, &folder.nodes).await;
        nodes.reap();
        screen.draw(&cluster, &folder.connection_string(), &note);
        let now = crate::ports::now();
        if end.is_some_and(|end| now >= end) {
            return Ok(());
        }
        if let Some(due) = back_at.iter().position(|(_, at)| now >= *at) {
            let (name, _) = back_at.remove(due);
            note = format!("{name} is started again");
            nodes.start_one(folder, &name)?;
        }
        tokio::select! {
            () = pause() => {}
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
        for key in screen.keys() {
            let leader = cluster.leader();
            match (key, leader) {
                (Key::Quit, _) => return Ok(()),
                (Key::Kill, Some(leader)) => {
                    let pids = nodes.kill(folder, &leader)?;
                    note = format!("kill -9 {pids}   ({leader}: daemon, guard and server)");
                    back_at.push((leader, now + COMES_BACK));
                }
                (Key::Freeze, Some(leader)) => note = nodes.freeze_or_thaw(&leader)?,
                (Key::Freeze, None) => note = nodes.thaw_all()?,
                (Key::Switch, Some(leader)) => note = state::switch(client, folder, &leader).await,
                (Key::Restart, _) => {
                    for (name, _) in std::mem::take(&mut back_at) {
                        nodes.start_one(folder, &name)?;
                        note = format!("{name} is started again");
                    }
                }
                (_, None) => note = "nobody leads at the moment".to_owned(),
            }
        }
    }
}
