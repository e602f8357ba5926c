//! The methods of each path: HEAD, OPTIONS, 405 and `Allow`; and the headers that every response has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::raw::{Raw, RawResponse};
use crate::scenes::Scene;
use crate::support::openapi::operations;

/// Each path of the description, with the value of `Allow`.
pub fn paths() -> BTreeMap<&'static str, String> {
    let mut methods: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for operation in operations() {
        let method = if operation.method == "GET" { "GET, HEAD" } else { operation.method };
        methods.entry(operation.path).or_default().push(method);
    }
    methods.into_iter().map(|(path, methods)| (path, format!("{}, OPTIONS", methods.join(", ")))).collect()
}

/// Whether browsers may keep what a path answers to GET.
fn is_file(path: &str) -> bool {
    operations().iter().any(|operation| operation.path == path && operation.response(304).is_some())
}

/// A path with ids and queries that exist.
fn example(scene: &Scene, share: &str, path: &str) -> String {
    let query = match path {
        "/calls/{call_id}/media" => "?sender=alice",
        "/calls/active" | "/screenshare/active" | "/links" => "?channel=dm:alice:bob",
        _ => "",
    };
    let path = path.replace("{call_id}", &scene.call).replace("{share_id}", share).replace("{session}", "none");
    let file = if path.starts_with("/client/") { "api.js" } else { "main.js" };
    let path = path.replace("{channel}", "private:1").replace("{page}", "api").replace("{file}", file);
    let names = ["{username}", "{setting}", "{service}", "{issuer}", "{webhook}", "{link}", "{subscription}"];
    let path = names.iter().fold(path, |path, name| path.replace(name, "nobody"));
    assert!(!path.contains('{'), "{path} has no example");
    path + query
}

async fn scene_with_share() -> (Scene, String) {
    let scene = Scene::active().await;
    scene.server.execute("INSERT INTO set_role (username, role) VALUES ('alice', 'admin')");
    // NAME is nobody in every path.
    let webhook = ["webhook", "add", "nobody", "https://127.0.0.1:1/", "--kind", "call.busy"];
    scene.server.run(&webhook, "");
    let share = scene.alice.post_json("/screenshare/start", serde_json::json!({ "channel": "dm:alice:bob" })).await.1;
    (scene, share["share_id"].as_str().unwrap().to_owned())
}

/// Sends a request of alice. The connection ends with the response.
fn send(scene: &Scene, method: &str, path: &str) -> Raw {
    let mut raw = Raw::connect(&scene.server);
    raw.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\nAuthorization: Bearer {}\r\n\r\n",
        scene.alice.token
    ));
    raw
}

fn assert_api_headers(response: &RawResponse) {
    assert_eq!(response.header("cache-control"), Some("no-store"), "{response:?}");
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{response:?}");
    assert_eq!(response.header("api-version"), Some("1"), "{response:?}");
}

/// A path with a star for each variable.
pub fn shape(path: &str) -> String {
    let is_variable = |segment: &str| {
        segment.starts_with('{') || !segment.is_empty() && segment.bytes().all(|letter| letter.is_ascii_uppercase())
    };
    path.split('/').map(|segment| if is_variable(segment) { "*" } else { segment }).collect::<Vec<_>>().join("/")
}

#[test]
fn the_description_has_the_paths_that_logs_name() {
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/patterns.rs")).unwrap();
    let list = source.split("&[&str] = &[").nth(1).and_then(|rest| rest.split("];").next()).unwrap();
    let named: BTreeSet<String> = list.split('"').skip(1).step_by(2).map(shape).collect();
    assert_eq!(paths().into_keys().map(shape).collect::<BTreeSet<_>>(), named);
}

