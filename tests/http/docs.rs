//! `/docs/`: the documentation as HTML.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use reqwest::{Client, Method, Response, Url};

use crate::support::{Server, answer, assert_refused};

async fn send(server: &Server, method: Method, path: &str) -> Response {
    Client::new().request(method, format!("{}{path}", server.url)).send().await.unwrap()
}

async fn page(server: &Server, path: &str) -> String {
    let response = send(server, Method::GET, path).await;
    assert_eq!(response.status(), 200, "{path}");
    response.text().await.unwrap()
}

/// The names of the pages, of which `index` is one.
fn names() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

/// The ids of the headings of a page.
fn ids(html: &str) -> Vec<&str> {
    html.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Where the links of a page lead, below the path of a proxy.
fn links(html: &str) -> Vec<String> {
    let page = Url::parse("http://proxy.test/talk/docs/page").unwrap();
    let links = html.split("<a href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let resolved = links.filter(|link| !link.starts_with('#')).map(|link| page.join(link).unwrap().to_string());
    resolved.map(|link| link.replace("http://proxy.test/talk/", "/")).collect()
}

#[tokio::test]
async fn every_page_is_html_without_scripts() {
    let server = Server::start();
    for name in names() {
        let response = send(&server, Method::GET, &format!("/docs/{name}")).await;
        assert_eq!(response.status(), 200, "{name}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-frame-options"), "DENY");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let etag = header("etag");
        let html = response.text().await.unwrap();
        assert!(html.starts_with("<!doctype html>") && html.contains("<h1 id="), "{name}: {html}");
        assert!(html.contains("<link rel=\"stylesheet\" href=\"../web/docs.css\">"), "{name}");
        for inline in ["<script", "<style", " style=", "javascript:"] {
            assert!(!html.contains(inline), "{name}: {inline}");
        }
        let (ids, distinct) = (ids(&html), ids(&html).into_iter().collect::<BTreeSet<_>>());
        assert_eq!(ids.len(), distinct.len(), "{name} has an id twice: {ids:?}");

        let cached = Client::new().get(format!("{}/docs/{name}", server.url)).header("if-none-match", &etag);
        assert_eq!(cached.send().await.unwrap().status(), 304, "{name}");
    }
    assert_eq!(send(&server, Method::GET, "/web/docs.css").await.status(), 200);
}

#[tokio::test]
async fn the_index_lists_every_page_and_every_link_leads_somewhere() {
    let server = Server::start();
    let index = page(&server, "/docs/").await;
    assert_eq!(page(&server, "/docs").await, index);
    for name in names().iter().filter(|name| *name != "index") {
        assert!(links(&index).contains(&format!("/docs/{name}")), "the index does not list {name}");
    }
    for name in names() {
        let html = page(&server, &format!("/docs/{name}")).await;
        for part in html.split("<a href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(html.contains(&format!(" id=\"{part}\"")), "{name} links to #{part}");
        }
        for link in links(&html).into_iter().filter(|link| !link.starts_with("https://")) {
            let (path, part) = link.split_once('#').unwrap_or((&link, ""));
            let linked = page(&server, path).await;
            assert!(part.is_empty() || linked.contains(&format!(" id=\"{part}\"")), "{name} links to {link}");
        }
    }
}

#[tokio::test]
async fn markdown_becomes_headings_tables_and_links() {
    let server = Server::start();
    let html = page(&server, "/docs/api").await;
    assert!(html.contains("<title>API - minimost-calls</title>"), "{html}");
    assert!(html.contains("<h2 id=\"who-is-calling\">Who is calling</h2>"), "{html}");
    assert!(html.contains("<td><a href=\"#get-healthz\"><code>GET /healthz</code></a></td>"), "{html}");
    assert!(html.contains("<h4 id=\"get-healthz\"><code>GET /healthz</code></h4>"), "{html}");
    assert!(
        html.contains("<td><code>call_full</code></td>") && html.contains("<h4 id=\"callstate\">CallState</h4>"),
        "{html}"
    );
    assert!(html.contains("<a href=\"../openapi.json\">") && !html.contains("<!-- openapi"), "{html}");
    assert!(html.contains("<a href=\"protocol\">"), "{html}");
    assert!(!html.contains(".md\""), "a link leads to a Markdown file: {html}");
}

#[tokio::test]
async fn unknown_pages_are_404_and_pages_are_only_read() {
    let server = Server::start();
    for path in ["/docs/nothing", "/docs/api.md", "/docs/api/", "/docs/api/x", "/docs/%2e%2e/main.rs", "/docs/API"] {
        let refused = answer(Client::new().get(format!("{}{path}", server.url))).await;
        assert_refused(&refused, 404, "not_found");
    }
    for path in ["/docs/", "/docs/api"] {
        let refused = answer(Client::new().post(format!("{}{path}", server.url)).body("x")).await;
        assert_refused(&refused, 405, "method_not_allowed");
        let head = send(&server, Method::HEAD, path).await;
        let get = send(&server, Method::GET, path).await;
        assert_eq!((head.status(), &head.headers()["etag"]), (get.status(), &get.headers()["etag"]));
        assert!(head.bytes().await.unwrap().is_empty(), "{path}");
    }
}
