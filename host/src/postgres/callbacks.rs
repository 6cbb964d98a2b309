//! Runs the operator's callbacks: one at a time, in order; a new one ends the one before it.

use super::run::{Group, Program, describe};
use super::words;
use tokio::sync::mpsc;

/// More than this many callbacks waiting means that they are started faster than processes can be; the newest is
/// dropped then, with a word in the log.
const WAITING_MAX: usize = 64;

/// The two slots for callbacks: on_reload does not end the others, nor they it. Must be made inside a runtime.
#[derive(Debug)]
pub struct Callbacks {
    roles: mpsc::Sender<Program>,
    reloads: mpsc::Sender<Program>,
}

impl Callbacks {
    /// With nothing running.
    pub fn new() -> Callbacks {
        Callbacks { roles: slot(), reloads: slot() }
    }

    /// Runs `COMMAND ACTION ROLE SCOPE` after the callback before it was ended. Returns at once.
    pub fn call(&self, command: &str, action: &str, role: &str, scope: &str) {
        let words = match words::split(command) {
            Ok(words) => words,
            Err(error) => return tracing::error!("could not run the callback {action}: {error}"),
        };
        let program = Program::from_words(words).args([action, role, scope]);
        let slot = if action == "on_reload" { &self.reloads } else { &self.roles };
        if slot.try_send(program).is_err() {
            tracing::error!("too many callbacks are waiting: {action} is not run");
        }
    }
}

impl Default for Callbacks {
    fn default() -> Self {
        Callbacks::new()
    }
}

fn slot() -> mpsc::Sender<Program> {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    tokio::spawn(run_one_after_another(receiver));
    sender
}

async fn run_one_after_another(mut waiting: mpsc::Receiver<Program>) {
    let mut next = waiting.recv().await;
    while let Some(program) = next.take() {
        let name = program.command_line();
        let mut running = match program.start() {
            Ok(running) => running,
            Err(error) => {
                tracing::error!("could not run the callback {name}: {error}");
                next = waiting.recv().await;
                continue;
            }
        };
        next = tokio::select! {
            biased;
            () = report(&mut running, &name) => waiting.recv().await,
            newer = waiting.recv() => {
                if newer.is_some() {
                    running.kill().await;
                } else {
                    // The last callback of a daemon that ends is allowed to finish.
                    report(&mut running, &name).await;
                }
                newer
            }
        };
    }
}

async fn report(running: &mut Group, name: &str) {
    match running.wait().await {
        Ok(status) if status.success() => tracing::debug!("the callback {name} is done"),
        Ok(status) => tracing::warn!("the callback {name} {}", describe(status)),
        Err(error) => tracing::error!("the callback {name} was lost: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// CB-04: a callback that can not be killed (that of another user, through sudo) is waited for. Here it left the
    /// process group that is killed.
    #[tokio::test]
    async fn a_callback_that_can_not_be_killed_is_awaited() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let stubborn = format!(
            "setpgrp(0, getpgrp(getppid())) or exit 9; open(F, '>', '{0}'); close F; \
             select(undef, undef, undef, 0.02) until -e '{1}'; open(F, '>>', '{2}'); print F \"first\\n\"; close F",
            path("begun").display(),
            path("release").display(),
            path("log").display()
        );
        let script = path("stubborn.pl");
        std::fs::write(&script, stubborn).unwrap();
        let callbacks = Callbacks::new();
        let until = async |what: &str, done: &dyn Fn() -> bool| {
            let polled = async {
                while !done() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), polled).await.unwrap_or_else(|_| panic!("{what}"));
        };
        callbacks.call(&format!("perl {}", script.display()), "on_start", "replica", "demo");
        until("the first begins", &|| path("begun").exists()).await;
        let second = format!("/bin/sh -c 'echo second >> {}' sh", path("log").display());
        callbacks.call(&second, "on_role_change", "primary", "demo");
        // The slot has taken the second one up, and waits for the first.
        until("the second is taken up", &|| callbacks.roles.capacity() == WAITING_MAX).await;
        std::fs::write(path("release"), "").unwrap();
        let text = || std::fs::read_to_string(path("log")).unwrap_or_default();
        until("both have run", &|| text().lines().count() == 2).await;
        assert_eq!(text(), "first\nsecond\n");
    }

    /// CB-03, CB-08
    #[tokio::test]
    async fn callbacks_run_in_order_and_a_new_one_ends_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let (log, begun) = (folder.path().join("log"), folder.path().join("begun"));
        let script = folder.path().join("callback.sh");
        std::fs::write(
            &script,
            format!(
                "echo \"$*\" >> {0}\ntouch {1}\n[ \"$1\" = on_start ] && sleep 600 && echo late >> {0}\nexit 0\n",
                log.display(),
                begun.display()
            ),
        )
        .unwrap();
        let command = format!("/bin/sh {}", script.display());
        let callbacks = Callbacks::new();
        let until = async |what: &str, done: &dyn Fn() -> bool| {
            let polled = async {
                while !done() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), polled).await.unwrap_or_else(|_| panic!("{what}"));
        };
        callbacks.call(&command, "on_start", "replica", "demo");
        until("the first begins", &|| begun.exists()).await;
        callbacks.call(&command, "on_role_change", "primary", "demo");
        let text = || std::fs::read_to_string(&log).unwrap_or_default();
        until("the second runs", &|| text().lines().count() == 2).await;
        assert_eq!(text(), "on_start replica demo\non_role_change primary demo\n");
    }
}
