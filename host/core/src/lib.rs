//! The pure core of Regent: nouns that say what is known (`model`) and verbs that say what to do next (`decide`).
//!
//! Nothing here does I/O, reads a clock or draws a random number: facts come in as values, a verdict goes out as a
//! value, and the same facts always give the same verdict.
#![forbid(unsafe_code)]

pub mod decide;
pub mod model;
