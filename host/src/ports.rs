//! The only place that reads clocks and the environment: everything else is told.

use regent_core::model::{Moment, WallTime};

/// Now, on the boot-time clock.
pub fn now() -> Moment {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let millis = time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000);
    Moment(u64::try_from(millis).unwrap_or(0))
}

/// Time since the boot, to the nanosecond: to measure what takes less than a [`Moment`] can tell.
pub fn since_boot() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
    std::time::Duration::new(seconds, nanos)
}

/// Now, on the wall clock.
pub fn wall_now() -> WallTime {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    WallTime(time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1000))
}

/// Every variable of the environment.
pub fn environment() -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    std::env::vars_os().collect()
}

/// The variables that configure us, by name; what is not UTF-8 is none of them.
pub fn patroni_variables() -> std::collections::BTreeMap<String, String> {
    let text = environment()
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    text.filter(|(name, _)| name.starts_with("PATRONI_")).collect()
}

/// Our home directory: by the environment, or else by the system's list of users.
pub fn home_directory() -> std::path::PathBuf {
    std::env::home_dir().unwrap_or_default()
}

/// The folders in which programs are looked for.
pub fn program_folders() -> Vec<std::path::PathBuf> {
    let path = environment().into_iter().find(|(name, _)| name == "PATH");
    path.map(|(_, path)| std::env::split_paths(&path).collect()).unwrap_or_default()
}
