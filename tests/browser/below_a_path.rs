//! The pages below a path, behind a proxy that strips it.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;
use tempfile::TempDir;

use crate::browser::Media;
use crate::driver::Driver;
use crate::support::Server;

/// A proxy as nginx is with `location /talk/ { proxy_pass http://SERVER/; }`. It ends with the test.
struct Proxy {
    url: String,
    /// Requests for anything that is not below `/talk/`.
    strays: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/talk", listener.local_addr().unwrap());
        let upstream = server.url.trim_start_matches("http://").to_owned();
        let strays = Arc::<Mutex<Vec<String>>>::default();
        let all_strays = strays.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (upstream, strays) = (upstream.clone(), strays.clone());
                // Browsers and the server close connections at any time.
                thread::spawn(move || drop(forward(client, &upstream, &strays)));
            }
        });
        Self { url, strays: all_strays }
    }

    fn assert_no_strays(&self) {
        let strays = self.strays.lock().unwrap();
        // Browsers ask for it themselves.
        let strays: Vec<&String> = strays.iter().filter(|line| !line.starts_with("GET /favicon.ico ")).collect();
        assert!(strays.is_empty(), "requests outside of /talk/: {strays:?}");
    }
}

/// Forwards one request, and closes the connection after the response.
fn forward(client: TcpStream, upstream: &str, strays: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut requests = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    requests.read_line(&mut line)?;
    let Some((method, path)) = line.split_once(" /talk/") else {
        strays.lock().unwrap().push(line);
        return (&client).write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let mut head = format!("{method} /{path}X-Forwarded-Proto: http\r\nConnection: close\r\n");
    loop {
        let mut line = String::new();
        requests.read_line(&mut line)?;
        if !line.to_ascii_lowercase().starts_with("connection:") {
            head.push_str(&line);
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut server = TcpStream::connect(upstream)?;
    server.write_all(head.as_bytes())?;
    let (mut responses, mut responded) = (server.try_clone()?, client);
    thread::spawn(move || {
        let copied = io::copy(&mut responses, &mut responded);
        responded.shutdown(Shutdown::Both).and(copied.map(drop))
    });
    let copied = io::copy(&mut requests, &mut server);
    server.shutdown(Shutdown::Both).and(copied.map(drop))
}

#[tokio::test]
async fn the_pages_work_below_a_path_of_a_proxy() {
    let (driver, server) = (Driver::start().await, Server::start_in(TempDir::new().unwrap(), &["--behind-proxy"]));
    let proxy = Proxy::start(&server);
    let names = ["alice", "bob"];
    for name in names {
        server.run(&["user", "add", name], "rabbit hole");
    }
    let mut people = Vec::new();
    for name in names {
        let browser = driver.browser(name).await;
        browser.client.goto(&format!("{}/", proxy.url)).await.unwrap();
        browser.type_into("#username", name).await;
        browser.type_into("#password", "rabbit hole").await;
        browser.click("#sign-in").await;
        browser.wait_visible("[data-view=lobby]").await;
        browser.wait_until("document.querySelector('.brand img').naturalWidth > 0").await;
        people.push(browser);
    }
    let [alice, bob] = &people[..] else { unreachable!("there are two") };
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    for browser in [alice, bob] {
        browser.wait_media(1, Media::Both).await;
    }
    // A reload returns to the call.
    bob.client.refresh().await.unwrap();
    for browser in [alice, bob] {
        browser.wait_media(1, Media::Both).await;
    }
    alice.click("#leave").await;
    bob.wait_visible("#call-ended-reason").await;
    assert_eq!(server.value::<String>("SELECT outcome FROM call_history"), "answered");

    // The other pages, and the links between all of them.
    server.execute("INSERT INTO set_role (username, role) VALUES ('alice', 'admin')");
    alice.click("#call-close").await;
    alice.client.refresh().await.unwrap();
    alice.click("#open-admin").await;
    alice.wait_visible("#admin-calls + p").await;
    alice.click("header a").await;
    alice.wait_visible("[data-view=lobby]").await;
    alice.client.goto(&format!("{}/relay", proxy.url)).await.unwrap();
    alice.wait_visible("#places").await;
    alice.click("header a").await;
    alice.wait_visible("[data-view=lobby]").await;
    alice.client.goto(&format!("{}/docs", proxy.url)).await.unwrap();
    alice.click("main a[href=api]").await;
    alice.wait_text("h1", "API").await;
    let style = alice.script("return getComputedStyle(document.querySelector('main')).maxWidth !== 'none'").await;
    assert_eq!(style, json!(true), "the style sheet is there");
    alice.click("nav a:last-child").await;
    alice.wait_visible("[data-view=lobby]").await;
    let manifest = alice.devtools("Page.getAppManifest", json!({})).await;
    assert_eq!(manifest["errors"], json!([]), "{manifest}");
    assert_eq!(manifest["url"], json!(format!("{}/web/app.webmanifest", proxy.url)));
    for address in ["startUrl", "scope"] {
        assert_eq!(manifest["manifest"][address], json!(format!("{}/", proxy.url)), "{manifest}");
    }
    // The browser has loaded the icons, and would install the page.
    let errors = alice.devtools("Page.getInstallabilityErrors", json!({})).await;
    assert_eq!(errors["installabilityErrors"], json!([]));
    proxy.assert_no_strays();
    driver.finish([alice, bob]).await;
}
