//! The files of the web client, and `GET /calls/ice`. The browser tests cover what the client does.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Response};

use crate::support::{Server, answer, assert_refused};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web")
}

/// The files that make a package of the client library. Browsers do not need them.
const PACKAGE_FILES: [&str; 4] = ["client/LICENSE", "client/README.md", "client/package.json", "client/tsconfig.json"];

/// Every file below a folder of the client.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// The URL path and the content of each file of the client.
fn files() -> Vec<(String, Vec<u8>)> {
    let path = |file: &Path| file.strip_prefix(folder()).unwrap().to_str().unwrap().to_owned();
    let files = files_below(&folder()).into_iter().filter(|file| !PACKAGE_FILES.contains(&path(file).as_str()));
    files.map(|file| (format!("/web/{}", path(&file)), fs::read(&file).unwrap())).collect()
}

async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = Client::new().get(format!("{}{path}", server.url));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn the_pages_are_public_and_have_a_content_security_policy() {
    let server = Server::start();
    for (path, file) in [("/", "index.html"), ("/relay", "relay.html"), ("/admin", "admin.html")] {
        let response = get(&server, path, &[]).await;
        assert_eq!(response.status(), 200, "{path}");
        let headers = response.headers().clone();
        assert_eq!(header(&headers, "content-type"), "text/html; charset=utf-8");
        assert_eq!(header(&headers, "x-content-type-options"), "nosniff");
        assert_eq!(header(&headers, "x-frame-options"), "DENY");
        assert_eq!(header(&headers, "referrer-policy"), "no-referrer");
        assert_eq!(header(&headers, "cross-origin-opener-policy"), "same-origin");
        assert!(header(&headers, "permissions-policy").contains("microphone=(self)"));
        assert!(!headers.contains_key("set-cookie"));

        let policy = header(&headers, "content-security-policy");
        let directives: Vec<Vec<&str>> = policy.split(';').map(|part| part.split_whitespace().collect()).collect();
        assert!(directives.contains(&vec!["default-src", "'none'"]), "{policy}");
        for directive in ["script-src", "style-src", "img-src", "connect-src"] {
            assert!(directives.contains(&vec![directive, "'self'"]), "{directive} in {policy}");
        }
        assert!(directives.contains(&vec!["frame-ancestors", "'none'"]), "{policy}");
        assert!(directives.contains(&vec!["base-uri", "'none'"]), "{policy}");
        assert!(directives.contains(&vec!["require-trusted-types-for", "'script'"]), "{policy}");
        assert!(directives.contains(&vec!["trusted-types", "service-worker"]), "{policy}");
        assert!(directives.contains(&vec!["worker-src", "'self'"]), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");

        let body = response.bytes().await.unwrap();
        assert_eq!(body, fs::read(folder().join(file)).unwrap(), "{path} is {file}");
    }
}

/// The policy of the pages forbids inline scripts and styles.
#[test]
fn nothing_is_inline_and_nothing_is_loaded_from_other_sites() {
    for (path, content) in files() {
        let Ok(text) = String::from_utf8(content) else { continue };
        if Path::new(&path).extension().is_some_and(|extension| extension == "html") {
            for tag in text.split('<').filter(|tag| tag.starts_with("script") || tag.starts_with("style")) {
                assert!(tag.contains(" src=\"web/"), "{path}: <{tag}");
            }
            assert!(!text.contains(" style=") && !text.contains("javascript:"), "{path}");
            for rest in text.split(" on").skip(1) {
                let handler = rest.trim_start_matches(|letter: char| letter.is_ascii_lowercase()).starts_with('=');
                assert!(!handler, "{path}: on{}", &rest[..20.min(rest.len())]);
            }
            for reference in ["src=\"", "href=\""] {
                for address in text.split(reference).skip(1) {
                    assert!(address.starts_with("web/"), "{path}: {reference}{}", &address[..20]);
                }
            }
        }
        // Text never becomes markup or code.
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
            assert!(!text.contains(word), "{path}: {word}");
        }
        // No browser requests the SVG namespace.
        let foreign = text.replace("http://www.w3.org/2000/svg", "").replace("http://localhost", "");
        assert!(!foreign.contains("http://") && !foreign.contains("https://"), "{path}");
    }
}

