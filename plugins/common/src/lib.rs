//! What several backends need, each with its own copy in its library: a runtime of their own, the keys of a cluster,
//! servers' addresses, certificates, the reading of a section, and a clock. It knows no store but what etcd's two
//! APIs share.

pub mod clock;
pub mod endpoint;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(feature = "http")]
pub mod http;
pub mod retry;

mod dns;
mod key;
mod keys;
mod runtime;
mod section;
mod shape;
mod tls;

pub use dns::Dns;
pub use keys::Keys;
pub use runtime::Runtime;
pub use section::Section;
pub use shape::differ_in_figures_only;
pub use tls::{Files, Tls};
