//! Runs every `fixtures/*.slt`.

fn main() {}
