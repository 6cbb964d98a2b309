//! `dsn`: where a member listens.

use super::context::Context;
use super::output::line;
use super::rows::address;
use super::{CtlError, Result, role};
use crate::dcs::Snapshot;
use regent_core::model::MemberView;

/// Prints host and port of the leader, of the member, or of the first one with the role.
pub(super) async fn dsn(context: &Context, role: Option<&str>, member: Option<&str>) -> Result<()> {
    let which = Which::new(role, member)?;
    print(&which, &context.read().await?.1)
}

/// Prints where the first of them listens.
pub(super) fn print(which: &Which<'_>, snapshot: &Snapshot) -> Result<()> {
    let found = which.members(snapshot).into_iter().find_map(|member| address(&member));
    let (host, port) = found.ok_or_else(|| CtlError::new("Can not find a suitable member"))?;
    line(&format!("host={host} port={port}"));
    Ok(())
}

/// Which member is meant.
pub(super) enum Which<'a> {
    Role(&'a str),
    Member(&'a str),
}

impl<'a> Which<'a> {
    /// The leader, where nothing is said; not both a role and a member.
    pub fn new(role: Option<&'a str>, member: Option<&'a str>) -> Result<Which<'a>> {
        match (role, member) {
            (Some(_), Some(_)) => Err(CtlError::new("--role and --member are mutually exclusive options")),
            (None, Some(member)) => Ok(Which::Member(member)),
            (role, None) => Ok(Which::Role(role.unwrap_or("leader"))),
        }
    }

    /// Those who fit.
    pub fn members(&self, snapshot: &Snapshot) -> Vec<MemberView> {
        match self {
            Which::Role(role) => role::members(snapshot, role),
            Which::Member(name) => snapshot.view.member(name).cloned().into_iter().collect(),
        }
    }
}
