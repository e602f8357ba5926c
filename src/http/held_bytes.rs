//! The bytes that the server holds for each person in memory: responses that they have not read yet, and uploads that
//! are not stored yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The bytes held for each person. Clones count together.
#[derive(Clone, Default)]
pub struct HeldBytes(Arc<Mutex<HashMap<String, u64>>>);

impl HeldBytes {
    fn by_person(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `limit` bytes are held for `person`. A limit of 0 is none.
    pub(super) fn is_full(&self, person: &str, limit: u64) -> bool {
        limit > 0 && self.by_person().get(person).is_some_and(|held| *held >= limit)
    }

    /// Holds `bytes` for `person` until the share is dropped. `None` if that would exceed `limit`; but one share alone
    /// is always granted, whatever its size. A limit of 0 is none.
    pub(super) fn hold(&self, person: &str, bytes: u64, limit: u64) -> Option<Share> {
        let mut by_person = self.by_person();
        let held = by_person.get(person).copied().unwrap_or(0);
        if limit > 0 && held > 0 && held.saturating_add(bytes) > limit {
            return None;
        }
        by_person.insert(person.to_owned(), held.saturating_add(bytes));
        Some(Share { held: self.clone(), person: person.to_owned(), bytes })
    }
}

/// Bytes that are held for a person. Dropping it releases them.
pub(super) struct Share {
    held: HeldBytes,
    person: String,
    bytes: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut by_person = self.held.by_person();
        if let Some(held) = by_person.get_mut(&self.person) {
            *held = held.saturating_sub(self.bytes);
            if *held == 0 {
                by_person.remove(&self.person);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_has_a_limit_and_at_least_one_share() {
        let held = HeldBytes::default();
        let large = held.hold("alice", 20, 10).expect("the first is granted");
        assert!(held.is_full("alice", 10) && held.hold("alice", 1, 10).is_none());
        assert!(!held.is_full("bob", 10));
        let _bobs = [held.hold("bob", 9, 10).unwrap(), held.hold("bob", 1, 10).unwrap()];
        assert!(held.hold("bob", 1, 10).is_none());
        assert!(held.hold("bob", 1, 0).is_some(), "0 is no limit");
        drop(large);
        assert!(held.hold("alice", 1, 10).is_some());
        assert_eq!(held.by_person().len(), 1, "who holds nothing takes no memory");
    }
}
