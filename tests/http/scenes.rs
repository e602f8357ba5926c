//! The situations in which many tests begin.

use serde_json::Value;

use crate::support::{Person, Server};

/// A server with alice, bob and carol, and a call from alice to bob.
pub struct Scene {
    pub server: Server,
    pub alice: Person,
    pub bob: Person,
    pub carol: Person,
    pub call: String,
}

impl Scene {
    /// The call rings.
    pub async fn ringing() -> Self {
        let server = Server::start();
        let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
        let call = alice.call("dm:alice:bob").await;
        Self { server, alice, bob, carol, call }
    }

    /// bob has accepted the call.
    pub async fn active() -> Self {
        let scene = Self::ringing().await;
        assert_eq!(scene.bob.post(&scene.path("accept")).await.0, 200);
        scene
    }

    /// A path below this call.
    pub fn path(&self, what: &str) -> String {
        format!("/calls/{}/{what}", self.call)
    }

    /// Makes a link of alice to a channel, and returns its token.
    pub async fn link(&self, channel: &str) -> String {
        let (status, link) = self.alice.post_json("/links", serde_json::json!({ "channel": channel })).await;
        assert_eq!(status, 200, "{link}");
        link["token"].as_str().unwrap().to_owned()
    }

    /// The state of the call, as alice reads it.
    pub async fn state(&self) -> Value {
        self.alice.read(&self.path("state")).await
    }
}

/// The states of a call's participants as `GET /calls/ID/state` gives them: `alice accepted, bob pending`.
pub fn participants(state: &Value) -> String {
    let people = state["participants"].as_array().unwrap();
    let states: Vec<String> = people
        .iter()
        .map(|person| format!("{} {}", person["username"].as_str().unwrap(), person["state"].as_str().unwrap()))
        .collect();
    states.join(", ")
}

/// The names of the members of a JSON object, sorted.
pub fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
