//! HTTPS, other networks, and signals that come in another order.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::{Browser, Media};
use crate::stage::Stage;
use crate::support::Server;

#[tokio::test]
async fn over_https_the_page_is_secure_and_so_is_its_cookie() {
    let (stage, server) = (Stage::open().await, Server::start_in(TempDir::new().unwrap(), &["--tls-self-signed"]));
    assert!(server.url.starts_with("https:"));
    server.run(&["user", "add", "alice"], "rabbit hole");
    let bob = stage.person(&server, "bob", "/").await;
    let alice = stage.browser("alice").await;
    alice.client.goto(&server.url).await.unwrap();
    alice.write("#username", "alice").await;
    alice.write("#password", "rabbit hole").await;
    alice.click("#sign-in").await;
    alice.sees("[data-view=lobby]").await;
    let cookies = alice.command("Network.getCookies", json!({})).await["cookies"].take();
    assert_eq!(cookies.as_array().unwrap().len(), 1, "{cookies}");
    for (name, value) in
        [("name", json!("session")), ("secure", json!(true)), ("httpOnly", json!(true)), ("sameSite", json!("Strict"))]
    {
        assert_eq!(cookies[0][name], value, "{name} in {cookies}");
    }
    assert_eq!(alice.script("return document.cookie").await, json!(""));

    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    for one in [&alice, &bob] {
        assert_eq!(one.script("return isSecureContext && location.protocol").await, json!("https:"));
        one.receives(1, Media::Both).await;
    }
    stage.finish([&alice, &bob]).await;
}

/// The names that a browser's newest connection has for its ends; an ICE restart gives new ones.
async fn ends(browser: &Browser) -> Value {
    browser
        .script(
            "const { localDescription, remoteDescription } = window.connections.at(-1);
             return [localDescription, remoteDescription].map(({ sdp }) => sdp.match(/a=ice-ufrag:(\\S+)/)[1]);",
        )
        .await
}

/// What a browser says when its machine is on another network.
const OTHER_NETWORK: &str = "window.dispatchEvent(new Event('online'))";

#[tokio::test]
async fn after_a_change_of_network_a_new_way_is_found_and_the_talk_goes_on() {
    let (stage, server) = (Stage::open().await, Server::start());
    let [alice, bob] = stage.people(&server, ["alice", "bob"]).await;
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    for one in [&alice, &bob] {
        one.receives(1, Media::Both).await;
    }
    // One after the other, and at last both at once, whose offers may cross.
    for changed in [vec![&alice], vec![&bob], vec![&alice, &bob]] {
        let before = ends(&bob).await;
        for one in changed {
            one.script(OTHER_NETWORK).await;
        }
        bob.until(&format!(
            "window.connections.at(-1).remoteDescription && window.connections.at(-1).signalingState === 'stable' && \
             [{}].every((name) => [window.connections.at(-1).localDescription, window.connections.at(-1).remoteDescription] \
             .every(({{ sdp }}) => !sdp.includes(name)))",
            before.as_array().unwrap().iter().map(Value::to_string).collect::<Vec<_>>().join(", ")
        ))
        .await;
        for one in [&alice, &bob] {
            one.receives(1, Media::Both).await;
        }
        let (here, there) = (ends(&alice).await, ends(&bob).await);
        assert_eq!((&here[0], &here[1]), (&there[1], &there[0]), "both mean the same way");
    }
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls WHERE state = 'active'"), 1);
    stage.finish([&alice, &bob]).await;
}

/// Two clients in one page, whose signals the test hands over: of each one all the candidates first, and then the description
/// that they belong to.
const CANDIDATES_FIRST: &str = r#"
    const done = arguments[0];
    (async () => {
        const { Mesh } = await import("/web/mesh.js");
        const camera = await navigator.mediaDevices.getUserMedia({ video: true });
        let sent = [];
        const meshes = {};
        window.fetch = async (path, { body }) => {
            sent.push({ from: path.slice(1), ...JSON.parse(body) });
            return new Response("{}");
        };
        for (const me of ["alice", "bob"]) {
            meshes[me] = new Mesh({
                me, path: `/${me}`, iceServers: [], streams: { camera: camera.id },
                equip: (peer) => me === "alice" && peer.sendTrack("camera", camera.getVideoTracks()[0], camera),
            });
        }
        meshes.alice.connect("bob");
        const counts = [];
        for (const [index, to, wanted] of [[0, "bob", "offer"], [1, "alice", "answer"]]) {
            const complete = () => window.connections[index]?.iceGatheringState === "complete";
            while (!complete() || !sent.some(({ type }) => type === "ice_candidate")) {
                await new Promise((resolve) => setTimeout(resolve, 20));
            }
            const [description, ...candidates] = sent;
            sent = [];
            if (description.type !== wanted || candidates.some(({ type }) => type !== "ice_candidate")) {
                throw new Error(`another order: ${description.type}`);
            }
            for (const signal of [...candidates, description]) {
                meshes[to].receive(signal);
                await new Promise((resolve) => setTimeout(resolve, 20));
            }
            counts.push(candidates.length);
        }
        return counts;
    })().then(done, (error) => done(String(error)));"#;

/// Where the other side is, as each connection of a page was told.
const TOLD: &str = r#"
    const done = arguments[0];
    Promise.all(window.connections.map((one) => one.getStats())).then((all) => done(all.map((stats) =>
        [...stats.values()].filter(({ type, candidateType }) => type === "remote-candidate" && candidateType === "host").length)));"#;

#[tokio::test]
async fn candidates_that_come_before_their_offer_are_kept_for_it() {
    let (stage, server) = (Stage::open().await, Server::start());
    let browser = stage.browser("alice").await;
    browser.client.goto(&server.url).await.unwrap();
    browser.sees("#sign-in").await;
    let result = browser.client.execute_async(CANDIDATES_FIRST, vec![]).await.unwrap();
    let counts: Vec<u64> = serde_json::from_value(result).expect("how many candidates there were");
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    // Both ends of the connection are in this page.
    browser.receives(2, Media::Picture).await;
    // Somebody who had lost the candidates could still be found by the other side, at an address that nobody had told.
    let told: Vec<u64> = serde_json::from_value(browser.client.execute_async(TOLD, vec![]).await.unwrap()).unwrap();
    assert!(told.len() == 2 && told.iter().all(|count| *count > 0), "{told:?} of {counts:?}");
    stage.finish([&browser]).await;
}