/// The files of the client that a file refers to.
fn needed_by(path: &str, text: &str) -> Vec<String> {
    let near = path.rsplit_once('/').unwrap().0;
    let quoted = |before: &str| -> Vec<String> {
        text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    };
    let imports = ["from \"", "import \""].iter().flat_map(|before| quoted(before));
    let relative = imports.filter(|name| name.starts_with('.')).map(|name| {
        let mut parts: Vec<&str> = near.split('/').collect();
        for part in name.split('/') {
            match part {
                "." => {}
                ".." => drop(parts.pop()),
                _ => parts.push(part),
            }
        }
        parts.join("/")
    });
    let absolute = quoted("\"web/").into_iter().map(|name| format!("/web/{name}"));
    // The icons of the manifest.
    let beside = quoted("\"src\": \"").into_iter().map(|name| format!("{near}/{name}"));
    relative.chain(absolute).chain(beside).collect()
}

#[tokio::test]
async fn every_file_is_served_with_its_type_and_needed_by_a_page() {
    let server = Server::start();
    // The documentation's pages need the style sheet, and pages of other origins the last two.
    let mut wanted = [
        "/web/index.html",
        "/web/relay.html",
        "/web/admin.html",
        "/web/docs.css",
        "/web/client/minimost-calls.js",
        "/web/client/element.js",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut served = BTreeSet::new();
    while let Some(path) = wanted.pop() {
        if !served.insert(path.clone()) {
            continue;
        }
        let response = get(&server, &path, &[]).await;
        assert_eq!(response.status(), 200, "{path}");
        let expected = match path.rsplit('.').next().unwrap() {
            "html" => "text/html; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            "png" => "image/png",
            "webmanifest" => "application/manifest+json",
            other => panic!("a new kind of file: {other}"),
        };
        assert_eq!(header(response.headers(), "content-type"), expected, "{path}");
        let content = response.bytes().await.unwrap();
        wanted.extend(needed_by(&path, &String::from_utf8_lossy(&content)));
    }
    let there: BTreeSet<String> = files().into_iter().map(|(path, _)| path).collect();
    assert_eq!(served, there);
    assert!(there.len() > 20, "{there:?}");
}

#[tokio::test]
async fn pages_of_every_origin_may_load_the_library_and_nothing_else() {
    let server = Server::start();
    let version = answer(Client::new().get(format!("{}/version", server.url))).await.1;
    let number = version["api"].as_u64().unwrap();
    let modules = files().into_iter().filter_map(|(path, content)| {
        let name = path.strip_prefix("/web/client/")?.to_owned();
        Some((name, content))
    });
    let modules: Vec<_> = modules.collect();
    assert!(modules.iter().any(|(name, _)| name == "minimost-calls.js"), "{modules:?}");
    for (name, content) in modules {
        // It is one file at two paths.
        let own = get(&server, &format!("/web/client/{name}"), &[]).await;
        let path = format!("/client/v{number}/{name}");
        let shared = get(&server, &path, &[("origin", "https://chat.example.org")]).await;
        assert_eq!(shared.status(), 200, "{path}");
        for same in ["content-type", "etag", "cache-control", "vary", "x-content-type-options"] {
            assert_eq!(header(shared.headers(), same), header(own.headers(), same), "{path}: {same}");
        }
        assert_eq!(header(shared.headers(), "access-control-allow-origin"), "*", "{path}");
        assert!(!shared.headers().contains_key("access-control-allow-credentials"), "{path}");
        assert_eq!(header(shared.headers(), "cross-origin-resource-policy"), "cross-origin", "{path}");
        let known = header(shared.headers(), "etag").to_owned();
        assert_eq!(shared.bytes().await.unwrap(), content, "{path}");
        let again = get(&server, &path, &[("if-none-match", &known)]).await;
        assert_eq!(again.status(), 304, "{path}");
        assert_eq!(header(again.headers(), "access-control-allow-origin"), "*", "{path}");
    }
    for path in ["/", "/web/main.js", "/web/client/minimost-calls.js", "/docs/"] {
        let page = get(&server, path, &[("origin", "https://chat.example.org")]).await;
        assert_eq!(header(page.headers(), "access-control-allow-origin"), "", "{path}");
        assert_eq!(header(page.headers(), "cross-origin-resource-policy"), "same-origin", "{path}");
    }
}

#[tokio::test]
async fn a_known_etag_gets_304_without_a_body() {
    let server = Server::start();
    let first = get(&server, "/web/main.js", &[]).await;
    let etag = header(first.headers(), "etag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 16, "{etag}");
    assert_eq!(header(first.headers(), "cache-control"), "no-cache");

    for known in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
        let again = get(&server, "/web/main.js", &[("if-none-match", &known)]).await;
        assert_eq!(again.status(), 304, "{known}");
        assert_eq!(header(again.headers(), "etag"), etag);
        assert_eq!(header(again.headers(), "cache-control"), "no-cache");
        assert_eq!(header(again.headers(), "vary"), "accept-encoding");
        assert!(again.bytes().await.unwrap().is_empty());
    }
    for known in ["\"other\"", "", &etag[1..]] {
        assert_eq!(get(&server, "/web/main.js", &[("if-none-match", known)]).await.status(), 200, "{known}");
    }
    assert_ne!(header(get(&server, "/web/page.js", &[]).await.headers(), "etag"), etag);
}

#[tokio::test]
async fn files_are_compressed_if_the_client_accepts_gzip() {
    let server = Server::start();
    // Pictures are compressed already.
    let is_picture = |path: &str| Path::new(path).extension().is_some_and(|extension| extension == "png");
    for (path, content) in files().into_iter().filter(|(path, _)| !is_picture(path)) {
        let plain = get(&server, &path, &[]).await;
        assert_eq!(header(plain.headers(), "vary"), "accept-encoding");
        assert!(!plain.headers().contains_key("content-encoding"), "{path}");
        let plain_etag = header(plain.headers(), "etag").to_owned();
        assert_eq!(plain.bytes().await.unwrap(), content, "{path}");

        let packed = get(&server, &path, &[("accept-encoding", "br, gzip")]).await;
        assert_eq!(header(packed.headers(), "content-encoding"), "gzip", "{path}");
        let etag = header(packed.headers(), "etag").to_owned();
        assert_ne!(etag, plain_etag, "{path}");
        let packed = packed.bytes().await.unwrap();
        assert!(packed.len() < content.len(), "{path}");
        let mut unpacked = Vec::new();
        GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, content, "{path}");

        // Each encoding has its own tag.
        let gzip = ("accept-encoding", "gzip");
        assert_eq!(get(&server, &path, &[gzip, ("if-none-match", &etag)]).await.status(), 304);
        assert_eq!(get(&server, &path, &[gzip, ("if-none-match", &plain_etag)]).await.status(), 200);
    }
    for (accepted, packed) in
        [("GZIP;q=0.5", true), ("*", true), ("gzip;q=0", false), ("gzip; q=0.0, *", false), ("br", false), ("", false)]
    {
        let response = get(&server, "/", &[("accept-encoding", accepted)]).await;
        assert_eq!(response.headers().contains_key("content-encoding"), packed, "{accepted:?}");
    }
}

