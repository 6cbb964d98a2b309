//! Who is served while more connect than there are places for: whoever said nothing worth an answer for longest goes.
//!
//! Clients that connect and keep silent, or speak slowly, are not refused, for nobody can tell them from a load balancer
//! that will ask in a moment; but they hold a place only until somebody else needs it. What is carried out is finished.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The places of one listener.
#[derive(Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    line: Arc<Mutex<Line>>,
}

/// Those that may be asked to go, whoever was heard of least lately first.
#[derive(Default)]
struct Line {
    next: u64,
    seats: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A place that is taken; given back when dropped.
pub(super) struct Seat {
    line: Arc<Mutex<Line>>,
    /// Where it stands in the line; `None`: it may stay.
    number: Mutex<Option<u64>>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// So many.
    pub(super) fn new(count: usize) -> Places {
        Places { free: Arc::new(Semaphore::new(count)), line: Arc::default() }
    }

    /// Takes a place, for which another may have to go; waits only while every one is at something. The second of the
    /// two tells the taker when to go. `None`: there are no places any more.
    pub(super) async fn take(&self) -> Option<(Seat, oneshot::Receiver<()>)> {
        if self.free.available_permits() == 0 {
            let longest = lock(&self.line).seats.pop_first();
            // Its end gives the place back; whoever has ended just now has done so already.
            let _gone = longest.is_some_and(|(_, seat)| seat.send(()).is_err());
        }
        let permit = Arc::clone(&self.free).acquire_owned().await.ok()?;
        let (go, gone) = oneshot::channel();
        let mut line = lock(&self.line);
        line.next += 1;
        let number = line.next;
        line.seats.insert(number, go);
        drop(line);
        Some((Seat { line: Arc::clone(&self.line), number: Mutex::new(Some(number)), _permit: permit }, gone))
    }
}

impl Seat {
    /// The client was given an answer: it goes to the end of the line.
    pub(super) fn answered(&self) {
        let mut own = lock(&self.number);
        let mut line = lock(&self.line);
        if let Some(seat) = own.and_then(|number| line.seats.remove(&number)) {
            line.next += 1;
            let number = line.next;
            line.seats.insert(number, seat);
            *own = Some(number);
        }
    }

    /// What the client asked for is being carried out: it is not sent away any more.
    pub(super) fn stay(&self) {
        let number = lock(&self.number).take();
        // A dropped sender sends nobody away: only the word does.
        let _staying = number.and_then(|number| lock(&self.line).seats.remove(&number)).is_some();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let number = *lock(&self.number);
        let _gone = number.and_then(|number| lock(&self.line).seats.remove(&number)).is_some();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_was_silent_for_longest_goes_first() {
        let places = Places::new(3);
        let (first, mut first_gone) = places.take().await.unwrap();
        let (second, mut second_gone) = places.take().await.unwrap();
        let (third, mut third_gone) = places.take().await.unwrap();
        first.answered();
        third.stay();
        let taker = tokio::spawn({
            let places = places.clone();
            async move { places.take().await.map(|(seat, _)| seat) }
        });
        (&mut second_gone).await.unwrap();
        drop(second);
        let fourth = taker.await.unwrap().unwrap();
        assert!(first_gone.try_recv().is_err() && third_gone.try_recv().is_err());
        // Once everybody is at something, the next one waits for the first to end.
        fourth.stay();
        first.stay();
        let taker = tokio::spawn({
            let places = places.clone();
            async move { places.take().await.is_some() }
        });
        drop(third);
        assert!(taker.await.unwrap());
    }
}
