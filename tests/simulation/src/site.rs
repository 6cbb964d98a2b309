//! The cluster that this one follows while it is a standby cluster: one primary elsewhere, which writes all the time. What
//! goes on there no member decides. It may not be reached for a while, or fail over to a server that lacks the end.

use crate::replication::AT_ONCE;
use crate::server::{Directory, Phase, Server};
use crate::world::{Node, World};
use regent_core::model::{ControlState, Source, StandbyCluster, Timeline};

/// What it is called in a story.
pub const NAME: &str = "remote";

/// Its timelines have numbers of their own: were two clusters to take one, PostgreSQL could not tell them apart.
const APART: u32 = 10;

/// Where it is, for those who follow it.
pub fn address() -> StandbyCluster {
    StandbyCluster { host: Some(NAME.to_owned()), port: Some("5432".to_owned()), ..StandbyCluster::default() }
}

impl World {
    /// The other cluster comes into being.
    pub fn found_remote(&mut self) {
        let id = self.next_id();
        let mut server = Server::new();
        server.directory = Some(Directory::initial(id));
        server.spawn(self.now);
        server.come_up(id, self.now);
        self.remote = Some(self.nodes.len());
        self.nodes.push(Node { server, wanted: false, ..Node::new() });
        self.names.push(NAME.to_owned());
    }

    /// The machines of this cluster's members.
    pub fn members(&self) -> &[Node] {
        &self.nodes[..self.plan.members]
    }

    /// Where a source is.
    pub fn place_of(&self, source: &Source) -> Option<usize> {
        if source.is_remote() { self.remote } else { self.place(&source.name) }
    }

    /// Nobody reaches it, or everybody does again.
    pub fn remote_is_away(&mut self, away: bool) {
        if let Some(remote) = self.remote {
            self.nodes[remote].frozen = away;
        }
    }

    /// Another server takes over there, which lacks up to five records.
    pub fn remote_fails_over(&mut self) {
        let Some(remote) = self.remote else { return };
        let (id, lost) = (self.next_id(), self.recoveries.usize(..=5));
        let server = &mut self.nodes[remote].server;
        if let Some(directory) = &mut server.directory {
            let taken = Timeline(directory.log.timeline().0 + APART - 1);
            directory.log.forget(lost);
            directory.log.begin_timeline(id, taken);
            directory.note_checkpoint(ControlState::InProduction);
        }
        self.drop_streams(remote);
        self.tell(NAME, || format!("another server takes over, without the last {lost} records"));
    }

    /// Somebody leads the standby cluster, is a standby, and has what the other cluster wrote; and nobody is a primary.
    pub fn follows_remote(&self) -> bool {
        let leader = self.store.lock.as_ref().and_then(|lock| self.place(&lock.name));
        let (Some(leader), Some(remote)) = (leader, self.remote) else { return false };
        let (server, source) = (&self.nodes[leader].server, &self.nodes[remote].server);
        let (Some(log), Some(other)) = (server.log(), source.log()) else { return false };
        let near = log.is_beginning_of(other) && other.len() - log.len() <= AT_ONCE;
        let primary = self.members().iter().any(|node| node.server.phase == Phase::Primary);
        !primary && (self.plan.tags[leader].nostream() || server.phase == Phase::Standby && near)
    }
}
