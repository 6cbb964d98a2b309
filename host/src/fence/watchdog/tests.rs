//! The keeper on a device that notes what is done to it (WD-01 to WD-04).

use super::*;
use crate::fence::device::Support;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What a device does, and what was done to it.
#[derive(Clone)]
struct Fake(Arc<Mutex<State>>);

struct State {
    support: Support,
    /// The time that it chooses whatever it is told.
    fixed: Option<i32>,
    timeout: i32,
    refuses: Option<io::ErrorKind>,
    deaf: bool,
    deeds: Vec<String>,
}

impl Fake {
    fn new(change: impl FnOnce(&mut State)) -> Fake {
        let support = Support { timeout: true, close: true };
        let mut state = State { support, fixed: None, timeout: 60, refuses: None, deaf: false, deeds: Vec::new() };
        change(&mut state);
        Fake(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds it")
    }

    fn deeds(&self) -> String {
        std::mem::take(&mut self.state().deeds).join(" ")
    }
}

impl Kernel for Fake {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Device>> {
        self.check(path)?;
        self.state().deeds.push(format!("open:{}", path.display()));
        Ok(Box::new(self.clone()))
    }

    fn check(&self, _: &Path) -> io::Result<()> {
        self.state().refuses.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl Device for Fake {
    fn support(&self) -> io::Result<Support> {
        Ok(self.state().support)
    }

    fn set_timeout(&self, seconds: i32) -> io::Result<()> {
        let mut state = self.state();
        state.timeout = state.fixed.unwrap_or(seconds);
        state.deeds.push(format!("set:{seconds}"));
        Ok(())
    }

    fn timeout(&self) -> io::Result<i32> {
        let state = self.state();
        Ok(state.fixed.unwrap_or(state.timeout))
    }

    fn keep_alive(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.deaf {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        state.deeds.push("1".to_owned());
        Ok(())
    }

    fn disarm(self: Box<Self>) -> io::Result<()> {
        self.state().deeds.push("V".to_owned());
        Ok(())
    }
}

const FEED: WatchdogOrder = WatchdogOrder::Feed { renewed_at: Moment(1) };

fn options(mode: FenceMode) -> WatchdogOptions {
    WatchdogOptions {
        mode,
        device: "/dev/w".into(),
        safety_margin: Some(Duration::from_secs(5)),
        ttl: Duration::from_secs(30),
        loop_wait: Duration::from_secs(10),
    }
}

fn open(seconds: u64) -> WatchdogState {
    WatchdogState::Open { timeout: Duration::from_secs(seconds) }
}

/// WD-01, WD-03: opened and fed, fed, left alone, closed by the magic letter; closed once.
#[test]
fn a_watchdog_is_opened_fed_and_closed() {
    let fake = Fake::new(|_| {});
    let mut keeper = Keeper::new(fake.clone());
    let with = options(FenceMode::Required);
    assert_eq!(keeper.obey(WatchdogOrder::Close, &with), WatchdogView { state: WatchdogState::Closed, usable: true });
    assert_eq!(fake.deeds(), "", "who does not lead opens nothing");
    assert_eq!(keeper.obey(FEED, &with).state, open(25));
    assert_eq!(fake.deeds(), "open:/dev/w set:25 1");
    keeper.obey(FEED, &with);
    assert_eq!(fake.deeds(), "1");
    assert_eq!(keeper.obey(WatchdogOrder::Leave, &with).state, open(25));
    assert_eq!(fake.deeds(), "");
    keeper.obey(WatchdogOrder::Close, &with);
    keeper.obey(WatchdogOrder::Close, &with);
    assert_eq!(fake.deeds(), "V");
    keeper.obey(FEED, &with);
    drop(keeper);
    assert_eq!(fake.deeds(), "open:/dev/w set:25 1", "a daemon that dies disarms nothing");
}

/// WD-04: the lock's time less the margin, or half of it; never less than a loop.
#[test]
fn its_time_follows_the_lock() {
    let check = |ttl: u64, margin: Option<u64>, loop_wait: u64, expected: WatchdogState| {
        let mut with = options(FenceMode::Automatic);
        (with.ttl, with.loop_wait) = (Duration::from_secs(ttl), Duration::from_secs(loop_wait));
        with.safety_margin = margin.map(Duration::from_secs);
        let state = Keeper::new(Fake::new(|_| {})).obey(FEED, &with).state;
        assert_eq!(state, expected, "ttl {ttl} margin {margin:?} loop_wait {loop_wait}");
    };
    check(30, Some(5), 10, open(25));
    check(30, None, 10, open(15));
    check(20, Some(0), 10, open(20));
    check(30, Some(20), 10, open(10));
    check(30, Some(21), 10, WatchdogState::Failed);
    check(30, None, 16, WatchdogState::Failed);
    check(30, Some(40), 10, WatchdogState::Failed);
}

/// A time that does not ensure the end before the lock's: `required` refuses, `automatic` takes what it gets, but
/// nobody takes one that fires between two loops.
#[test]
fn a_device_with_its_own_mind() {
    let check = |mode, change: fn(&mut State), expected: WatchdogState, deeds: &str| {
        let fake = Fake::new(change);
        let view = Keeper::new(fake.clone()).obey(FEED, &options(mode));
        assert_eq!((view.state, view.usable), (expected, expected != WatchdogState::Failed), "{mode:?}");
        assert_eq!(fake.deeds(), deeds, "{mode:?}");
    };
    let long: fn(&mut State) = |state| state.fixed = Some(40);
    check(FenceMode::Required, long, WatchdogState::Failed, "open:/dev/w set:25 V");
    check(FenceMode::Automatic, long, open(40), "open:/dev/w set:25 1");
    let short: fn(&mut State) = |state| state.fixed = Some(5);
    check(FenceMode::Required, short, WatchdogState::Failed, "open:/dev/w set:25 V");
    check(FenceMode::Automatic, short, WatchdogState::Failed, "open:/dev/w set:25 V");
    let unset: fn(&mut State) = |state| (state.support.timeout, state.timeout) = (false, 20);
    check(FenceMode::Required, unset, open(20), "open:/dev/w 1");
}

/// WD-02: the system's reason is told; a member that can not have it is not fit to lead.
#[test]
fn a_device_that_is_not_to_be_had() {
    let fake = Fake::new(|state| state.refuses = Some(io::ErrorKind::PermissionDenied));
    let mut keeper = Keeper::new(fake.clone());
    let with = options(FenceMode::Required);
    assert!(!keeper.obey(WatchdogOrder::Close, &with).usable);
    assert_eq!(keeper.obey(FEED, &with), WatchdogView { state: WatchdogState::Failed, usable: false });
    let said = keeper.said.clone().expect("it was said");
    assert!(said.contains("/dev/w") && said.contains("permission denied"), "{said}");
    fake.state().refuses = None;
    assert!(!keeper.obey(WatchdogOrder::Close, &with).usable, "it failed a moment ago");
    assert_eq!(keeper.obey(FEED, &with), WatchdogView { state: open(25), usable: true });
}

/// What changes while it is open counts from the next renewal on.
#[test]
fn changed_settings_count_from_the_next_renewal() {
    let fake = Fake::new(|_| {});
    let mut keeper = Keeper::new(fake.clone());
    let mut with = options(FenceMode::Automatic);
    keeper.obey(FEED, &with);
    fake.deeds();
    with.ttl = Duration::from_secs(40);
    assert_eq!(keeper.obey(FEED, &with).state, open(35));
    assert_eq!(fake.deeds(), "V open:/dev/w set:35 1");
    with.device = "/dev/other".into();
    keeper.obey(FEED, &with);
    assert_eq!(fake.deeds(), "V open:/dev/other set:35 1");
}

/// A device that can not be fed is opened anew; where that fails too, it is gone.
#[test]
fn a_device_that_goes_deaf() {
    let fake = Fake::new(|_| {});
    let mut keeper = Keeper::new(fake.clone());
    let with = options(FenceMode::Required);
    keeper.obey(FEED, &with);
    fake.state().deaf = true;
    assert_eq!(keeper.obey(FEED, &with), WatchdogView { state: WatchdogState::Failed, usable: false });
    fake.state().deaf = false;
    assert_eq!(keeper.obey(FEED, &with).state, open(25));
}

#[tokio::test]
async fn the_thread_answers() {
    let watchdog = Watchdog::start(Fake::new(|_| {})).expect("a thread");
    let view = watchdog.tell(FEED, &options(FenceMode::Automatic)).await;
    assert_eq!(view, WatchdogView { state: open(25), usable: true });
}
