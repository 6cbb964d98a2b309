//! Reads the store for those who ask over the REST API: one reading at a time, however many ask, so that the loop's own
//! calls never wait behind a crowd. Whoever asks while one is under way gets the next: it was begun after the question.

use crate::dcs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// A reading, or why there is none.
pub(super) type Reading<T> = Result<Arc<T>, String>;

/// Those who wait for a reading.
pub(super) struct Readers<T>(Arc<Mutex<Waiting<T>>>);

struct Waiting<T> {
    is_reading: bool,
    replies: Vec<oneshot::Sender<Reading<T>>>,
}

impl<T> Default for Readers<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Waiting { is_reading: false, replies: Vec::new() })))
    }
}

impl<T: Send + Sync + 'static> Readers<T> {
    /// Answers with a reading that is begun after this.
    pub fn ask<F>(&self, reply: oneshot::Sender<Reading<T>>, read: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = dcs::Answer<T>> + Send,
    {
        let mut waiting = lock(&self.0);
        waiting.replies.push(reply);
        if !std::mem::replace(&mut waiting.is_reading, true) {
            let shared = Arc::clone(&self.0);
            tokio::spawn(async move { serve(&shared, read).await });
        }
    }
}

async fn serve<T, F: Future<Output = dcs::Answer<T>>>(shared: &Mutex<Waiting<T>>, read: impl Fn() -> F) {
    while let Some(mut replies) = next(shared) {
        let reading = match read().await {
            dcs::Answer::Done(value) => Ok(Arc::new(value)),
            dcs::Answer::Refused(why) | dcs::Answer::Unreachable(why) | dcs::Answer::Unknown(why) => {
                // The next would take as long, and its answer would come too late.
                replies.append(&mut lock(shared).replies);
                Err(why)
            }
        };
        for reply in replies {
            // Who waits no longer needs no answer.
            let _ = reply.send(reading.clone());
        }
    }
}

fn next<T>(shared: &Mutex<Waiting<T>>) -> Option<Vec<oneshot::Sender<Reading<T>>>> {
    let mut waiting = lock(shared);
    waiting.is_reading = !waiting.replies.is_empty();
    waiting.is_reading.then(|| std::mem::take(&mut waiting.replies))
}

fn lock<T>(shared: &Mutex<Waiting<T>>) -> MutexGuard<'_, Waiting<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::{Mutex as Turnstile, mpsc};

    /// Readings end when, and as, the test says.
    fn store() -> (mpsc::Sender<dcs::Answer<usize>>, Arc<AtomicUsize>, impl Fn() -> ReadingFuture + Clone) {
        let (ends, end) = mpsc::channel(8);
        let (end, begun) = (Arc::new(Turnstile::new(end)), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&begun);
        let read = move || -> ReadingFuture {
            count.fetch_add(1, Ordering::SeqCst);
            let end = Arc::clone(&end);
            Box::pin(async move { end.lock().await.recv().await.expect("the test goes on") })
        };
        (ends, begun, read)
    }

    type ReadingFuture = std::pin::Pin<Box<dyn Future<Output = dcs::Answer<usize>> + Send>>;

    #[tokio::test]
    async fn a_crowd_is_served_by_two_readings() {
        let (ends, begun, read) = store();
        let readers = Readers::default();
        let ask = || {
            let (reply, answer) = oneshot::channel();
            readers.ask(reply, read.clone());
            answer
        };
        let first = ask();
        while begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let crowd: Vec<_> = (0..20).map(|_| ask()).collect();
        ends.send(dcs::Answer::Done(1)).await.expect("it reads");
        assert_eq!(first.await.expect("an answer"), Ok(Arc::new(1)));
        ends.send(dcs::Answer::Done(2)).await.expect("it reads again");
        for answer in crowd {
            assert_eq!(answer.await.expect("an answer"), Ok(Arc::new(2)), "it was begun after the question");
        }
        let silent = ask();
        let late = ask();
        ends.send(dcs::Answer::Unreachable("away".to_owned())).await.expect("it reads again");
        assert_eq!(silent.await.expect("an answer"), Err("away".to_owned()));
        assert_eq!(late.await.expect("an answer"), Err("away".to_owned()));
        assert_eq!(begun.load(Ordering::SeqCst), 3);
    }
}
