//! How the clients are built, installed and run.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use athena_perf::lab::{APP_PASSWORD, APP_USER};

/// Seconds after which a client hangs; it needs a few.
const CLIENT_TIMEOUT_S: &str = "60";
/// Seconds for a compiler or an installation, which may have to fill a cache first.
const BUILD_TIMEOUT_S: &str = "300";
/// How much of the output of a client that failed is shown.
const LINES_SHOWN: usize = 20;
/// Where Debian's packages put the source of Go libraries.
const GO_PATH: &str = "/usr/share/gocode";
/// Lines of the client's `status` that tell of the connection and the moment, and whether there is TLS, which MySQL
/// offers of its own accord. Only their beginnings are compared.
const STATUS_LINES: [&str; 5] = ["Connection id:", "SSL:", "TCP port:", "Uptime:", "Threads:"];

/// Where a client connects to.
pub struct Target {
    port: u16,
    database: String,
}

impl Target {
    pub fn new(port: u16, database: &str) -> Self {
        Self { port, database: database.to_owned() }
    }

    /// The same server, another database.
    pub fn database(self, name: &str) -> Self {
        Self { database: name.to_owned(), ..self }
    }

    /// The arguments of the programs below `tests/drivers/`.
    fn arguments(&self) -> [String; 5] {
        [
            "127.0.0.1".to_owned(),
            self.port.to_string(),
            APP_USER.into(),
            APP_PASSWORD.into(),
            self.database.clone(),
        ]
    }

    /// `program` of MariaDB with the options to connect; its other defaults are its own, not the machine's.
    pub fn mariadb(&self, program: &str) -> Command {
        let mut command = timed(CLIENT_TIMEOUT_S, program);
        command.args(["--no-defaults", "--host=127.0.0.1", "--protocol=tcp"]);
        command.args([format!("--port={}", self.port), format!("--user={APP_USER}")]);
        command.args([format!("--password={APP_PASSWORD}"), "--max-allowed-packet=1G".into()]);
        command
    }
}

/// The folder with the programs and their data.
pub fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drivers"))
}

/// PyMySQL. Debian's own Python, since another one on the path would not see Debian's packages.
pub fn pymysql(target: &Target) -> Vec<u8> {
    let mut command = timed(CLIENT_TIMEOUT_S, "/usr/bin/python3");
    command.arg("-u").arg(folder().join("python/main.py")).args(target.arguments());
    succeed(command.env("PYTHONDONTWRITEBYTECODE", "1"))
}

/// mysql2.
pub fn mysql2(target: &Target) -> Vec<u8> {
    let mut command = timed(CLIENT_TIMEOUT_S, "node");
    command.arg(folder().join("node/main.js")).args(target.arguments());
    succeed(command.env("NODE_PATH", node_modules()))
}

/// The Go driver.
pub fn go_driver(target: &Target) -> Vec<u8> {
    succeed(timed(CLIENT_TIMEOUT_S, go_program()).args(target.arguments()))
}

/// The `mariadb` client with the statements of `cli/batch.sql`: what it printed, then what it complained of.
pub fn command_line(target: &Target, mode: &[&str]) -> Vec<u8> {
    let mut command = target.mariadb("mariadb");
    // The encoding of the file, whatever the locale.
    command.args(["--default-character-set=utf8mb4", "--force"]).args(mode).arg(&target.database);
    let output = finish(command.stdin(open(&folder().join("cli/batch.sql"))));
    without_the_moment(&[output.stdout, b"== complaints\n".to_vec(), output.stderr].concat())
}

/// Runs the statements of a file and wants nothing said.
pub fn load(target: &Target, file: &Path) {
    let mut command = target.mariadb("mariadb");
    command.args(["--default-character-set=utf8mb4", &target.database]).stdin(open(file));
    let said = succeed(&mut command);
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

/// `mariadb-dump` of the target's database without the tables `left_out`.
pub fn dump(target: &Target, mode: &[&str], left_out: &[&str]) -> Vec<u8> {
    let mut command = target.mariadb("mariadb-dump");
    command.args(["--skip-dump-date", "--skip-comments", "--triggers"]).args(mode);
    command.args(left_out.iter().map(|table| format!("--ignore-table={}.{table}", target.database)));
    succeed(command.arg(&target.database))
}

/// Cuts the lines of `status` that differ from run to run after their beginnings.
fn without_the_moment(output: &[u8]) -> Vec<u8> {
    let cut = |line: &[u8]| -> Vec<u8> {
        let masked = STATUS_LINES.iter().find(|start| line.starts_with(start.as_bytes()));
        masked.map_or(line.to_vec(), |start| start.as_bytes().to_vec())
    };
    output.split(|&byte| byte == b'\n').map(cut).collect::<Vec<_>>().join(&b'\n')
}

/// Installs mysql2, unless this very `package.json` is installed already.
pub fn node_modules() -> PathBuf {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    let install = || {
        let home = build_folder("node");
        let (wanted, done) = (folder().join("node/package.json"), home.join("installed.json"));
        let wanted = fs::read(&wanted).unwrap_or_else(|error| panic!("{}: {error}", wanted.display()));
        if fs::read(&done).ok().as_ref() != Some(&wanted) {
            fs::write(home.join("package.json"), &wanted).expect("written");
            let mut command = timed(BUILD_TIMEOUT_S, "npm");
            command.args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--omit=peer"]);
            succeed(command.current_dir(&home));
            fs::write(done, wanted).expect("written");
        }
        home.join("node_modules")
    };
    INSTALLED.get_or_init(install).clone()
}

/// Builds the program with Debian's driver: no modules, nothing from the network.
fn go_program() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let home = build_folder("go");
        let program = home.join("drivers");
        let mut command = timed(BUILD_TIMEOUT_S, "go");
        command.args(["build", "-o"]).arg(&program).arg(".").current_dir(folder().join("go"));
        command.env("GO111MODULE", "off").env("GOFLAGS", "").env("GOPATH", GO_PATH);
        succeed(command.env("GOCACHE", home.join("cache")));
        program
    };
    BUILT.get_or_init(build).clone()
}

fn build_folder(name: &str) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("drivers").join(name);
    fs::create_dir_all(&home).unwrap_or_else(|error| panic!("{}: {error}", home.display()));
    home
}

pub fn open(file: &Path) -> Stdio {
    File::open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())).into()
}

/// `program` under a time limit: what a proxy gets wrong shows often as a client that waits for ever.
pub fn timed(seconds: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", seconds]).arg(program).stdin(Stdio::null());
    command
}

/// What a program printed; it has to succeed.
pub fn succeed(command: &mut Command) -> Vec<u8> {
    finish(command).stdout
}

/// Runs a program to its end; it has to succeed.
fn finish(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    if output.status.success() {
        return output;
    }
    let reason = match output.status.code() {
        Some(124 | 137) => "ran into its time limit".to_owned(),
        Some(127) => "is not installed (`make deps` installs what is missing)".to_owned(),
        _ => output.status.to_string(),
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = printed.lines().collect();
    let last = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
    panic!("{command:?}: {reason}\n{last}\n{}", String::from_utf8_lossy(&output.stderr));
}
