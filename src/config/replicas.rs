//! The servers beside the primary: where they are, which statements they get, how they are looked after.

use super::document::Document;
use super::model::{BackendLogin, Health, Instance, ReadYourWrites, Replica, ReplicaChoice, Routing};
use super::password::{self, Env};
use super::problem::Reason;
use super::resolve::{place, routines};
use super::section::Section;
use super::tls;

/// What says how links are encrypted.
const OF_TLS: [&str; 4] = ["tls", "ca", "cert", "key"];

/// Words of `tls` for a server that is reached as the one that it belongs to.
const AS_BASE: [&str; 2] = ["as_backend", "as_shard"];

/// What a server takes over from another one, where its own section says nothing.
pub(super) struct Base<'a> {
    pub instance: Instance,
    /// The section that says how its links are encrypted.
    pub tls: Section<'a>,
}

/// The replicas of a server, each in a section of its own. None of them is among the servers that are `known`.
pub(super) fn replicas(
    sections: &[Section<'_>],
    base: &Base<'_>,
    known: &mut Vec<String>,
    env: Env<'_>,
) -> Vec<Replica> {
    let replicas = sections.iter().map(|section| {
        let group = Section::open(section.document, "routing").name("group");
        let Base { instance, .. } = server(section, base, env);
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

/// As `base`, but for what is given.
pub(super) fn server<'a>(section: &Section<'a>, base: &Base<'a>, env: Env<'_>) -> Base<'a> {
    let (host, unix_socket) = place(section);
    let gives_password = password::OWN.iter().any(|way| section.gives(way));
    let user = section.name("user");
    let password = match user.is_some() || gives_password {
        true => password::resolve(section, env),
        false => base.instance.password.clone(),
    };
    let as_base = AS_BASE.contains(&section.choice("tls"));
    if as_base {
        for file in ["ca", "cert", "key"].into_iter().filter(|file| section.gives(file)) {
            section.refuse(file, Reason::Needs("tls"));
        }
    }
    let of_tls = if as_base { base.tls.clone() } else { section.clone() };
    let tls = match !as_base || of_tls.is_sound(&OF_TLS) {
        true => tls::of_links(&of_tls, &host, unix_socket.is_some()),
        false => base.instance.tls.clone(),
    };
    if section.name("database").is_some_and(|database| base.instance.database.as_ref() != Some(&database)) {
        section.refuse("database", Reason::OtherDatabase);
    }
    let instance = Instance {
        tls,
        host,
        port: section.port("port").unwrap_or_default(),
        unix_socket,
        compression: base.instance.compression,
        proxy_protocol: base.instance.proxy_protocol,
        user: user.unwrap_or_else(|| base.instance.user.clone()),
        password,
        database: base.instance.database.clone(),
    };
    Base { instance, tls: of_tls }
}

/// `[routing]`.
pub(super) fn routing(document: &Document<'_>) -> Routing {
    let section = Section::open(document, "routing");
    let read_write_split = section.flag("read_write_split");
    let of_shards = Section::open_all(document, "shards").into_iter();
    let of_shards = of_shards.flat_map(|shard| shard.open_inner("shards.replicas"));
    let replicas: Vec<_> =
        Section::open_all(document, "backend.replicas").into_iter().chain(of_shards).collect();
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
