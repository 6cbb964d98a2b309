//! The Linux watchdog in use: a thread that owns the device, because a driver may take its time, and that opens, feeds
//! and closes it as told. It decides nothing about who leads.

use super::device::{Device, Kernel};
use crate::ports;
use regent_core::decide::WatchdogOrder;
use regent_core::model::{FenceMode, Moment, WatchdogState, WatchdogView};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long the device may take to answer before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Orders that may wait for a slow device.
const QUEUE: usize = 16;

/// After it could not be had, a member does not count as fit to lead for so long, unless its settings change.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Which device, and how long it may count down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchdogOptions {
    /// Whether it is used, and whether it must be.
    pub mode: FenceMode,
    /// The device.
    pub device: PathBuf,
    /// How long before the lock's end it fires; `None`: after half of the lock's time.
    pub safety_margin: Option<Duration>,
    /// How long the lock is good for.
    pub ttl: Duration,
    /// How often it is renewed, and the device fed.
    pub loop_wait: Duration,
}

impl WatchdogOptions {
    /// The time to count down from: whole seconds, as the device knows no others (WD-04).
    fn timeout(&self) -> Duration {
        let timeout = self.safety_margin.map_or(self.ttl / 2, |margin| self.ttl.saturating_sub(margin));
        Duration::from_secs(timeout.as_secs())
    }

    /// It would fire between two renewals.
    fn is_too_short(&self, timeout: Duration) -> bool {
        timeout < self.loop_wait || timeout.is_zero()
    }
}

/// Why it is not in use.
#[derive(Debug, thiserror::Error)]
enum WatchdogError {
    #[error("the watchdog device {device:?}: {what}: {source}")]
    Refused { device: PathBuf, what: &'static str, source: io::Error },
    #[error("a watchdog of {timeout:?} would reset the host between two loops of {loop_wait:?}")]
    TooShort { timeout: Duration, loop_wait: Duration },
    #[error("the watchdog counts down from {actual:?}, and the lock is only safe with {wanted:?} or less")]
    TooLong { actual: Duration, wanted: Duration },
}

struct Request {
    order: WatchdogOrder,
    options: WatchdogOptions,
    reply: oneshot::Sender<WatchdogView>,
}

/// The loop's hand on the watchdog.
pub struct Watchdog {
    requests: mpsc::SyncSender<Request>,
}

impl Watchdog {
    /// Starts the thread; no device is opened.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(kernel: impl Kernel) -> io::Result<Watchdog> {
        let (requests, received) = mpsc::sync_channel::<Request>(QUEUE);
        let thread = std::thread::Builder::new().name("watchdog".to_owned()).stack_size(256 * 1024);
        thread.spawn(move || {
            let mut keeper = Keeper::new(kernel);
            while let Ok(Request { order, options, reply }) = received.recv() {
                // Whoever asked may have given up.
                let _late = reply.send(keeper.obey(order, &options)).is_err();
            }
        })?;
        Ok(Watchdog { requests })
    }

    /// Gives an order; the future says what came of it, within two seconds.
    pub fn tell(
        &self,
        order: WatchdogOrder,
        options: &WatchdogOptions,
    ) -> impl Future<Output = WatchdogView> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let taken = self.requests.try_send(Request { order, options: options.clone(), reply }).is_ok();
        async move {
            match tokio::time::timeout(PATIENCE, answer).await {
                Ok(Ok(view)) if taken => view,
                _ => {
                    tracing::warn!("the watchdog device does not answer");
                    WatchdogView { state: WatchdogState::Failed, usable: false }
                }
            }
        }
    }
}

/// An open device and how it was set.
struct Open {
    device: Box<dyn Device>,
    options: WatchdogOptions,
    timeout: Duration,
    can_be_closed: bool,
}

/// Owns the device. Dropped, it leaves an open device counting down: only an order closes it.
struct Keeper<K> {
    kernel: K,
    open: Option<Open>,
    failed: Option<(Moment, WatchdogOptions)>,
    said: Option<String>,
}

impl<K: Kernel> Keeper<K> {
    fn new(kernel: K) -> Keeper<K> {
        Keeper { kernel, open: None, failed: None, said: None }
    }

    fn obey(&mut self, order: WatchdogOrder, options: &WatchdogOptions) -> WatchdogView {
        let state = match order {
            WatchdogOrder::Feed { .. } => self.feed(options),
            WatchdogOrder::Leave => self.state(),
            WatchdogOrder::Close => {
                self.close();
                WatchdogState::Closed
            }
        };
        WatchdogView { state, usable: self.is_usable(options) }
    }

