//! Pages of other sites: the setting `allowed_origins`. Browsers enforce what these headers say; the tests of the client
//! library use them from another origin.

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::json;

use crate::support::Server;

const HOST_PAGE: &str = "https://chat.example.org";

/// A server that allows pages of [`HOST_PAGE`] and of a port.
fn server() -> Server {
    let server = Server::start();
    let set = "INSERT INTO set_setting (name, value) VALUES ('allowed_origins', ?1)";
    server.sql().execute(set, [json!([HOST_PAGE, "http://localhost:3000"]).to_string()]).unwrap();
    server
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

async fn send(request: RequestBuilder, origin: &str) -> Response {
    request.header("origin", origin).send().await.unwrap()
}

async fn preflight(server: &Server, path: &str, origin: &str) -> Response {
    let request = Client::new().request(Method::OPTIONS, format!("{}{path}", server.url));
    let asked = request.header("access-control-request-method", "POST").header("access-control-request-headers", "x");
    send(asked, origin).await
}

#[tokio::test]
async fn a_preflight_says_what_a_page_of_an_allowed_origin_may_send() {
    let server = server();
    for (path, methods) in [
        ("/calls/initiate", "POST, OPTIONS"),
        ("/calls/x/media", "GET, HEAD, POST, OPTIONS"),
        ("/events", "GET, HEAD, OPTIONS"),
        ("/sessions/x", "DELETE, OPTIONS"),
    ] {
        let response = preflight(&server, path, HOST_PAGE).await;
        assert_eq!(response.status(), 204, "{path}");
        let headers = response.headers();
        assert_eq!(header(headers, "access-control-allow-origin"), Some(HOST_PAGE), "{path}");
        assert_eq!(header(headers, "access-control-allow-methods"), Some(methods));
        let allowed = header(headers, "access-control-allow-headers").unwrap();
        for name in ["authorization", "content-type", "idempotency-key", "last-event-id", "x-init", "x-mime"] {
            assert!(allowed.split(", ").any(|allowed| allowed == name), "{name} in {allowed}");
        }
        assert_eq!(header(headers, "access-control-max-age"), Some("86400"));
        assert!(!headers.contains_key("access-control-allow-credentials"));
        assert_eq!(header(headers, "vary"), Some("origin"));
    }
    let unknown = preflight(&server, "/nowhere", HOST_PAGE).await;
    assert_eq!(unknown.status(), 404);
    assert!(!unknown.headers().contains_key("access-control-allow-methods"));
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_reads_every_response_to_its_token() {
    let server = server();
    let (alice, _) = (server.person("alice"), server.person("bob"));
    for origin in [HOST_PAGE, "http://localhost:3000"] {
        for (request, status) in [
            (alice.request(Method::GET, "/me"), 200),
            (alice.request(Method::GET, "/events"), 200),
            (alice.request(Method::GET, "/calls/x/state"), 404),
            (alice.posting_json("/calls/initiate", json!({ "channel": "dm:alice:carol" })), 404),
            (Client::new().get(format!("{}/me", server.url)), 401),
            (Client::new().get(format!("{}/version", server.url)), 200),
        ] {
            let response = send(request, origin).await;
            assert_eq!(response.status(), status, "{}", response.url());
            assert_eq!(header(response.headers(), "access-control-allow-origin"), Some(origin), "{}", response.url());
            let exposed = header(response.headers(), "access-control-expose-headers").unwrap();
            for name in ["api-version", "retry-after"] {
                assert!(exposed.split(", ").any(|exposed| exposed == name), "{name} in {exposed}");
            }
            assert!(!response.headers().contains_key("access-control-allow-credentials"));
            assert!(!response.headers().contains_key("access-control-allow-methods"));
        }
    }
}

#[tokio::test]
async fn pages_of_other_origins_read_nothing() {
    let server = server();
    let alice = server.person("alice");
    for origin in [
        "https://chat.example.org:8443",
        "http://chat.example.org",
        "https://chat.example.org.evil.example",
        "https://CHAT.example.org",
        "http://localhost:3001",
        "null",
        "",
        "*",
        "%",
    ] {
        for response in [send(alice.request(Method::GET, "/me"), origin).await, preflight(&server, "/me", origin).await]
        {
            let names: Vec<&str> = response.headers().keys().map(reqwest::header::HeaderName::as_str).collect();
            assert!(!names.iter().any(|name| name.starts_with("access-control")), "{origin}: {names:?}");
            assert_eq!(header(response.headers(), "vary"), Some("origin"), "{origin}");
        }
    }
    // A changed setting is in force at once, and without one nobody is allowed.
    server.execute("INSERT INTO reset_setting (name) VALUES ('allowed_origins')");
    let response = send(alice.request(Method::GET, "/me"), HOST_PAGE).await;
    assert!(!response.headers().contains_key("access-control-allow-origin"));
    // Programs that are no browsers send no origin.
    let response = alice.request(Method::GET, "/me").send().await.unwrap();
    assert!(!response.headers().contains_key("vary"), "a request without a page");
}

#[tokio::test]
async fn the_cookie_never_counts_for_a_page_of_another_site() {
    let server = server();
    let alice = server.person("alice");
    let with_cookie = |method: Method, path: &str| {
        let request = Client::new().request(method, format!("{}{path}", server.url));
        request.header("cookie", format!("session={}", alice.token)).header("sec-fetch-site", "cross-site")
    };
    let post = with_cookie(Method::POST, "/calls/initiate").json(&json!({ "channel": "dm:alice:bob" }));
    let response = send(post, HOST_PAGE).await;
    assert_eq!(response.status(), 403);
    assert_eq!(response.json::<serde_json::Value>().await.unwrap()["code"], "cross_site");
    // Browsers keep the response to a request with a cookie from the page, because this header is missing.
    let response = send(with_cookie(Method::GET, "/me"), HOST_PAGE).await;
    assert!(!response.headers().contains_key("access-control-allow-credentials"));
}

/// The members of a cluster have different origins, and their pages use each other's API.
#[tokio::test]
async fn pages_of_the_other_members_use_the_api_and_show_no_frame() {
    let server = Server::start();
    let alice = server.person("alice");
    let directive = async |path: &str, name: &str| {
        let response = Client::new().get(format!("{}{path}", server.url)).send().await.unwrap();
        let policy = header(response.headers(), "content-security-policy").unwrap();
        let value = policy.split("; ").find_map(|directive| directive.strip_prefix(name)).unwrap();
        value.trim().to_owned()
    };
    assert_eq!(directive("/", "connect-src").await, "'self'");
    let members = ["https://calls-1.example.org", "http://10.0.0.2:6767"];
    let set = "INSERT INTO set_setting (name, value) VALUES ('client_addresses', ?1)";
    server.sql().execute(set, [json!(members).to_string()]).unwrap();
    assert_eq!(alice.read("/me").await["client_addresses"], json!(members));
    for origin in members {
        let response = send(alice.request(Method::GET, "/me"), origin).await;
        assert_eq!(header(response.headers(), "access-control-allow-origin"), Some(origin));
        let response = preflight(&server, "/calls/initiate", origin).await;
        assert_eq!(header(response.headers(), "access-control-allow-methods"), Some("POST, OPTIONS"));
        assert!(!response.headers().contains_key("access-control-allow-credentials"));
    }
    let response = send(alice.request(Method::GET, "/me"), "https://calls-3.example.org").await;
    assert!(!response.headers().contains_key("access-control-allow-origin"));
    for path in ["/", "/relay"] {
        assert_eq!(directive(path, "connect-src").await, format!("'self' {}", members.join(" ")), "{path}");
        assert_eq!(directive(path, "frame-ancestors").await, "'none'", "{path}");
    }
    assert_eq!(directive("/admin", "connect-src").await, "'self'");
}

#[tokio::test]
async fn allowed_origins_may_show_the_page_in_a_frame() {
    let server = server();
    let of = async |path: &str| {
        let response = Client::new().get(format!("{}{path}", server.url)).send().await.unwrap();
        let policy = header(response.headers(), "content-security-policy").unwrap();
        let ancestors = policy.split("; ").find_map(|directive| directive.strip_prefix("frame-ancestors "));
        (ancestors.unwrap().to_owned(), response.headers().contains_key("x-frame-options"))
    };
    let allowed = format!("{HOST_PAGE} http://localhost:3000");
    assert_eq!(of("/").await, (allowed.clone(), false));
    assert_eq!(of("/relay").await, (allowed, false));
    let nobody = ("'none'".to_owned(), true);
    assert_eq!(of("/admin").await, nobody);
    assert_eq!(of("/docs/api").await, nobody);
    server.execute("INSERT INTO reset_setting (name) VALUES ('allowed_origins')");
    assert_eq!(of("/").await, nobody);
}
