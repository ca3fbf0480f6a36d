//! MariaDB's own test suite (`mysql-test-run --extern`), directly on a server of the lab and through Athena.
//!
//! ```text
//! Suite      the folder that perf/mysql-test.sh makes: tests, expected results, mariadb-test
//!  └ Stage   a fresh server as the suite expects one, with Athena in front of it or not
//!     └ Run  tests in order on a stage; a test that fails may leave anything, so the next one gets a new stage
//! ```
//!
//! A test passes when everything its statements print, down to column names and warnings, is what the server's authors
//! wrote down. What is compared is thus not only that Athena works, but that it can't be told from the server.

mod harness;
mod list;
mod outcome;
mod stage;

pub use harness::{Suite, Verification};
pub use list::{Exception, read_exceptions, read_tests};
pub use outcome::{Outcome, Verdict};
pub use stage::Route;
