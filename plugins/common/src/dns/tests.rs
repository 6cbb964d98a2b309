//! ETCD-08: answers are kept for ten minutes, and nobody waits for a resolver that is down.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// A resolver whose answer can be changed, and taken away: then it never comes back.
struct Names {
    dns: Dns,
    answer: watch::Sender<Option<IpAddr>>,
    asked: Arc<AtomicUsize>,
}

fn names() -> Names {
    let answer = watch::Sender::new(Some(IpAddr::from([10, 0, 0, 1])));
    let (asked, source) = (Arc::<AtomicUsize>::default(), answer.clone());
    let count = Arc::clone(&asked);
    let dns = Dns::with(Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let mut source = source.subscribe();
        Box::pin(async move {
            let found = source.wait_for(Option::is_some).await.expect("the test lives");
            Ok(found.iter().copied().collect())
        })
    }));
    Names { dns, answer, asked }
}

impl Names {
    async fn find(&self) -> String {
        let found = self.dns.addresses("etcd", 2379).await.expect("it was found");
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    fn expire(&self) {
        self.dns.lock(|known| known.get_mut("etcd").expect("it is known").good_until = Duration::ZERO);
    }
}

/// ETCD-08.
#[tokio::test]
async fn a_resolver_that_is_down_takes_no_name_away() {
    let names = names();
    assert_eq!(names.find().await, "10.0.0.1:2379");
    assert_eq!(names.find().await, "10.0.0.1:2379");
    assert_eq!(names.asked.load(Ordering::SeqCst), 1, "the answer is good for a while");
    let good_for = names.dns.lock(|known| known["etcd"].good_until - known["etcd"].found_at);
    assert_eq!(good_for, Duration::from_secs(600));
    names.answer.send_replace(None);
    names.expire();
    // Nobody waits for the resolver, which never answers, and it is asked once at a time.
    for _ in 0..3 {
        assert_eq!(names.find().await, "10.0.0.1:2379");
        tokio::task::yield_now().await;
    }
    assert_eq!(names.asked.load(Ordering::SeqCst), 2);
    names.answer.send_replace(Some(IpAddr::from([10, 0, 0, 2])));
    let moved = async {
        while names.find().await != "10.0.0.2:2379" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), moved).await.expect("the new address comes into use");
    assert_eq!(names.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn addresses_at_which_nobody_answers_are_doubted_once_they_are_old() {
    let names = names();
    names.find().await;
    names.dns.doubt("etcd");
    names.dns.doubt("another");
    let good_for = names.dns.lock(|known| known["etcd"].good_until - known["etcd"].found_at);
    assert_eq!(good_for, AFTER_FAILURE);
    assert_eq!(names.dns.addresses("::1", 1).await.expect("an address")[0].to_string(), "[::1]:1");
}
