//! What was acknowledged is still there, whatever ended the server: a kill, or a power loss at any instant.
//!
//! The rounds of the normal run are short. The long ones: `cargo test --test durability -- --ignored --nocapture`. Random choices
//! come from a seed, which is printed, and which `DURABILITY_SEED` gives again; how threads take turns is not in it, so the files
//! in which a power loss under load has broken something are kept.

#[path = "../support/mod.rs"]
mod support;

// A client that knows the port it speaks from.
#[allow(dead_code)]
#[path = "../http/raw.rs"]
mod raw;

mod creation;
mod disk;
mod kill;
mod ledger;
mod load;
mod power;
mod recording;

/// The seed of all random choices: that of the variable, else a new one. It is printed, for whoever has to repeat a failure.
fn seed() -> u64 {
    let seed = std::env::var("DURABILITY_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("DURABILITY_SEED={seed}");
    seed
}
