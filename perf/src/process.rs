//! Child processes that never outlive their parent.
//!
//! Two nets hold them: dropping a [`Daemon`] ends its process, and the kernel kills the process when its parent dies some
//! other way (`setpriv --pdeathsig`). The kernel's "parent" is the *thread* that forked, and tests fork from threads that
//! end with the test, so all daemons are forked by one thread that lives as long as this process.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::error::{Error, Result};

/// How often a wait looks again.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How long threads may take to stop; a thread in the kernel's hands stops when it comes back from there.
const PAUSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a log an error message quotes, in bytes.
const LOG_TAIL: u64 = 4096;

/// A long-running child process, ended when this value is dropped. If it has ended before that and nobody knows, the end
/// of its log is shown: a test that fails meanwhile could only tell that nobody answered.
#[derive(Debug)]
pub struct Daemon {
    program: String,
    pid: u32,
    log: PathBuf,
    /// Signals are sent under this lock while the child is not yet reaped, so they can't hit a reused pid.
    child: Mutex<Running>,
    /// Whether somebody wanted it to end, or looked whether it has: then its end is no news.
    end_is_known: AtomicBool,
}

#[derive(Debug)]
enum Running {
    Yes(Child),
    Ended(ExitStatus),
}

impl Daemon {
    /// Starts `program` with `args`; its output is appended to the file `log`.
    ///
    /// # Errors
    /// When the log can't be opened or the program can't be started. A program that starts and ends at once is found out
    /// by [`Daemon::wait_ready`].
    pub fn start(program: &Path, args: &[String], log: &Path) -> Result<Self> {
        let name = program.display().to_string();
        let output = File::options().create(true).append(true).open(log).map_err(Error::file(log))?;
        let errors = output.try_clone().map_err(Error::file(log))?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(args);
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        // A group of its own: Ctrl-C at a terminal goes to this process, which then ends its daemons in order.
        command.process_group(0);
        let child =
            spawn_in_forker(command).map_err(|source| Error::Spawn { program: name.clone(), source })?;
        Ok(Self {
            program: name,
            pid: child.id(),
            log: log.to_owned(),
            child: Mutex::new(Running::Yes(child)),
            end_is_known: AtomicBool::new(false),
        })
    }

    /// The process id (of the program itself: the wrapper becomes it).
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The file that holds everything the process printed.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// How the process ended; `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        let status = self.status();
        if status.is_some() {
            self.end_is_known.store(true, Ordering::Relaxed);
        }
        status
    }

    fn status(&self) -> Option<ExitStatus> {
        let mut running = self.lock();
        if let Running::Yes(child) = &mut *running
            && let Ok(Some(status)) = child.try_wait()
        {
            *running = Running::Ended(status);
        }
        match &*running {
            Running::Yes(_) => None,
            Running::Ended(status) => Some(*status),
        }
    }

    /// Sends a signal; does nothing when the process has ended.
    pub fn signal(&self, signal: Signal) {
        if self.status().is_some() {
            return;
        }
        if matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGKILL) {
            self.end_is_known.store(true, Ordering::Relaxed);
        }
        let running = self.lock();
        if let (Running::Yes(_), Ok(pid)) = (&*running, i32::try_from(self.pid)) {
            // The only possible failure is "no such process", which is what the caller wants.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// SIGSTOP, and waits until every thread has stopped: until then one may still answer somebody.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
        let deadline = Instant::now() + PAUSE_TIMEOUT;
        while Instant::now() < deadline && !all_threads_stopped(self.pid) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for the end of the process; `None` when it still runs after `timeout`.
    pub fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        self.wait_for_end(timeout).and_then(|_| self.exit_status())
    }

    fn wait_for_end(&self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            let status = self.status();
            if status.is_some() || Instant::now() >= deadline {
                return status;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// SIGTERM, and SIGKILL when the process has not ended after `grace`.
    pub fn terminate(&self, grace: Duration) -> Option<ExitStatus> {
        self.signal(Signal::SIGTERM);
        // A stopped process does not see a SIGTERM before it goes on.
        self.signal(Signal::SIGCONT);
        self.wait_for_end(grace).or_else(|| self.kill())
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&self) -> Option<ExitStatus> {
        self.signal(Signal::SIGKILL);
        self.wait_for_end(Duration::from_secs(10))
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    /// [`Error::Start`] with the end of the log when the process ends first or `timeout` passes.
    pub fn wait_ready(&self, timeout: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.exit_status() {
                return Err(self.start_error(status.to_string()));
            }
            if ready() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.start_error(format!("not ready after {timeout:?}")));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    fn start_error(&self, reason: String) -> Error {
        Error::Start { program: self.program.clone(), reason, log: tail(&self.log) }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let known = self.end_is_known.load(Ordering::Relaxed);
        let before = self.status();
        let end = before.or_else(|| self.terminate(Duration::from_secs(5)));
        // One that is ending just now is as good as ended.
        if let Some(status) = end
            && !known
            && (before.is_some() || status.code().is_some_and(|code| code != 0))
        {
            eprintln!("{} has ended by itself ({status}):\n{}", self.program, tail(&self.log));
        }
    }
}

/// Whether every thread of `pid` is stopped (or there is none).
fn all_threads_stopped(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    tasks.flatten().all(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // The state follows the program's name in brackets, which may hold anything.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 't', 'Z', 'X']))
    })
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// [`Error::Spawn`] when it can't be started, [`Error::Failed`] with its error output when it fails.
pub fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Spawn { program: program.clone(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    // Some programs explain themselves on one, some on the other.
    let said = [output.stdout, output.stderr].concat();
    Err(Error::Failed {
        program,
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&said).trim().to_owned(),
    })
}

/// The full path of a program, looked for in `PATH` and in the folders for daemons, which a plain user's `PATH` lacks.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The file of a program that is built together with this one, unless another is `given`.
///
/// # Errors
/// [`Error::Missing`] when it is not there.
pub fn beside_this_program(name: &str, given: Option<PathBuf>) -> Result<PathBuf> {
    let file = match given {
        Some(file) => file,
        None => std::env::current_exe()
            .map_err(|source| Error::File { path: name.into(), source })?
            .with_file_name(name),
    };
    if file.is_file() { Ok(file) } else { Err(Error::Missing(file.display().to_string())) }
}

/// The end of a log file, for error messages.
pub(crate) fn tail(log: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(log) {
        let length = fs::metadata(log).map_or(0, |meta| meta.len());
        let read = file
            .seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))
            .and_then(|_| file.read_to_end(&mut text));
        if read.is_err() {
            text.clear();
        }
    }
    String::from_utf8_lossy(&text).trim().to_owned()
}

type SpawnJob = (Command, Sender<io::Result<Child>>);

fn spawn_in_forker(command: Command) -> io::Result<Child> {
    static FORKER: OnceLock<Mutex<Sender<SpawnJob>>> = OnceLock::new();
    let forker = FORKER.get_or_init(|| {
        let (jobs, inbox) = mpsc::channel::<SpawnJob>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                // Nobody waits for the answer only if the asking thread died; its child then ends with this process.
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(jobs)
    });
    let (answer, child) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    forker.lock().unwrap_or_else(PoisonError::into_inner).send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}
