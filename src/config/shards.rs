//! `[[shards]]`: servers that have shards for themselves. Each becomes a cluster behind the one of `[backend]`, with its settings.

use super::document::Document;
use super::model::{Circuit, Cluster};
use super::password::Env;
use super::problem::Reason;
use super::replicas::{Base, replicas, server};
use super::section::Section;
use super::sharding::{COPIES_MAX, Sharding};

/// Why a server of shards can't be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ShardsError {
    #[error("the section of line {0} has the same name")]
    DuplicateName(usize),
    #[error("is the name of [backend] in metrics: use another one")]
    Reserved,
    #[error("the key is missing, or names no shard: which are on this server?")]
    NoIndexes,
    #[error("\"{0}\" is no number of a shard")]
    NotAnIndex(String),
    #[error("no rule has a shard {0}: they count from 0")]
    NoSuchShard(u32),
    #[error("shard {shard} is named on line {line} as well: it is on one server")]
    DuplicateIndex { shard: u32, line: usize },
    #[error("shard {0} is on no server: with [[shards]], each shard of each rule is named in one of them")]
    Missing(u32),
    #[error("there can be at most {COPIES_MAX} servers where [sharding_defaults] has global_tables")]
    TooMany,
    #[error("is for a server: give host, or unix_socket")]
    NoServer,
}

/// The clusters of all servers, `home` first.
pub(super) fn with_shards(
    document: &Document<'_>,
    mut home: Cluster,
    base: &Base<'_>,
    known: &mut Vec<String>,
    env: Env<'_>,
) -> Vec<Cluster> {
    let sections = Section::open_all(document, "shards");
    let shards = home.sharding.rules.iter().map(|rule| rule.shards).max().unwrap_or(0);
    // The line of the section that has a shard, and its cluster.
    let mut places: Vec<Option<(usize, usize)>> = vec![None; shards as usize];
    let mut names: Vec<(String, usize)> = Vec::new();
    let mut further = Vec::new();
    for section in &sections {
        let name = name(section, &mut names);
        let is_server = section.gives("host") || section.gives("unix_socket");
        let cluster = if is_server { further.len() + 1 } else { 0 };
        take_indexes(section, cluster, &mut places);
        if is_server {
            further.push(cluster_of(section, name, &home, base, known, env));
        } else {
            refuse_without_server(section);
        }
    }
    if let Some(first) = sections.first()
        && document.sound(&["shards.indexes", "sharding.shard_count", "sharding.boundaries"])
        && let Some(missing) = (0..).zip(&places).find(|(_, place)| place.is_none()).map(|(shard, _)| shard)
    {
        refuse(first, "indexes", ShardsError::Missing(missing));
    }
    if further.len() >= COPIES_MAX
        && !home.sharding.global_tables.is_empty()
        && let Some(last) = sections.last()
    {
        refuse(last, "name", ShardsError::TooMany);
    }
    if !further.is_empty() {
        home.sharding.servers = places.iter().map(|place| place.map_or(0, |(_, cluster)| cluster)).collect();
    }
    std::iter::once(home).chain(further).collect()
}

fn refuse(section: &Section<'_>, name: &str, error: ShardsError) {
    section.refuse(name, Reason::Shards(error));
}

fn name(section: &Section<'_>, names: &mut Vec<(String, usize)>) -> String {
    let name = section.name("name").unwrap_or_default();
    if name == "default" {
        refuse(section, "name", ShardsError::Reserved);
    }
    if let Some((_, line)) = names.iter().find(|(known, _)| *known == name && !name.is_empty()) {
        refuse(section, "name", ShardsError::DuplicateName(*line));
    }
    names.push((name.clone(), section.line));
    name
}

fn take_indexes(section: &Section<'_>, cluster: usize, places: &mut [Option<(usize, usize)>]) {
    let texts = section.scalars("indexes").unwrap_or_default();
    if texts.is_empty() && section.is_sound(&["indexes"]) {
        refuse(section, "indexes", ShardsError::NoIndexes);
    }
    for text in texts {
        let Ok(shard) = text.parse::<u32>() else {
            refuse(section, "indexes", ShardsError::NotAnIndex(text));
            continue;
        };
        match places.get_mut(shard as usize) {
            None => refuse(section, "indexes", ShardsError::NoSuchShard(shard)),
            Some(Some((line, _))) => {
                refuse(section, "indexes", ShardsError::DuplicateIndex { shard, line: *line });
            }
            Some(place) => *place = Some((section.line, cluster)),
        }
    }
}

fn cluster_of(
    section: &Section<'_>,
    name: String,
    home: &Cluster,
    base: &Base<'_>,
    known: &mut Vec<String>,
    env: Env<'_>,
) -> Cluster {
    let own = server(section, base, env);
    let primary = own.instance.clone();
    if known.contains(&primary.to_string()) {
        section.refuse("host", Reason::DuplicateInstance(primary.to_string()));
    }
    known.push(primary.to_string());
    Cluster {
        name,
        replicas: replicas(&section.open_inner("shards.replicas"), &own, known, env),
        primary,
        accounts: Vec::new(),
        pool: home.pool.clone(),
        // Statements are counted by shards, wherever these are.
        circuit: Circuit { enabled: false, overrides: Vec::new(), ..home.circuit.clone() },
        routing: home.routing.clone(),
        health: home.health.clone(),
        sharding: Sharding {
            rules: Vec::new(),
            servers: Vec::new(),
            global_tables: Vec::new(),
            ..home.sharding.clone()
        },
    }
}

/// Without a server it says that these shards are on `[backend]`, and nothing else.
fn refuse_without_server(section: &Section<'_>) {
    const OF_SERVER: [&str; 10] =
        ["port", "user", "password", "password_file", "password_env", "database", "tls", "ca", "cert", "key"];
    for name in OF_SERVER.into_iter().filter(|name| section.gives(name)) {
        refuse(section, name, ShardsError::NoServer);
    }
    if section.gives("replicas") {
        refuse(section, "replicas", ShardsError::NoServer);
    }
}
