//! Push: whoever listens is told what the event log says, as soon as it says so.
//!
//! The log in the database is the truth; what happens here is only that its new rows are read once and handed to those who
//! may see them. A listener that was not there, or was too slow, reads the log itself.

mod hub;
mod messages;

pub use self::hub::{Hub, Listener, Purpose};
pub use self::messages::{Message, Opening, opening};
