//! A DCS backend for Regent on Redis, as somebody else would write it: outside of Regent's workspace, on nothing of it
//! but the SDK.
//!
//! Every operation is one script, which the server runs at once: the lock, what goes with it, and their versions can
//! never be seen apart. Keys end by the server's own clock. Changes are told over a channel, which also says whose they
//! are, so that no member wakes itself; heartbeats are not told, or members would wake each other for ever.
//!
//! **What it is good for.** One server that writes its log with `appendfsync always`. Redis copies to its replicas after
//! it has answered: a failover between Redis servers can forget a lock that was granted, and two members would hold it.
//! No backend can make up for that, so this one talks to a single server, and refuses a replica.
//!
//! **Rooms.** `config` reads the section, `names` turns keys into names and back, `link` is the connection and what its
//! errors mean, `store.lua` is the operations; here they are given to the host.

mod config;
mod link;
mod names;

use config::Config;
use link::{Link, Outcome, failed};
use redis::{PubSub, Value};
use regent_plugin_sdk::{
    Backend, Cancellations, Capabilities, Cx, DcsError, Entry, ErrorKind, Expect, Key, Lease, OpenArgs, Result,
    Snapshot, WatchEnd, Write,
};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How late a watch hears that it was taken back.
const SLICE: Duration = Duration::from_millis(100);

/// A watch that fails at once is called again at once.
const REST: Duration = Duration::from_millis(300);

/// One member's object.
pub struct Redis {
    config: Mutex<Config>,
    /// What every key of the cluster begins with; the braces keep them together on servers that are many.
    prefix: String,
    member: String,
    /// Tells this object's lock from one of an earlier life.
    session: String,
    ttl_ms: AtomicU64,
    link: Mutex<Link>,
}

impl Backend for Redis {
    fn open(args: &OpenArgs, _: Cancellations) -> Result<Self> {
        let config = Config::read(&args.config_json)?;
        let cluster = format!("{}/{}", args.namespace.trim_matches('/'), args.scope);
        let born = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Ok(Redis {
            prefix: format!("regent:{{{cluster}}}:"),
            session: format!("{}-{}-{born}", args.member, std::process::id()),
            member: args.member.clone(),
            ttl_ms: AtomicU64::new(millis(args.ttl)),
            link: Mutex::new(Link::new(config.clone())),
            config: Mutex::new(config),
        })
    }

    fn capabilities() -> Capabilities {
        Capabilities {
            native_watch: true,
            atomic_multi_write: true,
            server_side_ttl: true,
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(24 * 3600),
            max_value_bytes: 16 << 20,
        }
    }

    fn settings() -> &'static [&'static str] {
        config::SETTINGS
    }

    fn check_config(config_json: &str) -> Result<()> {
        Config::read(config_json).map(drop)
    }

    fn load(&self, cx: Cx) -> Result<Snapshot> {
        let answer = self.run(&cx, Outcome::Read, "load", &[])?;
        let (revision, entries): (u64, Vec<(Vec<u8>, Vec<u8>, String, String)>) = read(&answer)?;
        let entries = entries.into_iter().map(|(name, value, version, session)| {
            let key = names::key(&String::from_utf8_lossy(&name));
            Entry { key, value, version, session }
        });
        Ok(Snapshot { entries: entries.collect(), cursor: revision.to_string() })
    }

    fn acquire_leader(&self, cx: Cx, value: &[u8], also: &[Write]) -> Result<Option<Lease>> {
        let ttl = self.ttl_ms.load(Ordering::Acquire);
        let mut arguments = vec![value.to_vec(), self.session.clone().into(), number(ttl)];
        arguments.extend(along(also));
        let answer = self.run(&cx, Outcome::Write, "acquire", &arguments)?;
        self.lease(&answer, &self.session, ttl)
    }

    fn renew_leader(&self, cx: Cx, lease: &Lease, also: &[Write]) -> Result<Option<Lease>> {
        let ttl = self.ttl_ms.load(Ordering::Acquire);
        let mut arguments = vec![lease.session.clone().into_bytes(), number(ttl)];
        arguments.extend(along(also));
        let answer = self.run(&cx, Outcome::Write, "renew", &arguments)?;
        self.lease(&answer, &lease.session, ttl)
    }

    fn release_leader(&self, cx: Cx, lease: &Lease, also: &[Write]) -> Result<bool> {
        let mut arguments = vec![lease.session.clone().into_bytes()];
        arguments.extend(along(also));
        read(&self.run(&cx, Outcome::Write, "release", &arguments)?)
    }

    fn touch_member(&self, cx: Cx, value: &[u8]) -> Result<String> {
        let ttl = number(self.ttl_ms.load(Ordering::Acquire));
        let arguments = [format!("members/{}", self.member).into_bytes(), value.to_vec(), ttl];
        let revision: u64 = read(&self.run(&cx, Outcome::Write, "touch", &arguments)?)?;
        Ok(revision.to_string())
    }

    fn put(&self, cx: Cx, key: &Key, value: &[u8], expect: &Expect) -> Result<Option<String>> {
        let arguments = [names::name(key).into_bytes(), value.to_vec(), expected(expect)];
        let revision: Option<u64> = read(&self.run(&cx, Outcome::Write, "put", &arguments)?)?;
        Ok(revision.map(|revision| revision.to_string()))
    }

    fn delete(&self, cx: Cx, key: &Key, expect: &Expect) -> Result<bool> {
        let arguments = [names::name(key).into_bytes(), expected(expect)];
        read(&self.run(&cx, Outcome::Write, "delete", &arguments)?)
    }

    fn watch(&self, cx: Cx, cursor: &str) -> Result<WatchEnd> {
        let ended = self.listen(&cx, cursor);
        if ended.is_err() {
            // pace: the host asks again at once.
            std::thread::sleep(REST.min(cx.left()));
        }
        ended
    }

    fn set_ttl(&self, ttl: Duration) -> Result<Duration> {
        self.ttl_ms.store(millis(ttl), Ordering::Release);
        Ok(ttl)
    }

    fn reload(&self, config_json: &str) -> Result<bool> {
        let config = Config::read(config_json)?;
        *self.config.lock().unwrap_or_else(|lock| lock.into_inner()) = config.clone();
        self.link.lock().unwrap_or_else(|lock| lock.into_inner()).change(config);
        Ok(true)
    }

    fn delete_cluster(&self, cx: Cx) -> Result<()> {
        self.run(&cx, Outcome::Write, "clear", &[]).map(drop)
    }

    fn close(&self, _: Cx) -> Result<()> {
        self.link.lock().unwrap_or_else(|lock| lock.into_inner()).hang_up();
        Ok(())
    }
}

