//! HTTPS, network changes, and signals that arrive out of order.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::{Browser, Media};
use crate::driver::Driver;
use crate::support::Server;
use crate::support::certificates::{ca_file, sign};

#[tokio::test]
async fn https_makes_the_page_and_its_cookie_secure() {
    let (driver, server) = (Driver::start().await, Server::start_in(TempDir::new().unwrap(), &["--tls-self-signed"]));
    assert!(server.url.starts_with("https:"));
    server.run(&["user", "add", "alice"], "rabbit hole");
    let bob = driver.signed_in_at(&server, "bob", "/").await;
    let alice = driver.browser("alice").await;
    alice.client.goto(&server.url).await.unwrap();
    alice.type_into("#username", "alice").await;
    alice.type_into("#password", "rabbit hole").await;
    alice.click("#sign-in").await;
    alice.wait_visible("[data-view=lobby]").await;
    let cookies = alice.devtools("Network.getCookies", json!({})).await["cookies"].take();
    assert_eq!(cookies.as_array().unwrap().len(), 1, "{cookies}");
    for (name, value) in
        [("name", json!("session")), ("secure", json!(true)), ("httpOnly", json!(true)), ("sameSite", json!("Strict"))]
    {
        assert_eq!(cookies[0][name], value, "{name} in {cookies}");
    }
    assert_eq!(alice.script("return document.cookie").await, json!(""));

    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    for browser in [&alice, &bob] {
        assert_eq!(browser.script("return isSecureContext && location.protocol").await, json!("https:"));
        browser.wait_media(1, Media::Both).await;
    }
    driver.finish([&alice, &bob]).await;
}

/// Over HTTP/1.1, the event streams of six windows would take all connections that a browser opens to a server.
#[tokio::test]
async fn twelve_windows_work_over_https() {
    let (driver, server) = (Driver::start().await, Server::start_in(TempDir::new().unwrap(), &["--tls-self-signed"]));
    let alice = server.person("alice");
    let bob = driver.signed_in_at(&server, "bob", "/").await;
    for _ in 1..12 {
        let window = bob.client.new_window(true).await.unwrap();
        bob.client.switch_to_window(window.handle).await.unwrap();
        bob.client.goto(&server.url).await.unwrap();
        bob.wait_visible("[data-view=lobby]").await;
    }
    let protocol = bob.script("return performance.getEntriesByType('navigation')[0].nextHopProtocol").await;
    assert_eq!(protocol, json!("h2"));
    // A call rings in all of them.
    let windows = bob.client.windows().await.unwrap();
    assert_eq!(windows.len(), 12);
    let ring = alice.posting_json("/calls/initiate", json!({ "channel": "dm:alice:bob" }));
    let client = reqwest::Client::builder()
        .add_root_certificate(reqwest::Certificate::from_pem(ca_file(&server).as_bytes()).unwrap())
        .build()
        .unwrap();
    let (_, request) = ring.build_split();
    assert_eq!(client.execute(request.unwrap()).await.unwrap().status(), 200);
    for window in windows {
        bob.client.switch_to_window(window).await.unwrap();
        bob.wait_visible("[data-action=answer-video]").await;
    }
    driver.finish([&bob]).await;
}

/// The key of the CA could sign for any site. A browser that trusts the CA must not believe it.
#[tokio::test]
async fn the_ca_vouches_for_this_machine_alone() {
    let server = Server::start_in(TempDir::new().unwrap(), &["--tls-self-signed"]);
    let ca = ca_file(&server);
    let driver = Driver::start_trusting(&ca).await;
    let browser = driver.browser("alice").await;
    browser.client.goto(&server.url).await.unwrap();
    browser.wait_visible("#username").await;
    let folder = TempDir::new().unwrap();
    for (name, is_taken) in [("calls.local", true), ("example.com", false)] {
        let options = sign(&ca, &[name], folder.path());
        let other = Server::start_in(TempDir::new().unwrap(), &options.each_ref().map(String::as_str));
        // The driver may report the warning page as an error or not.
        let visit = browser.client.goto(&other.url.replace("127.0.0.1", name)).await;
        let is_page = browser.script("return document.querySelector('#username') !== null").await;
        assert_eq!(is_page, json!(is_taken), "{name}: {visit:?}");
        let text = browser.script("return document.body.innerText").await;
        assert_eq!(text.to_string().contains("ERR_CERT"), !is_taken, "{name}: {text}");
    }
    driver.finish([&browser]).await;
}

