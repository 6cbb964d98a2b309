//! The rules of the house, checked like any other promise: `tests/house.rs` runs each of them over
//! the repository, and the tests beside the code show that each of them can fail.
//!
//! The checks read text, not syntax trees: they know comments, strings and braces, and no more Rust
//! than that. They must not depend on any other crate of the workspace.

pub mod bans;
pub mod features;
pub mod finding;
pub mod layout;
pub mod mask;
pub mod repository;
pub mod rooms;
pub mod scan;
pub mod sizes;
pub mod source;

pub use finding::Finding;
pub use repository::Repository;
pub use source::Source;
