//! Where many tests begin: people in the middle of something.

use serde_json::Value;

use crate::support::{Person, Server};

/// alice and bob, a call between them that bob has answered, and carol, who has nothing to do with it.
pub struct Talk {
    pub server: Server,
    pub alice: Person,
    pub bob: Person,
    pub carol: Person,
    pub call: String,
}

impl Talk {
    /// alice has called bob, and it rings.
    pub async fn ringing() -> Self {
        let server = Server::start();
        let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
        let call = alice.call("dm:alice:bob").await;
        Self { server, alice, bob, carol, call }
    }

    /// bob has answered.
    pub async fn active() -> Self {
        let talk = Self::ringing().await;
        assert_eq!(talk.bob.post(&talk.path("accept")).await.0, 200);
        talk
    }

    /// A path of this call.
    pub fn path(&self, what: &str) -> String {
        format!("/calls/{}/{what}", self.call)
    }

    /// The state as alice reads it.
    pub async fn state(&self) -> Value {
        self.alice.read(&self.path("state")).await
    }
}

/// The states of a call's participants as `GET /calls/ID/state` gives them: `alice accepted, bob pending`.
pub fn participants(state: &Value) -> String {
    let people = state["participants"].as_array().unwrap();
    let words: Vec<String> = people
        .iter()
        .map(|person| format!("{} {}", person["username"].as_str().unwrap(), person["state"].as_str().unwrap()))
        .collect();
    words.join(", ")
}

/// The names of the members of a JSON object, sorted.
pub fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
