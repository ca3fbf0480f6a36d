//! x
pub mod http;
pub mod logging;
