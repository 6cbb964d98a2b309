//! One connection that belongs to a session: requests go out in one order and are answered in the same. It sends nothing
//! by itself: a session that nobody uses ends. It is given up once a request stays unanswered for too long.

use crate::jute::next_frame;
use crate::message::{Acl, Heading, Op, Reply, heading};
use crate::server::Server;
use crate::transport::Stream;
use regent_dcs_common::clock;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The request did not leave: nothing was applied.
    Unsent(String),
    /// It may have been applied.
    Unsure(String),
}

/// What connections of one object share.
pub(crate) struct Shared {
    /// Counts what the servers told of, and connections that ended.
    pub news: watch::Sender<u64>,
    /// The newest change that was seen.
    pub seen: AtomicI64,
    /// How long an answer may take, in milliseconds.
    pub silence_ms: AtomicU64,
}

/// A connection that works, or did.
pub(crate) struct Connection {
    /// Whereto.
    pub server: Server,
    /// No two have the same.
    pub serial: u64,
    outgoing: mpsc::UnboundedSender<Batch>,
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    dead: AtomicBool,
    /// Rung when it is to end.
    ending: Notify,
    /// Rung when something was asked.
    asked: Notify,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    answers: VecDeque<Expected>,
    number: i32,
    /// When something came last.
    heard_at: Duration,
}

type Raw = Result<(i64, crate::message::Code, Vec<u8>), Fault>;

struct Expected {
    number: i32,
    sent_at: Duration,
    answer: oneshot::Sender<Raw>,
}

/// Requests that go out together.
struct Batch(Vec<(Vec<u8>, oneshot::Sender<Raw>)>);