#[tokio::test]
async fn options_and_405_list_the_methods_of_every_path() {
    let (scene, share) = scene_with_share().await;
    let before = scene.server.rows();
    for (path, allow) in paths() {
        let url = example(&scene, &share, path);
        let allow = allow.to_lowercase();
        let options = send(&scene, "OPTIONS", &url).response().unwrap();
        assert_eq!((options.status, options.header("allow")), (204, Some(allow.as_str())), "{path}");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "NONSENSE", "get"] {
            if allow.split(", ").any(|allowed| allowed.to_uppercase() == method) {
                continue;
            }
            let refused = send(&scene, method, &url).response().unwrap();
            assert_eq!((refused.status, refused.code().as_str()), (405, "method_not_allowed"), "{method} {path}");
            assert_eq!(refused.header("allow"), Some(allow.as_str()), "{method} {path}");
            assert_api_headers(&refused);
        }
    }
    for file in ["/web/main.js", "/client/v1/api.js", "/docs/api"] {
        let refused = send(&scene, "POST", file).response().unwrap();
        assert_eq!((refused.status, refused.header("allow")), (405, Some("get, head, options")), "{file}");
    }
    let all = send(&scene, "OPTIONS", "*").response().unwrap();
    assert_eq!((all.status, all.header("allow")), (204, Some("get, head, post, delete, options")));
    for method in ["GET", "HEAD", "POST", "OPTIONS", "DELETE"] {
        for path in [
            "/nowhere",
            "/calls",
            "/calls/x",
            "/calls/x/nothing",
            "/web/nothing.js",
            "/client/v2/api.js",
            "/docs/nothing",
        ] {
            let mut raw = send(&scene, method, path);
            let unknown = if method == "HEAD" { raw.response_to_head() } else { raw.response() }.unwrap();
            assert_eq!((unknown.status, unknown.header("allow")), (404, None), "{method} {path}");
            assert_api_headers(&unknown);
        }
    }
    assert_eq!(scene.server.rows(), before);
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let (scene, share) = scene_with_share().await;
    // Statements that a stream or a state runs in the background may change `version`, and so the length.
    scene.server.execute("UPDATE settings SET value = highest WHERE name = 'presence_timeout'");
    scene.server.execute("UPDATE settings SET value = 0 WHERE name = 'gone_after'");
    scene.server.execute("UPDATE settings SET value = 3600 WHERE name = 'presence_interval'");
    let mut with_length = 0;
    for path in paths().iter().filter(|(_, allow)| allow.contains("HEAD")).map(|(path, _)| *path) {
        let url = example(&scene, &share, path);
        let begun = Instant::now();
        let mut raw = send(&scene, "HEAD", &url);
        let head = raw.response_to_head().unwrap();
        assert!(raw.is_closed(), "{path} has a body");
        assert!(begun.elapsed() < Duration::from_secs(5), "{path}");
        let get = if path == "/events" {
            send(&scene, "GET", &url).response_to_head().unwrap()
        } else {
            send(&scene, "GET", &url).response().unwrap()
        };
        let fields = |response: &RawResponse| -> Vec<String> {
            let fields = response
                .headers
                .lines()
                .filter(|line| !["date: ", "transfer-encoding: "].iter().any(|name| line.starts_with(name)))
                // Each request makes the metrics longer.
                .filter(|line| path != "/metrics" || !line.starts_with("content-length: "));
            fields.map(str::to_owned).collect()
        };
        assert_eq!(fields(&head), fields(&get), "{path}");
        assert_eq!(get.status, if ["/ca.crt", "/authority.crt"].contains(&path) { 404 } else { 200 }, "{path}");
        with_length += usize::from(head.header("content-length").is_some_and(|length| length != "0"));
        if !is_file(path) {
            assert_api_headers(&head);
        }
    }
    assert!(with_length > 10, "{with_length}");
}

#[tokio::test]
async fn every_response_of_the_api_forbids_storing_and_sniffing() {
    let (scene, share) = scene_with_share().await;
    for operation in operations() {
        let (method, path) = (operation.method, operation.path);
        if path == "/logout" || is_file(path) {
            continue;
        }
        let url = example(&scene, &share, path);
        // With a session, and without.
        assert_api_headers(&send(&scene, method, &url).response_to_head().unwrap());
        let mut stranger = Raw::connect(&scene.server);
        stranger.send(format!("{method} {url} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
        assert_api_headers(&stranger.response_to_head().unwrap());
    }
    for file in ["/", "/web/main.js", "/client/v1/api.js", "/docs/api", "/openapi.json"] {
        let page = send(&scene, "GET", file).response_to_head().unwrap();
        assert_eq!(page.header("cache-control"), Some("no-cache"), "{file}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{file}");
        assert_eq!(page.header("api-version"), Some("1"), "{file}");
    }
}
