//! Acknowledged writes survive a kill and a power loss at any instant.
//!
//! The long rounds: `cargo test --test durability -- --ignored --nocapture`. Random choices come from a printed seed;
//! `DURABILITY_SEED` repeats them. It does not repeat the scheduling of threads, so the files of a failed round are
//! kept.

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "a part of it is for the tests of HTTP")]
#[path = "../http/raw.rs"]
mod raw;

mod creation;
mod disk;
mod kill;
mod ledger;
mod load;
mod power;
mod recording;
mod standby;

/// The seed of all random choices: `DURABILITY_SEED`, or a new one. It is printed.
fn seed() -> u64 {
    let seed = std::env::var("DURABILITY_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("DURABILITY_SEED={seed}");
    seed
}
