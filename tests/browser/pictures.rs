//! Pictures of every view, for people to look at.

use std::path::PathBuf;

use base64_simd::STANDARD;
use serde_json::json;

use crate::views;

#[tokio::test]
#[ignore = "writes pictures into the folder that the variable PICTURES names"]
async fn every_view_in_each_look() {
    let folder = PathBuf::from(std::env::var_os("PICTURES").expect("a folder"));
    views::tour(async |browser, what, look| {
        // What has just been drawn anew is drawn.
        browser
            .client
            .execute_async("requestAnimationFrame(() => setTimeout(arguments[0], 200))", vec![])
            .await
            .unwrap();
        let picture = browser.command("Page.captureScreenshot", json!({ "format": "png" })).await;
        let size = if look.width < 600 { "phone" } else { "desktop" };
        let file = folder.join(format!("{}, {size}, {}.png", what.replace(", ", " - "), look.scheme));
        std::fs::write(file, STANDARD.decode_to_vec(picture["data"].as_str().unwrap()).unwrap()).unwrap();
    })
    .await;
}
