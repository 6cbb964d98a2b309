//! Write a method for Regent: a component that makes a data directory in a sandbox.
//!
//! ```no_run
//! use regent_method::{Failure, Method, Request};
//!
//! struct Copy;
//!
//! impl Method for Copy {
//!     fn create_replica(request: Request) -> Result<(), Failure> {
//!         let from = request.parameter("from").ok_or_else(|| Failure::Fatal("`from` is missing".into()))?;
//!         std::fs::copy(from, format!("{}/PG_VERSION", request.data_directory))
//!             .map_err(|error| Failure::TryNext(error.to_string()))?;
//!         Ok(())
//!     }
//! }
//!
//! regent_method::export!(Copy with_types_in regent_method::bindings);
//! ```
//!
//! The crate that exports a method is a `cdylib`, built for `wasm32-wasip2`. It uses `std` as usual; what its section of
//! the configuration does not grant is not there.

/// The interface as it was generated.
#[allow(missing_docs, clippy::all)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "method",
        pub_export_macro: true,
        export_macro_name: "export_method",
        default_bindings_module: "regent_method::bindings",
    });
}

pub use bindings::export_method as export;
pub use bindings::regent::method::host::{Level, Progress};
pub use bindings::regent::method::pgdata::Place;
pub use bindings::regent::method::types::{Failure, Request, Role};

/// A method. What it does not do, it says so.
pub trait Method {
    /// Makes the data directory of a replica.
    ///
    /// # Errors
    /// Why it did not work, and whether another method may be tried.
    fn create_replica(request: Request) -> Result<(), Failure> {
        let _ = request;
        Err(Failure::TryNext("this method makes no replicas".into()))
    }

    /// Makes the first data directory of a cluster.
    ///
    /// # Errors
    /// Why it did not work.
    fn bootstrap(request: Request) -> Result<(), Failure> {
        let _ = request;
        Err(Failure::Fatal("this method makes no clusters".into()))
    }
}

impl<T: Method> bindings::Guest for T {
    fn create_replica(request: Request) -> Result<(), Failure> {
        T::create_replica(request)
    }

    fn bootstrap(request: Request) -> Result<(), Failure> {
        T::bootstrap(request)
    }
}

impl Request {
    /// A key of the method's section.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Writes a line into the daemon's log.
pub fn log(level: Level, message: &str) {
    bindings::regent::method::host::log(level, message);
}

/// Tells whoever watches how far the method is.
pub fn report(progress: &Progress) {
    bindings::regent::method::host::report(progress);
}

/// The parts of the data directory that are to lie elsewhere: fill these folders instead.
pub fn places() -> Vec<Place> {
    bindings::regent::method::pgdata::places()
}
