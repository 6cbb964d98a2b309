//! Nothing that anybody writes takes the daemon down: texts of files, variables, documents in the store, requests. The
//! inputs are good ones, damaged at random. A moment each in the suite; `make fuzz MINUTES=10` takes its time.

mod configuration;
pub(crate) mod damage;
