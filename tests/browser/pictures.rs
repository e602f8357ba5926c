//! Screenshots of every view, to inspect by eye.

use std::path::PathBuf;

use base64_simd::STANDARD;
use serde_json::json;

use crate::views;

#[tokio::test]
#[ignore = "writes screenshots into the folder of the variable PICTURES"]
async fn screenshots_of_every_view() {
    let folder = PathBuf::from(std::env::var_os("PICTURES").expect("PICTURES names a folder"));
    views::tour(async |browser, view, viewport| {
        // Waits for the frame of the new size.
        browser
            .client
            .execute_async("requestAnimationFrame(() => setTimeout(arguments[0], 200))", vec![])
            .await
            .unwrap();
        let picture = browser.devtools("Page.captureScreenshot", json!({ "format": "png" })).await;
        let size = if viewport.width < 600 { "phone" } else { "desktop" };
        let file = folder.join(format!("{}, {size}, {}.png", view.replace(", ", " - "), viewport.scheme));
        std::fs::write(file, STANDARD.decode_to_vec(picture["data"].as_str().unwrap()).unwrap()).unwrap();
    })
    .await;
}
