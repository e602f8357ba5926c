//! `cluster`: the members of a cluster, from its file to its end.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use super::output::{self, Columns};
use super::{CommandError, change};
use crate::cluster::{ClusterFile, LocalMember, OtherMember};
use crate::command_line::{Cluster, Output};
use crate::database::{Database, Value, Write, text};
use crate::statements::{self, Statement};

const MEMBERS: Columns =
    &[("NODE", "node"), ("ADDRESS", "address"), ("ROLE", "role"), ("APPLIED", "applied"), ("VERSION", "version")];

/// How long a member may take to leave. The leader looks twice a second, and its own leaving takes an election.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(15);

pub(super) fn run(path: &Path, command: Cluster) -> Result<(), CommandError> {
    match command {
        Cluster::Init { nodes, into } => {
            let count = nodes.len();
            let members: BTreeMap<u64, String> = nodes.into_iter().collect();
            let addresses: std::collections::BTreeSet<&String> = members.values().collect();
            if members.len() < count || addresses.len() < count {
                return Err(CommandError::Cluster("two members have the same number or address".to_owned()));
            }
            Ok(ClusterFile::create(&into, &members)?)
        }
        Cluster::Status(output) => status(path, output),
        Cluster::Add { node: (node, address) } => {
            let add = Write::new(&statements::ADD_MEMBER, [integer(node), text(address)]);
            change(&member(path)?, &subject(node), "added member", &[], add).map(drop)
        }
        Cluster::Remove { node } => vote_out(path, node, &statements::REMOVE_MEMBER, "removed member"),
        Cluster::Replace { node } => vote_out(path, node, &statements::REPLACE_MEMBER, "replaced member"),
        Cluster::Leave => Ok(Database::leave_cluster(path)?),
    }
}

fn subject(node: u64) -> String {
    format!("node {node}")
}

fn integer(node: u64) -> Value {
    Value::Integer(node.cast_signed())
}

/// The database of a member's file.
fn member(path: &Path) -> Result<Database, CommandError> {
    let database = Database::open_existing(path)?;
    if database.is_member() {
        return Ok(database);
    }
    Err(CommandError::Cluster(format!("{}: the file of a single server, not of a cluster's member", path.display())))
}

fn status(path: &Path, output: Output) -> Result<(), CommandError> {
    let members: Vec<String> = members(path)?.iter().map(|member| json!(member).to_string()).collect();
    output::print_items(&members, MEMBERS, output)
}

fn members(path: &Path) -> Result<Vec<OtherMember>, CommandError> {
    let status = LocalMember::of(path).status();
    let status = status.map_err(|error| {
        CommandError::Cluster(format!("{}: no member of a cluster answers on this file: {error}", path.display()))
    })?;
    Ok(status.members)
}

/// Stores that `node` leaves, and waits until it has.
fn vote_out(path: &Path, node: u64, statement: &'static Statement, what: &str) -> Result<(), CommandError> {
    let database = member(path)?;
    change(&database, &subject(node), what, &[], Write::new(statement, [integer(node)]))?;
    let deadline = Instant::now() + LEAVE_TIMEOUT;
    loop {
        let has_left = |member: &OtherMember| member.node != node || member.role == "missing";
        if members(path)?.iter().all(has_left) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let problem = format!("node {node} is still a member; the cluster needs a majority without it");
            return Err(CommandError::Cluster(problem));
        }
        sleep(Duration::from_millis(200));
    }
}