impl Redis {
    fn run(&self, cx: &Cx, outcome: Outcome, operation: &str, arguments: &[Vec<u8>]) -> Result<Value> {
        let mut link = self.link.lock().unwrap_or_else(|lock| lock.into_inner());
        link.run(cx, outcome, &self.prefix, operation, &self.member, arguments)
    }

    fn lease(&self, answer: &Value, session: &str, ttl_ms: u64) -> Result<Option<Lease>> {
        let revision: Option<u64> = read(answer)?;
        let ttl = Duration::from_millis(ttl_ms);
        Ok(revision.map(|revision| Lease { session: session.to_owned(), version: revision.to_string(), ttl }))
    }

    /// First it subscribes, then it looks: what comes in between is heard.
    fn listen(&self, cx: &Cx, cursor: &str) -> Result<WatchEnd> {
        let Ok(cursor) = cursor.parse::<u64>() else { return Ok(WatchEnd::Changed) };
        let config = self.config.lock().unwrap_or_else(|lock| lock.into_inner()).clone();
        let mut link = Link::new(config);
        let mut ear = link.connect(cx.left())?;
        let mut ear = ear.as_pubsub();
        let heard = self.hear(cx, cursor, &mut link, &mut ear);
        // To let go of it asks the server once more, for an answer that nobody needs.
        let _closed = ear.set_read_timeout(Some(Duration::from_millis(1)));
        heard
    }

    fn hear(&self, cx: &Cx, cursor: u64, link: &mut Link, ear: &mut PubSub<'_>) -> Result<WatchEnd> {
        ear.subscribe(format!("{}changes", self.prefix)).map_err(|error| failed(Outcome::Read, &error))?;
        loop {
            // Over a connection of its own: the other one may be waiting for something.
            let answer = link.run(cx, Outcome::Read, &self.prefix, "look", &self.member, &[number(cursor)])?;
            let (news, soonest): (bool, i64) = read(&answer)?;
            if news {
                return Ok(WatchEnd::Changed);
            }
            // One more, for a key ends within a millisecond.
            let mut quiet = u64::try_from(soonest).map_or(Duration::MAX, |left| Duration::from_millis(left + 1));
            while !quiet.is_zero() {
                if cx.cancelled() {
                    return Ok(WatchEnd::Cancelled);
                }
                let wait = SLICE.min(quiet).min(cx.left());
                if wait.is_zero() {
                    return Ok(WatchEnd::Deadline);
                }
                ear.set_read_timeout(Some(wait)).map_err(|error| failed(Outcome::Read, &error))?;
                match ear.get_message() {
                    Ok(message) if message.get_payload_bytes() != self.member.as_bytes() => {
                        return Ok(WatchEnd::Changed);
                    }
                    Ok(_) => {}
                    Err(error) if error.is_timeout() => quiet = quiet.saturating_sub(wait),
                    Err(error) => return Err(failed(Outcome::Read, &error)),
                }
            }
        }
    }
}

fn along(also: &[Write]) -> Vec<Vec<u8>> {
    also.iter().flat_map(|write| [names::name(&write.key).into_bytes(), write.value.clone()]).collect()
}

/// Empty is whatever is there, a dash nothing.
fn expected(expect: &Expect) -> Vec<u8> {
    match expect {
        Expect::Any => Vec::new(),
        Expect::Absent => b"-".to_vec(),
        Expect::Is(version) if version.is_empty() || version == "-" => b"?".to_vec(),
        Expect::Is(version) => version.clone().into_bytes(),
    }
}

fn read<T: redis::FromRedisValue>(answer: &Value) -> Result<T> {
    T::from_redis_value(answer)
        .map_err(|_| DcsError::new(ErrorKind::Indeterminate, "redis: an answer that makes no sense"))
}

fn number(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

regent_plugin_sdk::export_backend!(Redis, "redis");
