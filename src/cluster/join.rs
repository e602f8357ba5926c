//! How a machine becomes a member: the first one founds the cluster, and others are taken in by the leader.

use std::sync::Arc;
use std::time::Duration;

use super::ClusterError;
use super::shared::Shared;
use super::wire::{Ask, NotJoined, Reply, Wire};

/// How often a new machine asks the others.
const INTERVAL: Duration = Duration::from_millis(250);

/// What a new machine is to do.
enum Next {
    /// It is the first, and a majority is new, too.
    Found,
    /// It was taken in to the cluster of this name.
    Joined(String),
    /// Others are needed.
    Wait,
}

/// Waits until this new machine may found the cluster (`None`), or was taken in (its name).
///
/// # Errors
/// The others refuse it.
pub(super) async fn found_or_join(shared: &Arc<Shared>) -> Result<Option<String>, ClusterError> {
    let mut is_logged = false;
    loop {
        match next(shared).await? {
            Next::Found => return Ok(None),
            Next::Joined(name) => return Ok(Some(name)),
            Next::Wait if !is_logged => tracing::info!("waiting for the other members of the cluster"),
            Next::Wait => {}
        }
        is_logged = true;
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The lowest number founds the cluster. It must not do so if it has lost its file: then the others know a cluster. And it
/// must not accept writes that are on its own disk alone: so a majority has to be there.
async fn next(shared: &Arc<Shared>) -> Result<Next, ClusterError> {
    let members = &shared.file.members;
    let is_first = shared.file.is_first(shared.node);
    let own_address = members.get(&shared.node).cloned().unwrap_or_default();
    let (mut new, mut knows_cluster) = (1, false);
    for (node, address) in members.iter().filter(|(node, _)| **node != shared.node) {
        let mut wire = Wire::new(address.clone(), shared.tls.clone());
        let join = Ask::Join { node: shared.node, address: own_address.clone() };
        match wire.ask(&shared.hello(), &join).await {
            Ok(Reply::Joined(Ok(name))) => return Ok(Next::Joined(name)),
            Ok(Reply::Joined(Err(NotJoined::Refused(reason)))) => return Err(ClusterError::Refused(reason)),
            // It is new as well: it has no cluster to take anybody in.
            Ok(Reply::Refused(_)) => new += 1,
            Ok(_) => knows_cluster = true,
            Err(error) => tracing::debug!(node, error = %std::io::Error::from(error), "a member does not answer"),
        }
    }
    Ok(if is_first && !knows_cluster && new * 2 > members.len() { Next::Found } else { Next::Wait })
}