impl Connection {
    /// Takes over a stream on which a session was agreed upon; what has arrived beyond that is `arrived`.
    pub fn start(
        stream: Box<dyn Stream>,
        arrived: Vec<u8>,
        (server, serial): (Server, u64),
        shared: Arc<Shared>,
    ) -> Connection {
        let (reading, writing) = tokio::io::split(stream);
        let (outgoing, batches) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            shared,
            dead: AtomicBool::new(false),
            ending: Notify::new(),
            asked: Notify::new(),
            waiting: Mutex::default(),
        });
        tokio::spawn(Arc::clone(&inner).write(writing, batches));
        tokio::spawn(Arc::clone(&inner).read(reading, arrived));
        Connection { server, serial, outgoing, inner }
    }

    /// It can be used, as far as is known.
    pub fn is_alive(&self) -> bool {
        !self.inner.dead.load(Ordering::Acquire)
    }

    /// Ends it: the server is told nothing.
    pub fn end(&self) {
        self.inner.end();
    }

    /// Asks, all at once, and waits for the answers.
    pub async fn ask(&self, ops: &[Op<'_>], acls: &[Acl]) -> Result<Vec<Reply>, Fault> {
        let (mut batch, mut answers) = (Vec::new(), Vec::new());
        for op in ops {
            let (sender, answer) = oneshot::channel();
            batch.push((op.frame(0, acls), sender));
            answers.push(answer);
        }
        if !self.is_alive() || self.outgoing.send(Batch(batch)).is_err() {
            return Err(Fault::Unsent("the connection is gone".to_owned()));
        }
        let mut replies = Vec::new();
        for (op, answer) in ops.iter().zip(answers) {
            let answer = answer.await.unwrap_or_else(|_| Err(Fault::Unsure("the connection ended".to_owned())));
            let (zxid, code, rest) = answer?;
            let Ok(body) = op.answer(code, &rest) else {
                self.end();
                return Err(Fault::Unsure("an answer can not be read".to_owned()));
            };
            replies.push(Reply { zxid, body });
        }
        Ok(replies)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end();
    }
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever waits learns that what was sent may have been applied.
    fn end(&self) {
        if self.dead.swap(true, Ordering::AcqRel) {
            return;
        }
        // Both halves look once more, whenever they come to it.
        self.ending.notify_waiters();
        self.ending.notify_one();
        let lost = std::mem::take(&mut self.waiting().answers);
        for expected in lost {
            let _gone = expected.answer.send(Err(Fault::Unsure("the connection ended".to_owned())));
        }
        self.shared.news.send_modify(|count| *count += 1);
    }

    async fn write(
        self: Arc<Self>,
        mut stream: WriteHalf<Box<dyn Stream>>,
        mut batches: mpsc::UnboundedReceiver<Batch>,
    ) {
        while let Some(Batch(batch)) = batches.recv().await {
            let Some(bytes) = self.number(batch) else { break };
            let sent = async {
                stream.write_all(&bytes).await?;
                stream.flush().await
            };
            tokio::select! {
                written = sent => if written.is_err() { break },
                () = self.ended() => break,
            }
        }
        self.end();
        // Nobody answers what did not leave.
        batches.close();
        while let Some(Batch(batch)) = batches.recv().await {
            for (_, answer) in batch {
                let _gone = answer.send(Err(Fault::Unsent("the connection ended".to_owned())));
            }
        }
    }

    /// Gives each request its number and its place in the queue; `None` once the connection ended.
    fn number(&self, batch: Vec<(Vec<u8>, oneshot::Sender<Raw>)>) -> Option<Vec<u8>> {
        let mut waiting = self.waiting();
        if self.dead.load(Ordering::Acquire) {
            for (_, answer) in batch {
                let _gone = answer.send(Err(Fault::Unsent("the connection ended".to_owned())));
            }
            return None;
        }
        let mut bytes = Vec::new();
        for (mut frame, answer) in batch {
            waiting.number = waiting.number.checked_add(1).unwrap_or(1);
            let number = waiting.number;
            frame[4..8].copy_from_slice(&number.to_be_bytes());
            bytes.extend(frame);
            waiting.answers.push_back(Expected { number, sent_at: clock::now(), answer });
        }
        drop(waiting);
        self.asked.notify_one();
        Some(bytes)
    }

    async fn read(self: Arc<Self>, mut stream: ReadHalf<Box<dyn Stream>>, mut arrived: Vec<u8>) {
        while self.take(&mut arrived) {
            let patience = self.patience();
            if patience.is_some_and(|patience| patience.is_zero()) {
                break;
            }
            let heard = async {
                tokio::select! {
                    read = stream.read_buf(&mut arrived) => Some(read),
                    () = self.asked.notified() => None,
                }
            };
            let heard = async {
                match patience {
                    // Whether it was too long is seen at the next look.
                    Some(patience) => tokio::time::timeout(patience, heard).await.unwrap_or(None),
                    None => heard.await,
                }
            };
            tokio::select! {
                read = heard => match read {
                    Some(Ok(1..)) => self.waiting().heard_at = clock::now(),
                    Some(_) => break,
                    None => {}
                },
                () = self.ended() => break,
            }
        }
        self.end();
    }

    /// How much longer the oldest request may stay unanswered; `None` if there is none.
    fn patience(&self) -> Option<Duration> {
        let waiting = self.waiting();
        let oldest = waiting.answers.front()?;
        let silence = Duration::from_millis(self.shared.silence_ms.load(Ordering::Acquire));
        Some((oldest.sent_at.max(waiting.heard_at) + silence).saturating_sub(clock::now()))
    }

    /// Hands out whole messages; `false` if one makes no sense.
    fn take(&self, arrived: &mut Vec<u8>) -> bool {
        loop {
            match next_frame(arrived) {
                Ok(None) => return true,
                Ok(Some(frame)) if self.hand_out(&frame) => {}
                _ => return false,
            }
        }
    }

    fn hand_out(&self, frame: &[u8]) -> bool {
        match heading(frame) {
            Ok((Heading::Event, _)) => self.shared.news.send_modify(|count| *count += 1),
            Ok((Heading::Answer(number, zxid, code), rest)) => {
                self.shared.seen.fetch_max(zxid, Ordering::AcqRel);
                let expected = self.waiting().answers.pop_front();
                let Some(expected) = expected else { return false };
                if expected.number != number {
                    return false;
                }
                let _gone = expected.answer.send(Ok((zxid, code, rest.to_vec())));
            }
            Err(_) => return false,
        }
        true
    }

    async fn ended(&self) {
        while !self.dead.load(Ordering::Acquire) {
            self.ending.notified().await;
        }
        // For the other half.
        self.ending.notify_one();
    }
}