/// The ICE username fragments of the newest connection, local and remote; an ICE restart changes both.
async fn ice_fragments(browser: &Browser) -> Value {
    browser
        .script(
            "const { localDescription, remoteDescription } = window.connections.at(-1);
             return [localDescription, remoteDescription].map(({ sdp }) => sdp.match(/a=ice-ufrag:(\\S+)/)[1]);",
        )
        .await
}

/// The event of a network change.
const NETWORK_CHANGE: &str = "window.dispatchEvent(new Event('online'))";

#[tokio::test]
async fn network_change_restarts_ice_and_the_call_continues() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    for browser in [&alice, &bob] {
        browser.wait_media(1, Media::Both).await;
    }
    // One after the other, then both at once: their offers may cross.
    for changed in [vec![&alice], vec![&bob], vec![&alice, &bob]] {
        let before = ice_fragments(&bob).await;
        for browser in changed {
            browser.script(NETWORK_CHANGE).await;
        }
        bob.wait_until(&format!(
            "(({{ localDescription, remoteDescription, signalingState }}) => \
                 remoteDescription && signalingState === 'stable' && [{}].every((fragment) => \
                     !localDescription.sdp.includes(fragment) && !remoteDescription.sdp.includes(fragment)))\
             (window.connections.at(-1))",
            before.as_array().unwrap().iter().map(Value::to_string).collect::<Vec<_>>().join(", ")
        ))
        .await;
        for browser in [&alice, &bob] {
            browser.wait_media(1, Media::Both).await;
        }
        let (here, there) = (ice_fragments(&alice).await, ice_fragments(&bob).await);
        assert_eq!((&here[0], &here[1]), (&there[1], &there[0]), "both sides use the same connection");
    }
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls WHERE state = 'active'"), 1);
    driver.finish([&alice, &bob]).await;
}

