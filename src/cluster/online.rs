//! Who is online at which member: each informs the others, so that people see each other wherever their event streams are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::shared::Shared;
use super::wire::{Ask, Wire};

/// How soon the others learn of a change.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often the others are informed without a change.
const REPEAT_INTERVAL: Duration = Duration::from_secs(3);

/// After this time without a word of a member, its people count as gone.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// The people who are online here, and at the other members.
#[derive(Debug, Default)]
pub(super) struct Online {
    here: Mutex<Vec<String>>,
    elsewhere: Mutex<HashMap<u64, (Instant, Vec<String>)>>,
}

impl Online {
    /// These people are online here.
    pub(super) fn set_here(&self, people: Vec<String>) {
        *self.here.lock().unwrap_or_else(PoisonError::into_inner) = people;
    }

    /// These people are online at another member.
    pub(super) fn hear(&self, node: u64, people: Vec<String>) {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner).insert(node, (Instant::now(), people));
    }

    /// The people who are online at other members.
    pub(super) fn elsewhere(&self) -> Vec<String> {
        let elsewhere = self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = elsewhere.values().filter(|(at, _)| at.elapsed() < FORGOTTEN_AFTER);
        heard.flat_map(|(_, people)| people.iter().cloned()).collect()
    }
}

/// Informs the other members, as long as this one runs.
pub(super) async fn inform_others(shared: Arc<Shared>) {
    let mut wires: HashMap<u64, (String, Wire)> = HashMap::new();
    let (mut sent, mut sent_at) = (Vec::new(), Instant::now());
    loop {
        sleep(INTERVAL).await;
        let people = shared.online.here.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if people == sent && sent_at.elapsed() < REPEAT_INTERVAL {
            continue;
        }
        let Some(metrics) = shared.metrics() else { continue };
        let members: HashMap<u64, String> = metrics
            .membership_config
            .nodes()
            .filter(|(node, _)| **node != shared.node)
            .map(|(node, member)| (*node, member.addr.clone()))
            .collect();
        wires.retain(|node, (address, _)| members.get(node) == Some(address));
        for (node, address) in members {
            wires.entry(node).or_insert_with(|| (address.clone(), Wire::new(address, shared.tls.clone())));
        }
        let (hello, ask) = (shared.hello(), Ask::Online(people.clone()));
        // One that does not answer is informed again soon.
        join_all(wires.values_mut().map(|(_, wire)| timeout(INTERVAL, wire.ask(&hello, &ask)))).await;
        (sent, sent_at) = (people, Instant::now());
    }
}
