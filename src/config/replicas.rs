//! The servers beside the primary: where they are, which statements they get, how they are looked after.

use super::document::Document;
use super::model::{BackendLogin, Health, Instance, ReadYourWrites, Replica, ReplicaChoice, Routing};
use super::password::{self, Env};
use super::problem::Reason;
use super::resolve::{place, routines};
use super::section::Section;
use super::tls;

/// What a replica takes over from `[backend]` with its `tls`.
const TLS_OF_BACKEND: [&str; 4] = ["backend.tls", "backend.ca", "backend.cert", "backend.key"];

/// The `[[backend.replicas]]`.
pub(super) fn replicas(document: &Document<'_>, primary: &Instance, env: Env<'_>) -> Vec<Replica> {
    let group = Section::open(document, "routing").name("group");
    let sections = Section::open_all(document, "backend.replicas");
    let mut known = vec![primary.to_string()];
    let replicas = sections.iter().map(|section| {
        let instance = instance(section, primary, env);
        if known.contains(&instance.to_string()) {
            section.refuse("host", Reason::DuplicateInstance(instance.to_string()));
        }
        known.push(instance.to_string());
        Replica {
            instance,
            weight: u32::try_from(section.number("weight")).unwrap_or(u32::MAX),
            is_near: group.is_some() && section.name("group") == group,
            draining: section.flag("draining"),
        }
    });
    replicas.collect()
}

/// As `[backend]`, but for what is given.
fn instance(section: &Section<'_>, primary: &Instance, env: Env<'_>) -> Instance {
    let (host, unix_socket) = place(section);
    let gives_password = password::OWN.iter().any(|way| section.gives(way));
    let user = section.name("user");
    let password = match user.is_some() || gives_password {
        true => password::resolve(section, env),
        false => primary.password.clone(),
    };
    let tls = match section.choice("tls") {
        "as_backend" => {
            for file in ["ca", "cert", "key"].into_iter().filter(|file| section.gives(file)) {
                section.refuse(file, Reason::Needs("tls"));
            }
            let of_backend = Section::open(section.document, "backend");
            match section.document.sound(&TLS_OF_BACKEND) {
                true => tls::of_links(&of_backend, &host, unix_socket.is_some()),
                false => primary.tls.clone(),
            }
        }
        _ => tls::of_links(section, &host, unix_socket.is_some()),
    };
    if section.name("database").is_some_and(|database| primary.database.as_ref() != Some(&database)) {
        section.refuse("database", Reason::OtherDatabase);
    }
    Instance {
        tls,
        host,
        port: section.port("port").unwrap_or_default(),
        unix_socket,
        compression: primary.compression,
        proxy_protocol: primary.proxy_protocol,
        user: user.unwrap_or_else(|| primary.user.clone()),
        password,
        database: primary.database.clone(),
    }
}

/// `[routing]`.
pub(super) fn routing(document: &Document<'_>) -> Routing {
    let section = Section::open(document, "routing");
    let read_write_split = section.flag("read_write_split");
    let replicas = Section::open_all(document, "backend.replicas");
    if read_write_split && replicas.is_empty() {
        section.refuse("read_write_split", Reason::NoReplicas);
    }
    for user in Section::open_all(document, "users") {
        if user.choice("routing") == "split" && replicas.is_empty() {
            user.refuse("routing", Reason::NoReplicas);
        }
    }
    Routing {
        read_write_split,
        read_your_writes: match section.choice("read_your_writes") {
            "off" => ReadYourWrites::Off,
            "global" => ReadYourWrites::Global,
            _ => ReadYourWrites::Session,
        },
        read_your_writes_timeout: section.millis("read_your_writes_timeout_ms"),
        max_replica_lag: section.millis("max_replica_lag_ms"),
        fails_without_replica: section.choice("no_replica") == "error",
        replica_choice: match section.choice("replica_choice") {
            "least_outstanding" => ReplicaChoice::LeastOutstanding,
            "latency" => ReplicaChoice::Latency,
            _ => ReplicaChoice::Weighted,
        },
        splits_transactions: section.choice("read_only_transactions") == "replica",
        read_only_routines: routines(&section, "read_only_routines"),
        failover_wait: section.millis("failover_wait_ms"),
    }
}

/// `[health]`.
pub(super) fn health(section: &Section<'_>, env: Env<'_>) -> Health {
    let user = section.name("user");
    if user.is_none() {
        for way in password::OWN.into_iter().filter(|way| section.gives(way)) {
            section.refuse(way, Reason::Needs("user"));
        }
    }
    Health {
        interval: section.millis("interval_ms"),
        timeout: section.millis("timeout_ms"),
        failures: section.count("failures"),
        recoveries: section.count("recoveries"),
        account: user.map(|user| BackendLogin { user, password: password::resolve(section, env) }),
    }
}
