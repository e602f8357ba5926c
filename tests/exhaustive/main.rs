//! All sequences of the actions of three people and an admin, to a depth, on a pinned clock.
//!
//! The search goes by levels. States are told apart by their content, with times relative to the clock, so that two
//! sequences that lead to the same state are continued once. In each state:
//!
//! - `integrity_violations` is empty;
//! - no action and no read of any person is refused with a status that its route does not have;
//! - an upload is refused before its body is collected as it is refused after that;
//! - what clients see before a sweep is what they see after it;
//! - a step of the wall clock changes nothing but the times.
//!
//! The long round has sequences that are longer by one: `cargo slow all_longer_sequences`. `EXHAUSTIVE_MORE` sets by how
//! many.

mod actions;
mod content;
mod routes;
mod search;
mod views;

use crate::search::{Report, Scenario, search};

/// Searches all scenarios at once, a thread each.
fn search_all(more: usize) {
    let reports: Vec<Report> = std::thread::scope(|scope| {
        let searches = Scenario::ALL.map(|scenario| scope.spawn(move || search(scenario, more)));
        searches.into_iter().map(|search| search.join().unwrap()).collect()
    });
    for report in &reports {
        report.print();
    }
    println!("{} states", reports.iter().map(Report::states).sum::<usize>());
}

#[test]
fn all_sequences_keep_the_promises() {
    search_all(0);
}

#[test]
#[ignore = "takes many minutes"]
fn all_longer_sequences_keep_the_promises() {
    search_all(std::env::var("EXHAUSTIVE_MORE").map_or(1, |more| more.parse().unwrap()));
}
