//! How the clients are built, installed and run.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use athena_perf::lab::{APP_PASSWORD, APP_USER};

/// Seconds after which a client hangs; it needs a few on a machine that does nothing else.
const CLIENT_TIMEOUT_S: &str = "120";
/// Seconds for a compiler or an installation, which may have to fill a cache first.
pub const BUILD_TIMEOUT_S: &str = "900";
/// How much of the output of a client that failed is shown.
const LINES_SHOWN: usize = 20;
/// Debian's own Python, since another one on the path would not see Debian's packages.
const DEBIAN_PYTHON: &str = "/usr/bin/python3";
/// Where Debian's package puts MariaDB Connector/J.
const JAVA_DRIVER: &str = "/usr/share/java/mariadb-java-client.jar";
/// Where Debian's packages put the source of Go libraries.
const GO_PATH: &str = "/usr/share/gocode";
/// Lines of the client's `status` that tell of the connection and the moment, and whether there is TLS, which MySQL
/// offers of its own accord. Only their beginnings are compared.
const STATUS_LINES: [&str; 5] = ["Connection id:", "SSL:", "TCP port:", "Uptime:", "Threads:"];

/// Where a client connects to.
pub struct Target {
    port: u16,
    database: String,
    /// The working directory of the extras of the programs, with the files that they need.
    extras: Option<PathBuf>,
}

impl Target {
    pub fn new(port: u16, database: &str) -> Self {
        Self { port, database: database.to_owned(), extras: None }
    }

    /// The same server, another database.
    pub fn database(self, name: &str) -> Self {
        Self { database: name.to_owned(), ..self }
    }

    /// Asks for the extras, in the folder that has their files.
    pub fn extras(self, folder: PathBuf) -> Self {
        Self { extras: Some(folder), ..self }
    }

    /// Gives `command` the arguments of the programs below `tests/drivers/`.
    fn for_program<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.args(["127.0.0.1", &self.port.to_string(), APP_USER, APP_PASSWORD, &self.database]);
        if let Some(folder) = &self.extras {
            command.arg("extras").current_dir(folder);
        }
        command
    }

    /// As SQLAlchemy writes it.
    pub fn uri(&self, dialect: &str) -> String {
        format!("{dialect}://{APP_USER}:{APP_PASSWORD}@127.0.0.1:{}/{}", self.port, self.database)
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

/// PyMySQL.
pub fn pymysql(target: &Target) -> Vec<u8> {
    succeed(target.for_program(&mut python(DEBIAN_PYTHON, "python/main.py")))
}

/// mysqlclient, on MariaDB's C library.
pub fn mysqlclient(target: &Target) -> Vec<u8> {
    succeed(target.for_program(&mut python(DEBIAN_PYTHON, "mysqlclient/main.py")))
}

/// MySQL Connector/Python in one of its two implementations, `pure` or `extension`.
pub fn connector_python(target: &Target, implementation: &str) -> Vec<u8> {
    let mut command = python(python_environment(), "connector_python/main.py");
    succeed(target.for_program(command.arg(implementation)))
}

/// MariaDB Connector/J.
pub fn connector_j(target: &Target) -> Vec<u8> {
    let mut command = timed(CLIENT_TIMEOUT_S, "java");
    command.arg("-cp").arg(format!("{}:{JAVA_DRIVER}", java_classes().display()));
    succeed(target.for_program(command.arg("Main")))
}

/// mysql2.
pub fn mysql2(target: &Target) -> Vec<u8> {
    let mut command = timed(CLIENT_TIMEOUT_S, "node");
    command.arg(folder().join("node/main.js"));
    succeed(target.for_program(&mut command).env("NODE_PATH", node_modules()))
}

/// The Go driver.
pub fn go_driver(target: &Target) -> Vec<u8> {
    succeed(target.for_program(&mut timed(CLIENT_TIMEOUT_S, go_program())))
}

/// DBD::MariaDB. Debian's own Perl, since another one on the path would not see Debian's packages.
pub fn dbd_mariadb(target: &Target) -> Vec<u8> {
    let mut command = timed(CLIENT_TIMEOUT_S, "/usr/bin/perl");
    succeed(target.for_program(command.arg(folder().join("perl/main.pl"))))
}

/// mysql_async.
pub fn mysql_async(target: &Target) -> Vec<u8> {
    succeed(target.for_program(&mut timed(CLIENT_TIMEOUT_S, rust_program())))
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

/// Builds the Rust program, which is no part of Athena's workspace, into a folder of its own.
fn rust_program() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let home = build_folder("rust");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = timed(BUILD_TIMEOUT_S, cargo);
        command
            .args(["build", "--quiet", "--locked", "--manifest-path"])
            .arg(folder().join("rust/Cargo.toml"));
        succeed(command.arg("--target-dir").arg(&home));
        home.join("debug/athena-driver-mysql-async")
    };
    BUILT.get_or_init(build).clone()
}

