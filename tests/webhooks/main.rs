//! Webhooks: deliveries to receivers on loopback, with failures, restarts and kills in between.

#[path = "../support/mod.rs"]
mod support;

mod failures;
mod kills;
mod order;
mod receiver;
mod refused;
mod verified;

use std::time::Duration;

/// The timeout for what should happen at once.
const SOON: Duration = Duration::from_secs(10);
