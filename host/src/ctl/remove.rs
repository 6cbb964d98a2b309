//! `remove`: all that the store knows of a cluster. It is never done without three answers.

use super::context::{Context, done};
use super::output::ask;
use super::{CtlError, Result, list};
use crate::dcs::Snapshot;

/// What must be typed.
const OATH: &str = "Yes I am aware";

/// `remove`.
pub(super) async fn remove(context: &Context, format: &str) -> Result<()> {
    let (store, snapshot) = context.read().await?;
    swear(context, &snapshot, format)?;
    done(store.delete_cluster(context.patience()).await)
}

/// Asks three times.
pub(super) fn swear(context: &Context, snapshot: &Snapshot, format: &str) -> Result<()> {
    list::print_as(context, snapshot, format);
    let scope = &context.scope;
    if ask("Please confirm the cluster name to remove", None)? != *scope {
        return Err(CtlError::new("Cluster names specified do not match"));
    }
    let question = format!("You are about to remove all information in DCS for {scope}, please type: \"{OATH}\"");
    if ask(&question, None)? != OATH {
        return Err(CtlError::new(format!("You did not exactly type \"{OATH}\"")));
    }
    if let Some(leader) = snapshot.view.leader_member() {
        let question = "This cluster currently is healthy. Please specify the leader name to continue";
        if ask(question, None)? != leader.name {
            return Err(CtlError::new("You did not specify the current leader of the cluster"));
        }
    }
    Ok(())
}