/// Compiles the Java program with the compiler that is in every runtime, whether or not its command is installed.
fn java_classes() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let (home, sources) = (build_folder("java"), folder().join("java"));
        let mut command = timed(BUILD_TIMEOUT_S, "java");
        command.args([
            "-m",
            "jdk.compiler/com.sun.tools.javac.Main",
            "-encoding",
            "UTF-8",
            "-cp",
            JAVA_DRIVER,
            "-d",
        ]);
        succeed(command.arg(&home).args([sources.join("Main.java"), sources.join("Tell.java")]));
        home
    };
    BUILT.get_or_init(build).clone()
}

/// A Python with the packages of `requirements.txt` beside Debian's, unless that is installed already.
pub fn python_environment() -> PathBuf {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    let install = || {
        let home = build_folder("python");
        let (wanted, done) = (folder().join("python/requirements.txt"), home.join("installed.txt"));
        let environment = home.join("environment");
        let content = fs::read(&wanted).unwrap_or_else(|error| panic!("{}: {error}", wanted.display()));
        if fs::read(&done).ok().as_ref() != Some(&content) {
            let mut command = timed(BUILD_TIMEOUT_S, DEBIAN_PYTHON);
            succeed(command.args(["-m", "venv", "--clear", "--system-site-packages"]).arg(&environment));
            let mut command = timed(BUILD_TIMEOUT_S, environment.join("bin/pip"));
            command.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"]);
            succeed(command.arg(&wanted));
            fs::write(done, content).expect("written");
        }
        environment.join("bin/python3")
    };
    INSTALLED.get_or_init(install).clone()
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
    BUILT.get_or_init(|| go_build(&folder().join("go"), "drivers")).clone()
}

/// Builds the Go program in the folder `source`.
pub fn go_build(source: &Path, name: &str) -> PathBuf {
    let home = build_folder("go");
    let program = home.join(name);
    let mut command = timed(BUILD_TIMEOUT_S, "go");
    command.args(["build", "-o"]).arg(&program).arg(".").current_dir(source);
    command.env("GO111MODULE", "off").env("GOFLAGS", "").env("GOPATH", GO_PATH);
    succeed(command.env("GOCACHE", home.join("cache")));
    program
}

pub fn build_folder(name: &str) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("drivers").join(name);
    fs::create_dir_all(&home).unwrap_or_else(|error| panic!("{}: {error}", home.display()));
    home
}

pub fn open(file: &Path) -> Stdio {
    File::open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())).into()
}

/// A program of this folder that the interpreter runs; what several of them share is in `python`.
fn python(interpreter: impl AsRef<OsStr>, program: &str) -> Command {
    let mut command = timed(CLIENT_TIMEOUT_S, interpreter);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONPATH", folder().join("python"));
    command.arg("-u").arg(folder().join(program));
    command
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
pub fn finish(command: &mut Command) -> Output {
    finish_with(command, &[0])
}

/// Runs a program to its end, which has to be one of these exit codes.
pub fn finish_with(command: &mut Command, codes: &[i32]) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    if output.status.code().is_some_and(|code| codes.contains(&code)) {
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
