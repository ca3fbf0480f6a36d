//! Bytes that no decent client sends: each gets an error or a close within its deadline, and Athena goes on.

mod commands;
#[path = "../common/mod.rs"]
mod common;
mod framing;
mod login;

use std::time::Duration;

use common::TestResult;
use common::stage::Stage;
use common::wire::PacketStream;

/// Time for a login in these tests, and for a client to send its next command.
const DEADLINE_MS: u64 = 1000;
/// An answer that waits for a deadline comes within this; an answer that need not wait, too.
const IN_TIME: Duration = Duration::from_millis(DEADLINE_MS + 3000);

/// A stage with short deadlines.
fn stage(name: &str) -> TestResult<Stage> {
    stage_with(name, &[])
}

/// [`stage`] with more keys of `[server]`.
fn stage_with(name: &str, keys: &[(&str, &str)]) -> TestResult<Stage> {
    Stage::start_with(name, |config| {
        let config = config.set("server", "login_timeout_ms", &DEADLINE_MS.to_string()).set(
            "server",
            "idle_timeout_ms",
            &DEADLINE_MS.to_string(),
        );
        keys.iter().fold(config, |config, (key, value)| config.set("server", key, value))
    })
}

/// Fails unless the peer turns this client away: an ERR packet or none, and then the end of the stream.
fn assert_turned_away(stream: &mut PacketStream, what: &str) {
    stream.set_read_timeout(IN_TIME).expect("a socket");
    let total = stream.read_to_close();
    let total = total.unwrap_or_else(|error| panic!("{what}: no close in {IN_TIME:?}: {error}"));
    assert!(total < 64 * 1024, "{what}: {total} bytes in answer to nonsense");
}

/// What has to hold after every attack: nobody is left, no link is in use, the next client is served.
fn assert_unharmed(stage: &Stage, before: common::stage::Census) -> TestResult {
    assert_eq!(stage.athena.exit_status(), None, "{}", stage.athena.log()?);
    stage.assert_back_to(before);
    assert!(stage.errors("internal")? < 1.0, "{}", stage.athena.log()?);
    stage.assert_serves()
}