/// Two clients in one page. The test delivers each one's candidates before the description that they belong to.
const CANDIDATES_FIRST: &str = r#"
    const done = arguments[0];
    (async () => {
        const { Mesh } = await import("/web/client/mesh.js");
        const { Api } = await import("/web/client/api.js");
        const api = new Api({ server: location.origin });
        const camera = await navigator.mediaDevices.getUserMedia({ video: true });
        let sent = [];
        const meshes = {};
        window.fetch = async (url, { body }) => {
            sent.push({ from: new URL(url).pathname.slice(1), ...JSON.parse(body) });
            return new Response("{}");
        };
        for (const me of ["alice", "bob"]) {
            meshes[me] = new Mesh({
                api, me, path: `/${me}`, iceServers: [], streams: { camera: camera.id },
                addMedia: (peer) => me === "alice" && peer.sendTrack("camera", camera.getVideoTracks()[0], camera),
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
                throw new Error(`unexpected order: ${description.type}`);
            }
            for (const signal of [...candidates, description]) {
                meshes[to].receive(signal);
                await new Promise((resolve) => setTimeout(resolve, 20));
            }
            counts.push(candidates.length);
        }
        return counts;
    })().then(done, (error) => done(String(error)));"#;

/// How many remote candidates each connection of the page has from signals.
const SIGNALLED_CANDIDATES: &str = r#"
    const done = arguments[0];
    const isSignalled = ({ type, candidateType }) => type === "remote-candidate" && candidateType === "host";
    Promise.all(window.connections.map((connection) => connection.getStats())).then((all) =>
        done(all.map((stats) => [...stats.values()].filter(isSignalled).length)));"#;

#[tokio::test]
async fn early_candidates_wait_for_their_description() {
    let (driver, server) = (Driver::start().await, Server::start());
    let browser = driver.browser("alice").await;
    browser.client.goto(&server.url).await.unwrap();
    browser.wait_visible("#sign-in").await;
    let result = browser.client.execute_async(CANDIDATES_FIRST, vec![]).await.unwrap();
    let counts: Vec<u64> = serde_json::from_value(result).expect("candidate counts");
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    // Both ends of the connection are in this page.
    browser.wait_media(2, Media::Video).await;
    // Without the candidates a connection could still come about, by peer-reflexive ones.
    let signalled: Vec<u64> =
        serde_json::from_value(browser.client.execute_async(SIGNALLED_CANDIDATES, vec![]).await.unwrap()).unwrap();
    assert!(signalled.len() == 2 && signalled.iter().all(|count| *count > 0), "{signalled:?} of {counts:?}");
    driver.finish([&browser]).await;
}

/// A mesh of ours, which is polite, and a client without sessions. Both restart ICE at once, so their offers cross.
/// Returns whether the mesh keeps its connection.
const CROSSING_OFFERS: &str = r#"
    const done = arguments[0];
    (async () => {
        const { Mesh } = await import("/web/client/mesh.js");
        const { Api } = await import("/web/client/api.js");
        const api = new Api({ server: location.origin });
        const camera = await navigator.mediaDevices.getUserMedia({ video: true });
        const other = new RTCPeerConnection();
        let isMakingOffer = false;
        let isIgnoringOffer = false;
        const send = (type, payload) => setTimeout(() => mesh.receive({ from: "bob", type, payload }), 20);
        const receive = async ({ type, payload }) => {
            if (type === "ice_candidate") {
                await other.addIceCandidate(payload).catch(() => {});
                return;
            }
            isIgnoringOffer = type === "offer" && (isMakingOffer || other.signalingState !== "stable");
            if (isIgnoringOffer) {
                return;
            }
            await other.setRemoteDescription({ type, sdp: payload.sdp });
            if (type === "offer") {
                await other.setLocalDescription();
                send("answer", other.localDescription.toJSON());
            }
        };
        other.onicecandidate = ({ candidate }) => candidate && send("ice_candidate", candidate.toJSON());
        other.onnegotiationneeded = async () => {
            isMakingOffer = true;
            await other.setLocalDescription();
            isMakingOffer = false;
            send("offer", other.localDescription.toJSON());
        };
        window.fetch = async (path, { body }) => {
            setTimeout(() => receive(JSON.parse(body)), 20);
            return new Response("{}");
        };
        const mesh = new Mesh({
            api, me: "alice", path: "/alice", iceServers: [], streams: { camera: camera.id },
            addMedia: (peer) => peer.sendTrack("camera", camera.getVideoTracks()[0], camera),
        });
        const until = async (condition) => {
            while (!condition()) {
                await new Promise((resolve) => setTimeout(resolve, 20));
            }
        };
        const fragments = () =>
            [other.localDescription, other.remoteDescription].map((one) => one?.sdp.match(/a=ice-ufrag:(\S+)/)[1]);
        const peer = mesh.connect("bob");
        await until(() => peer.state === "connected" && other.connectionState === "connected");
        const before = fragments();
        mesh.restart();
        other.restartIce();
        await until(() => other.signalingState === "stable" && fragments().every((one) => !before.includes(one)));
        await until(() => peer.state === "connected" && other.connectionState === "connected");
        return { keeps: mesh.peers.get("bob") === peer, connections: window.connections.length };
    })().then(done, (error) => done({ error: String(error) }));"#;

#[tokio::test]
async fn offers_that_cross_with_a_client_without_sessions_keep_the_connection() {
    let (driver, server) = (Driver::start().await, Server::start());
    let browser = driver.browser("alice").await;
    browser.client.goto(&server.url).await.unwrap();
    browser.wait_visible("#sign-in").await;
    let result = browser.client.execute_async(CROSSING_OFFERS, vec![]).await.unwrap();
    assert_eq!(result, json!({ "keeps": true, "connections": 2 }));
    browser.wait_media(2, Media::Video).await;
    driver.finish([&browser]).await;
}