#[tokio::test]
async fn only_the_files_of_the_client_are_served_and_read_only() {
    let server = Server::start();
    for path in [
        "/web",
        "/web/",
        "/web/nothing.js",
        "/web/views",
        "/web/client/package.json",
        "/client",
        "/client/v1",
        "/client/v1/",
        "/client/v1/nothing.js",
        "/client/v1/package.json",
        "/client/v1/../main.js",
        "/client/v1/..%2fmain.js",
        "/client/v2/minimost-calls.js",
        "/client/minimost-calls.js",
        "/web/%2e%2e/main.rs",
        "/web/..%2fmain.rs",
        "/relay/x",
        "/relay/",
        "/admin/",
        "/admin/x",
        "/index.html",
    ] {
        let refused = answer(Client::new().get(format!("{}{path}", server.url))).await;
        assert_refused(&refused, 404, "not_found");
    }
    for path in ["/", "/relay", "/admin", "/web/main.js", "/client/v1/minimost-calls.js"] {
        let refused = answer(Client::new().post(format!("{}{path}", server.url)).body("x")).await;
        assert_refused(&refused, 405, "method_not_allowed");
        let head = Client::new().request(Method::HEAD, format!("{}{path}", server.url)).send().await.unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(
            header(head.headers(), "etag"),
            header(get(&server, path, &[]).await.headers(), "etag"),
            "HEAD is GET without the body"
        );
        assert!(head.bytes().await.unwrap().is_empty());
    }
}
