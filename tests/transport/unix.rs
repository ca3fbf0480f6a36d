//! Unix sockets, towards clients and towards servers.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread;

use athena_perf::process::Signal;
use athena_perf::proxy::{Athena, AthenaConfig};

use crate::common::TestResult;
use crate::common::stage::Stage;
use crate::{LARGE, app_on_socket, carry, stage};

/// A stage with a socket for clients, and its path.
fn with_socket(name: &str) -> TestResult<(Stage, PathBuf)> {
    let mut path = PathBuf::new();
    let stage = Stage::start_with(name, |config| {
        let folder = std::env::temp_dir().join(format!("athena-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        path = folder.join("athena.sock");
        config.set("server", "unix_socket", &format!("{path:?}"))
    })?;
    Ok((stage, path))
}

#[test]
fn clients_come_by_a_socket_and_by_tcp() -> TestResult {
    let (stage, path) = with_socket("unix_clients")?;
    let before = stage.settled_census();
    assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o777);
    let client = app_on_socket(&path);
    assert_eq!(client.run("SELECT 1")?, "1");
    stage.assert_serves()?;
    carry(&client, LARGE)?;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..24)
            .map(|number| {
                let client = &client;
                scope.spawn(move || client.run(&format!("SELECT {number}")).expect("served"))
            })
            .collect();
        for (number, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().expect("no panic"), number.to_string());
        }
    });
    let error = athena_perf::lab::SqlClient::on_socket(&path, "app", "wrong").run("SELECT 1");
    let error = error.expect_err("a wrong password").to_string();
    assert!(error.contains("'app'@'localhost'"), "{error}");
    stage.assert_back_to(before);
    stage.athena.terminate();
    assert!(!path.exists(), "the file is removed at the end");
    fs::remove_dir_all(path.parent().expect("its folder"))?;
    Ok(())
}

#[test]
fn the_socket_of_the_dead_is_replaced_and_that_of_the_living_is_not() -> TestResult {
    let (stage, path) = with_socket("unix_stale")?;
    let config = |path: &PathBuf| {
        AthenaConfig::new(stage.server.port()).set("server", "unix_socket", &format!("{path:?}"))
    };
    let start = |path: &PathBuf| {
        Athena::start(env!("CARGO_BIN_EXE_athena").as_ref(), stage.lab.folder(), &config(path))
    };
    let error = start(&path).expect_err("the first one listens there").to_string();
    assert!(error.contains("another process listens there") && error.contains("unix_socket"), "{error}");
    assert_eq!(app_on_socket(&path).run("SELECT 1")?, "1", "it was left alone");
    stage.athena.signal(Signal::SIGKILL);
    stage.athena.wait(std::time::Duration::from_secs(5));
    assert!(fs::metadata(&path)?.file_type().is_socket(), "nobody removed it");
    let second = start(&path)?;
    assert_eq!(app_on_socket(&path).run("SELECT 2")?, "2");
    // Somebody has put another socket in its place: that is not removed.
    fs::remove_file(&path)?;
    let _other = UnixListener::bind(&path)?;
    second.terminate();
    assert!(path.exists());
    let file = path.with_file_name("a-file");
    fs::write(&file, "of somebody")?;
    let error = start(&file).expect_err("no socket").to_string();
    assert!(error.contains("there is a file that is no socket"), "{error}");
    assert_eq!(fs::read_to_string(&file)?, "of somebody");
    fs::remove_dir_all(path.parent().expect("its folder"))?;
    Ok(())
}

/// What does not leave the host needs no TLS.
#[test]
fn a_socket_is_secure() -> TestResult {
    let folder = std::env::temp_dir().join(format!("athena-unix_secure-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let path = folder.join("athena.sock");
    let (stage, _) = stage("unix_secure", |config, _| {
        let config = config.set("server", "unix_socket", &format!("{path:?}"));
        config.set("server.tls", "mode", "\"required\"")
    })?;
    assert!(stage.athena.client().argument("--skip-ssl").run("SELECT 1").is_err());
    assert_eq!(app_on_socket(&path).argument("--skip-ssl").run("SELECT 1")?, "1");
    assert!(app_on_socket(&path).argument("--ssl").run("status")?.contains("Cipher in use"));
    fs::remove_dir_all(folder)?;
    Ok(())
}

#[test]
fn links_go_through_the_socket_of_the_server() -> TestResult {
    let lab = athena_perf::lab::Lab::new("unix_links")?;
    let server = lab.server(athena_perf::lab::ServerOptions::default().argument("--skip-networking=0"))?;
    let socket = server.socket_path();
    let stage = Stage::start_on(lab, server, |config| {
        let config = config.set("backend", "unix_socket", &format!("{socket:?}"));
        // Nothing listens there: it is not asked.
        config.set("backend", "port", "1")
    })?;
    let before = stage.settled_census();
    let client = stage.athena.client();
    assert_eq!(client.run("SELECT SUBSTRING_INDEX(USER(), '@', -1)")?, "localhost");
    carry(&client, LARGE)?;
    stage.assert_back_to(before);
    stage.server.stop()?;
    assert!(stage.connect().expect_err("gone").code() == Some(3168));
    stage.server.start()?;
    crate::common::eventually("served again", std::time::Duration::from_secs(10), || {
        stage.assert_serves().map_err(|error| error.to_string())
    });
    Ok(())
}
