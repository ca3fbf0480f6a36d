//! `athena --check` from outside: what it prints, where, and its exit code.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const GOOD: &str = "[server]\nlisten_addr = \"127.0.0.1\"\nlisten_port = 3307\n\n[backend]\nhost = \"127.0.0.1\"\n\
                    port = 3306\nuser = \"root\"\npassword = \"\"\n";

/// Writes a file for one test and gives its path.
fn write(name: &str, text: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("config_check");
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    path
}

fn check(path: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_athena"));
    command.arg("--check").arg("--config").arg(path).env_remove("RUST_LOG");
    command.env("ATHENA_TEST_PASSWORD", "from the environment").env_remove("ATHENA_TEST_UNSET");
    command.output().expect("athena runs")
}

/// The lines of standard error after exit code 2, with the path taken off each.
fn refused(path: &Path) -> Vec<String> {
    let output = check(path);
    let errors = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(output.stdout.is_empty(), "nothing is ok");
    let prefix = format!("{}:", path.display());
    let lines = errors.lines().map(|line| match line.strip_prefix(&prefix) {
        Some(rest) => rest.to_owned(),
        None => panic!("a line without the path: {line}"),
    });
    lines.collect()
}

#[test]
fn a_good_file_is_ok() {
    let path = write("good.toml", GOOD);
    let output = check(&path);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}: ok\n", path.display()));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_default_path_is_the_example_of_the_repository() {
    let output = Command::new(env!("CARGO_BIN_EXE_athena"))
        .arg("--check")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("RUST_LOG")
        .output()
        .expect("athena runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "config/athena.toml: ok\n");
}

#[test]
fn every_mistake_is_printed_at_once() {
    let path = write(
        "bad.toml",
        "[server]\nlisten_adr = \"127.0.0.1\"\nlisten_port = 70000\n\n[backend]\nhost = 127\nuser = \"root\"\n\
         password = \"hunter2\"\npassword_env = \"ATHENA_TEST_PASSWORD\"\n\n[pool]\nmax_connections = 5\n\
         min_idle = 6\n\n[cirkuit]\nenabled = true\n\n[routing]\nread_write_split = true\n",
    );
    let lines = refused(&path);
    let expected = [
        "2: server.listen_adr: ",
        "3: server.listen_port: ",
        "6: backend.host: ",
        "9: backend.password_env: ",
        "13: pool.min_idle: ",
        "15: cirkuit: ",
        "19: routing.read_write_split: ",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(expected) {
        let reason = line.strip_prefix(start).unwrap_or_else(|| panic!("{line} should start with {start}"));
        assert!(!reason.is_empty(), "{line}");
        assert!(!line.contains("hunter2"), "a password is shown: {line}");
    }
    assert!(lines[0].contains("did you mean listen_addr?"), "{}", lines[0]);
    assert!(lines[6].contains("there are no [[backend.replicas]]"), "{}", lines[6]);
}

#[test]
fn syntax_errors_have_their_lines() {
    let path = write("syntax.toml", &GOOD.replace("port = 3306", "port ="));
    let lines = refused(&path);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("7: backend.port: not valid TOML: "), "{}", lines[0]);
}

#[test]
fn a_missing_file_says_how_to_name_another() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("there-is-no-such.toml");
    let lines = refused(&path);
    assert_eq!(lines, [" no such file: name another with --config PATH"]);
}

#[test]
fn passwords_are_looked_up() {
    let with = |name: &str, line: &str| write(name, &GOOD.replace("password = \"\"", line));
    let found = with("env.toml", "password_env = \"ATHENA_TEST_PASSWORD\"");
    assert_eq!(check(&found).status.code(), Some(0));
    write("password.txt", "secret\n");
    let found = with("file.toml", "password_file = \"password.txt\"");
    assert_eq!(check(&found).status.code(), Some(0), "a relative path starts from the folder of the file");
    let lines = refused(&with("unset.toml", "password_env = \"ATHENA_TEST_UNSET\""));
    assert_eq!(lines, ["9: backend.password_env: the environment variable ATHENA_TEST_UNSET is not set"]);
    let lines = refused(&with("no-file.toml", "password_file = \"none.txt\""));
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].starts_with("9: backend.password_file: ") && lines[0].contains("none.txt"),
        "{}",
        lines[0]
    );
}

#[test]
fn certificates_and_keys_are_read() {
    let folder = write("tls.toml", GOOD).with_file_name("certificates");
    let made = athena_perf::lab::Certificates::new(&folder).expect("openssl makes certificates");
    let (cert, key) = (made.certificate("server"), made.key("server"));
    let client_key = made.key("client");
    let with = |name: &str, cert: &Path, key: &Path, rest: &str| {
        write(name, &format!("{GOOD}{rest}\n[server.tls]\ncert = {cert:?}\nkey = {key:?}\n"))
    };
    let ca = format!("tls = \"verify_ca\"\nca = {:?}\n", made.certificate("ca"));
    let good = with("tls-good.toml", &cert, &key, &ca);
    assert_eq!(check(&good).status.code(), Some(0), "{}", String::from_utf8_lossy(&check(&good).stderr));
    let relative = with("tls-relative.toml", "certificates/server.pem".as_ref(), &key, "");
    assert_eq!(check(&relative).status.code(), Some(0), "a relative path starts from the folder of the file");
    let missing = folder.join("none.pem");
    let cases = [
        (&cert, &client_key, "13: server.tls.key: ", "it is not the key of the certificate in "),
        (&key, &key, "12: server.tls.cert: ", "no certificate in it"),
        (&cert, &cert, "13: server.tls.key: ", "no private key in it"),
        (&missing, &key, "12: server.tls.cert: ", "No such file"),
    ];
    for (number, (cert, key, start, reason)) in cases.into_iter().enumerate() {
        let lines = refused(&with(&format!("tls-{number}.toml"), cert, key, ""));
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].starts_with(start) && lines[0].contains(reason), "{}", lines[0]);
    }
}
