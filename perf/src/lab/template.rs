//! The template: an initialised data folder with the lab's accounts, made once and copied for every server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::{Mutex, PoisonError};

use super::server::Server;
use super::{
    APP_PASSWORD, APP_USER, Flavor, Installation, REPLICATION_PASSWORD, REPLICATION_USER, ServerOptions,
};
use crate::error::{Error, Result};
use crate::process::run;

/// What an application may do: everything but administration, so that `read_only` and resource limits hold for it.
const APP_PRIVILEGES: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX, ALTER, REFERENCES, \
    CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, \
    TRIGGER, EVENT, PROCESS, RELOAD";

/// Copies the installation's template to `data`, making the template first where there is none.
pub(super) fn copy_to(installation: &Installation, data: &Path) -> Result<()> {
    let template = ensure(installation)?;
    run(Command::new("cp").args(["-a", "--reflink=auto", "--sparse=auto"]).arg(&template).arg(data)).map(drop)
}

fn ensure(installation: &Installation) -> Result<PathBuf> {
    // Threads of one process wait for the first. Two processes may both build one: the first to rename its own wins.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _guard = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let template = installation.home().join(installation.template_name());
    if template.is_dir() {
        return Ok(template);
    }
    // Named like a lab, so that the remains of an interrupted build are swept as one.
    let work = installation.home().join(format!("building-{}-0", process::id()));
    let _ = fs::remove_dir_all(&work);
    build(installation, &work)?;
    if fs::rename(work.join("data"), &template).is_err() && !template.is_dir() {
        return Err(Error::Unexpected(format!("cannot move the template to {}", template.display())));
    }
    fs::remove_dir_all(&work).map_err(Error::file(&work))?;
    Ok(template)
}

fn build(installation: &Installation, work: &Path) -> Result<()> {
    let (data, tmp) = (work.join("data"), work.join("tmp"));
    for folder in [&data, &tmp] {
        fs::create_dir_all(folder).map_err(Error::file(folder))?;
    }
    installation.initialise(&data, &tmp)?;
    let server = Server::start_on(installation, work, ServerOptions::default())?;
    server.socket_client().run(&accounts(installation.flavor()))?;
    server.stop()?;
    // Every MySQL needs a UUID of its own; it writes the file again when it is missing.
    for name in ["auto.cnf", "server.log"] {
        let file = data.join(name);
        if file.exists() {
            fs::remove_file(&file).map_err(Error::file(&file))?;
        }
    }
    Ok(())
}

fn accounts(flavor: Flavor) -> String {
    let mut sql = String::from("CREATE DATABASE IF NOT EXISTS test; CREATE DATABASE IF NOT EXISTS sbtest;");
    if flavor == Flavor::MariaDb {
        // An anonymous account of this host would be preferred to the accounts of any host.
        sql += "DELETE FROM mysql.global_priv WHERE User = ''; FLUSH PRIVILEGES;";
    }
    sql += "CREATE USER IF NOT EXISTS root@'127.0.0.1' IDENTIFIED BY ''; \
        GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;";
    sql += &format!(
        "CREATE USER {APP_USER}@'%' IDENTIFIED BY '{APP_PASSWORD}'; GRANT {APP_PRIVILEGES} ON *.* TO {APP_USER}@'%'; \
         CREATE USER {REPLICATION_USER}@'%' IDENTIFIED BY '{REPLICATION_PASSWORD}'; \
         GRANT REPLICATION SLAVE ON *.* TO {REPLICATION_USER}@'%';"
    );
    sql
}
