//! The DCS backend for etcd, over its v3 API.
