//! What several backends need, each with its own copy in its library: a runtime of their own, the keys of a cluster,
//! servers' addresses, certificates, the reading of a section, and a clock. It knows no store.

pub mod clock;
pub mod endpoint;
mod key;
mod keys;
mod runtime;
mod section;
mod shape;
mod tls;

pub use keys::Keys;
pub use runtime::Runtime;
pub use section::Section;
pub use shape::differ_in_figures_only;
pub use tls::{Files, Tls};