    fn state(&self) -> WatchdogState {
        self.open.as_ref().map_or(WatchdogState::Closed, |open| WatchdogState::Open { timeout: open.timeout })
    }

    fn feed(&mut self, options: &WatchdogOptions) -> WatchdogState {
        if self.open.as_ref().is_some_and(|open| open.options != *options) {
            tracing::info!("the watchdog's settings changed");
            self.close();
        }
        let fed = match self.open.as_ref().map(|open| open.device.keep_alive()) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                tracing::warn!("the watchdog device {:?} can not be fed: {error}", options.device);
                self.open = None;
                self.start(options)
            }
            None => self.start(options),
        };
        match fed {
            Ok(()) => {
                (self.failed, self.said) = (None, None);
                self.state()
            }
            Err(error) => {
                self.failed = Some((ports::now(), options.clone()));
                self.say(options, &error);
                WatchdogState::Failed
            }
        }
    }

    /// Opens and sets the device; it is closed again where it would do harm.
    fn start(&mut self, options: &WatchdogOptions) -> Result<(), WatchdogError> {
        let wanted = options.timeout();
        let too_short = |timeout| WatchdogError::TooShort { timeout, loop_wait: options.loop_wait };
        if options.is_too_short(wanted) {
            return Err(too_short(wanted));
        }
        let refused = |what| {
            let device = options.device.clone();
            move |source| WatchdogError::Refused { device, what, source }
        };
        let device = self.kernel.open(&options.device).map_err(refused("it can not be opened"))?;
        let (actual, can_be_closed) = match set(device.as_ref(), wanted) {
            Ok(set) => set,
            Err((what, source)) => {
                give_up(device);
                return Err(refused(what)(source));
            }
        };
        if options.is_too_short(actual) {
            give_up(device);
            return Err(too_short(actual));
        }
        if actual > wanted && options.mode == FenceMode::Required {
            give_up(device);
            return Err(WatchdogError::TooLong { actual, wanted });
        }
        if actual > wanted {
            tracing::warn!("{}", WatchdogError::TooLong { actual, wanted });
        }
        if !can_be_closed {
            tracing::warn!("this watchdog can not be stopped: the host is reset {actual:?} after it is let go of");
        }
        if let Err(source) = device.keep_alive() {
            return Err(refused("it can not be fed")(source));
        }
        tracing::info!(
            "the watchdog {:?} is on: the host is reset {} s after the last renewal of the lock",
            options.device,
            actual.as_secs()
        );
        self.open = Some(Open { device, options: options.clone(), timeout: actual, can_be_closed });
        Ok(())
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        match open.device.disarm() {
            Ok(()) if open.can_be_closed => tracing::info!("the watchdog is off"),
            Ok(()) => tracing::warn!("the watchdog was let go of and can not be stopped: it resets this host"),
            Err(error) => tracing::error!("the watchdog can not be stopped, it resets this host: {error}"),
        }
    }

    /// What nobody insists on is no warning; what was said is not said again.
    fn say(&mut self, options: &WatchdogOptions, error: &WatchdogError) {
        let text = error.to_string();
        if self.said.as_ref() == Some(&text) {
            return;
        }
        match options.mode {
            FenceMode::Required => tracing::error!("{text}; without it this member does not lead"),
            _ => tracing::info!("{text}; this member leads without it"),
        }
        self.said = Some(text);
    }

    fn is_usable(&self, options: &WatchdogOptions) -> bool {
        let failed =
            self.failed.as_ref().is_some_and(|(at, with)| with == options && ports::now().since(*at) < AFTER_FAILURE);
        let fits = !options.is_too_short(options.timeout());
        fits && (self.open.is_some() || !failed && self.kernel.check(&options.device).is_ok())
    }
}

/// Sets the time; gives what the device made of it, and whether it can be closed.
fn set(device: &dyn Device, wanted: Duration) -> Result<(Duration, bool), (&'static str, io::Error)> {
    let support = device.support().map_err(|error| ("it is no watchdog", error))?;
    if support.timeout {
        let seconds = i32::try_from(wanted.as_secs()).unwrap_or(i32::MAX);
        device.set_timeout(seconds).map_err(|error| ("its time can not be set", error))?;
    }
    let actual = device.timeout().map_err(|error| ("its time can not be read", error))?;
    Ok((Duration::from_secs(u64::try_from(actual).unwrap_or(0)), support.close))
}

/// Closes a device that is not to be used.
fn give_up(device: Box<dyn Device>) {
    if let Err(error) = device.disarm() {
        tracing::warn!("a watchdog device that was opened in vain can not be stopped: {error}");
    }
}

#[cfg(test)]
mod tests;
