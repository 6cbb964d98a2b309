//! Clients that write rows with numbers of their own, wherever a server lets them, and remember each answer.
//!
//! Some look for a server that takes writes, as a connection string with every host and `target_session_attrs` does,
//! and after a while look again. Others keep to one node each: a server that takes writes when another does already is
//! caught, because somebody keeps trying to write there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use regent_harness::sql;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::DbError;
use tokio_postgres::{Client as Connection, Statement};

use crate::history::{Attempt, History, Outcome};

/// The table that is written to.
pub const TABLE: &str = "regent_faults";

/// After what time a roaming client looks again.
const TENURE: Duration = Duration::from_secs(3);
/// Between two writes of a client, where nothing else is said.
const PACE: Duration = Duration::from_millis(20);
/// Between two looks at a server that takes no writes.
const LOOK_PACE: Duration = Duration::from_millis(50);
/// After what time a client gives up on an answer to anything but a write.
const PATIENCE: Duration = Duration::from_secs(1);

/// A node's place and its server's port.
pub type Server = (usize, u16);

/// How many clients there are, and of what temper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// How many look for the leader.
    pub roaming: usize,
    /// How many keep to each node.
    pub staying: usize,
    /// Between two writes of a client.
    pub pace: Duration,
    /// Between two rounds of who roams and finds no leader: each is a login at every node, which costs processor time.
    pub round: Duration,
    /// After what time those who stay give up on a write. Who roams gives up after a second.
    pub patience: Duration,
}

impl Default for Load {
    fn default() -> Self {
        Self { roaming: 4, staying: 1, pace: PACE, round: LOOK_PACE, patience: PATIENCE }
    }
}

/// The running clients.
pub struct Clients {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

struct Client {
    number: usize,
    servers: Vec<Server>,
    tenure: Option<Duration>,
    load: Load,
    history: Arc<History>,
    stop: Arc<AtomicBool>,
}

impl Clients {
    /// Lets them begin.
    pub fn start(servers: &[Server], history: &Arc<History>, load: Load) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let roaming = (0..load.roaming).map(|_| (servers.to_vec(), Some(TENURE)));
        let staying = servers.iter().flat_map(|server| std::iter::repeat_n(*server, load.staying));
        let staying = staying.map(|server| (vec![server], None));
        for (number, (servers, tenure)) in roaming.chain(staying).enumerate() {
            let (history, stop) = (Arc::clone(history), Arc::clone(&stop));
            let client = Client { number, servers, tenure, load, history, stop };
            tasks.spawn(client.run());
        }
        Self { stop, tasks }
    }

    /// Ends them; every write under way has its outcome afterwards.
    pub async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Client {
    async fn run(self) {
        let mut dice = Rng::with_seed(self.number as u64);
        while !self.has_ended() {
            let first = dice.usize(..self.servers.len().max(1));
            for (node, port) in self.servers.iter().cycle().skip(first).take(self.servers.len()) {
                if let Ok(connection) = sql::connect(*port, PATIENCE).await
                    && self.is_let_in(&connection).await
                {
                    self.write_to(*node, &connection).await;
                    break;
                }
            }
            // pace: a cluster without a leader is not to be hammered
            sleep(if self.tenure.is_none() { LOOK_PACE } else { self.load.round }).await;
        }
    }

    fn has_ended(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether the server takes writes. Who keeps to a node waits for it; the others go on to the next.
    async fn is_let_in(&self, connection: &Connection) -> bool {
        loop {
            match sql::is_writable(connection, PATIENCE).await {
                Ok(true) => return true,
                Ok(false) if self.tenure.is_none() && !self.has_ended() => {}
                _ => return false,
            }
            // pace: a standby is asked until it is one no more
            sleep(LOOK_PACE).await;
        }
    }

    /// Writes until the server refuses, is silent or gone, or the tenure is over.
    async fn write_to(&self, node: usize, connection: &Connection) {
        let statement = format!(
            "INSERT INTO {TABLE} (id, client) VALUES ($1, $2) RETURNING \
             ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint"
        );
        let Ok(Ok(insert)) = timeout(PATIENCE, connection.prepare(&statement)).await else { return };
        let begun = Instant::now();
        while !self.has_ended() && self.tenure.is_none_or(|tenure| begun.elapsed() < tenure) {
            let attempt = self.write(node, connection, &insert).await;
            self.history.add(attempt);
            if attempt.timeline().is_none() {
                return;
            }
            // pace: the load
            sleep(self.load.pace).await;
        }
    }

    async fn write(&self, node: usize, connection: &Connection, insert: &Statement) -> Attempt {
        let id = self.history.number();
        let (number, client) = (i64::try_from(id).unwrap_or(i64::MAX), i32::try_from(self.number).unwrap_or(i32::MAX));
        let patience = if self.tenure.is_none() { self.load.patience } else { PATIENCE };
        let sent = self.history.now();
        let answer = timeout(patience, connection.query_one(insert, &[&number, &client])).await;
        let answered = self.history.now();
        let outcome = match answer {
            Ok(Ok(row)) => Outcome::Acknowledged(row.get::<_, i64>(0).unsigned_abs()),
            Ok(Err(error)) if error.as_db_error().is_some_and(is_plain_refusal) => Outcome::Refused,
            _ => Outcome::Unknown,
        };
        Attempt { id, client: self.number, node, sent, answered, outcome }
    }
}

/// A refusal leaves the connection usable. What ends it (a shutdown, the crash of a neighbour) may have come after the
/// commit.
fn is_plain_refusal(error: &DbError) -> bool {
    !matches!(error.severity(), "FATAL" | "PANIC") && !error.code().code().starts_with("57P")
}
