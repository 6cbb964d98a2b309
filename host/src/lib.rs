//! Regent, the host: the rooms around the pure core. Who may use whom (checked by `tests/tidy`):
//!
//! | room | may use |
//! |---|---|
//! | config | numbers, tls |
//! | telemetry | |
//! | numbers | |
//! | tls | |
//! | postgres | telemetry, tls |
//! | fence | telemetry |
//! | dcs | numbers, telemetry |
//! | methods | postgres, telemetry |
//! | observe | postgres, dcs |
//! | act | postgres, dcs, methods, fence, config, observe |
//! | agent | observe, act, fence, telemetry, dcs, postgres, config, methods |
//! | api | config, numbers, telemetry, agent, tls |
//! | ctl | config, dcs, telemetry, tls |
//! | demo | config, ctl |
//! | helpers | ctl |
//! | workshop | config, methods |
//! | plugin | config, dcs |
//! | daemon | config, telemetry, postgres, fence, dcs, methods, observe, act, agent, api |
//!
//! Every room may use `regent_core` and `ports`. The binaries wire them together.

pub mod act;
pub mod agent;
pub mod api;
pub mod config;
pub mod ctl;
pub mod daemon;
pub mod dcs;
pub mod demo;
pub mod fence;
pub mod helpers;
pub mod methods;
pub mod numbers;
pub mod observe;
pub mod plugin;
pub mod ports;
pub mod postgres;
pub mod telemetry;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod workshop;
