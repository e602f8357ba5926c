//! Push: delivers the events of the log to the clients that may see them.
//!
//! The log in the database is the truth. The hub reads each new row once and delivers it to its subscribers. A client
//! that had no subscription, or was too slow, reads the log itself when it resumes. Presences are not in the log: the hub
//! knows who is connected, and reads the rest each second.

mod hub;
mod hub_loop;
mod messages;
mod presences;
mod subscribers;

pub use self::hub::{Hub, HubError, Subscription};
pub use self::messages::{Message, Page, first_page, newest_event, next_page};
pub use self::presences::Audience;
