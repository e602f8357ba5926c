//! Screenshots: of every view, to inspect by eye, and the picture of README.

use std::path::{Path, PathBuf};

use base64_simd::STANDARD;
use serde_json::json;

use crate::browser::{Browser, Media};
use crate::driver::Driver;
use crate::support::Server;
use crate::views::{self, Viewport};

/// A screenshot of the page as PNG, in base64.
async fn screenshot(browser: &Browser) -> String {
    // Waits for a frame in the current size.
    let next_frame = "requestAnimationFrame(() => setTimeout(arguments[0], 200))";
    browser.client.execute_async(next_frame, vec![]).await.unwrap();
    let picture = browser.devtools("Page.captureScreenshot", json!({ "format": "png" })).await;
    picture["data"].as_str().unwrap().to_owned()
}

fn write_png(file: &Path, base64: &str) {
    std::fs::write(file, STANDARD.decode_to_vec(base64).unwrap()).unwrap();
}

#[tokio::test]
#[ignore = "writes screenshots into the folder of the variable PICTURES"]
async fn screenshots_of_every_view() {
    let folder = PathBuf::from(std::env::var_os("PICTURES").expect("PICTURES names a folder"));
    let sizes = [(320, 640), (390, 844), (768, 1024), (1440, 900)];
    let viewports: Vec<_> = sizes
        .into_iter()
        .flat_map(|(width, height)| ["light", "dark"].map(|scheme| Viewport { width, height, scheme }))
        .collect();
    views::tour(&viewports, async |browser, view, viewport| {
        let name = format!("{}, {}, {}.png", view.replace(", ", " - "), viewport.width, viewport.scheme);
        write_png(&folder.join(name), &screenshot(browser).await);
    })
    .await;
}

/// Puts two screenshots side by side.
const SIDE_BY_SIDE: &str = "
    const [pictures, done] = arguments;
    document.documentElement.style.colorScheme = 'light';
    document.body.style.cssText = 'margin: 0; display: flex; gap: 16px; background: white; overflow: hidden';
    Promise.all(pictures.map((picture) => {
        const image = new Image(760);
        image.src = `data:image/png;base64,${picture}`;
        document.body.append(image);
        return image.decode();
    })).then(() => done());";

#[tokio::test]
#[ignore = "writes fixtures/page.png, the picture of README"]
async fn picture_of_lobby_and_call() {
    let (driver, server) = (Driver::start().await, Server::start());
    for name in ["alice", "bob", "carol", "dave"] {
        server.person(name);
    }
    let team = server.private_channel(&["alice", "bob", "carol"]);
    let title = format!("UPDATE private_channels SET name = 'Design team' WHERE 'private:' || id = '{team}'");
    server.execute(&title);
    views::create_history(&server, &team).await;
    let [alice, bob, carol] = driver.signed_in(&server, ["alice", "bob", "carol"]).await;
    let size = Viewport { width: 1000, height: 640, scheme: "light" };
    alice.set_viewport(size).await;
    alice.click(&format!("[data-channel='{team}']")).await;
    alice.wait_visible("[data-outcome]").await;
    let lobby = screenshot(&alice).await;

    alice.click("#call-video").await;
    for browser in [&bob, &carol] {
        browser.click("[data-action=answer-video]").await;
    }
    for browser in [&alice, &bob, &carol] {
        browser.wait_media(2, Media::Both).await;
    }
    alice.wait_until("document.querySelectorAll('.tile.with-video').length === 3").await;
    let call = screenshot(&alice).await;

    let canvas = driver.browser("canvas").await;
    canvas.client.goto("about:blank").await.unwrap();
    canvas.set_viewport(Viewport { width: 1536, height: 487, scheme: "light" }).await;
    canvas.client.execute_async(SIDE_BY_SIDE, vec![json!([lobby, call])]).await.unwrap();
    let both = screenshot(&canvas).await;
    write_png(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/page.png"), &both);
    driver.finish([&alice, &bob, &carol, &canvas]).await;
}
