//! What somebody needs who does not see the page, or has no mouse. These are checks of our own, of what matters most: names of
//! controls, labels, landmarks, headings, the language, live regions, and contrast as the browser computes it.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::stage::Stage;
use crate::support::Server;

/// Every fault of the page as it stands, as a list of sentences. Contrast is WCAG 2.2's, success criterion 1.4.3.
const FAULTS: &str = r#"
    const faults = [];
    const seen = (one) => one.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && !one.closest("[inert], [aria-hidden=true]");
    const show = (one) => `${one.outerHTML.slice(0, 120)}`;
    const named = (one) => {
        const by = one.getAttribute("aria-labelledby")?.split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
        const text = by || one.getAttribute("aria-label") || [...(one.labels ?? [])].map((label) => label.textContent).join(" ") || one.textContent;
        return text.trim() !== "";
    };
    if (!document.documentElement.lang) faults.push("no language");
    if (!document.title) faults.push("no title");
    if ([...document.querySelectorAll("main")].filter((one) => one.checkVisibility()).length !== 1) faults.push("not one main");
    if (!document.querySelector("[aria-live=polite], [role=status]") || !document.querySelector("[role=alert]")) faults.push("no live region");
    const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
    ids.filter((id, index) => ids.indexOf(id) !== index).forEach((id) => faults.push(`id twice: ${id}`));
    for (const one of document.querySelectorAll("button, a[href], input, select, textarea, [role=button], dialog, nav, [role=group], [role=img]")) {
        if (seen(one) && !named(one)) faults.push(`no name: ${show(one)}`);
    }
    for (const one of document.querySelectorAll("img")) if (!one.hasAttribute("alt")) faults.push(`no alt: ${show(one)}`);
    for (const one of document.querySelectorAll("[aria-labelledby]")) {
        for (const id of one.getAttribute("aria-labelledby").split(" ")) if (!document.getElementById(id)) faults.push(`labelled by nothing: ${id}`);
    }
    for (const one of document.querySelectorAll("[tabindex]")) if (one.tabIndex > 0) faults.push(`order of focus: ${show(one)}`);
    const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const colour = (text) => {
        context.clearRect(0, 0, 1, 1);
        context.fillStyle = text;
        context.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
    const light = (rgb) => {
        const [r, g, b] = rgb.slice(0, 3).map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (one) => {
        const layers = [];
        for (let at = one; at; at = at.parentElement) {
            const style = getComputedStyle(at);
            if (style.backgroundImage !== "none") return null;
            layers.unshift(colour(style.backgroundColor));
        }
        return layers.reduce((below, layer) => over(layer, below), [...colour("Canvas").slice(0, 3), 1]);
    };
    for (const one of document.querySelectorAll("body *")) {
        const text = [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
        if (!text || !seen(one) || one.closest(":disabled, .heard")) continue;
        const below = behind(one);
        if (!below) continue;
        const style = getComputedStyle(one);
        const [a, b] = [light(over(colour(style.color), below)), light(below)];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const size = parseFloat(style.fontSize);
        const wanted = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
        if (ratio < wanted) faults.push(`contrast ${ratio.toFixed(2)}: ${show(one)}`);
    }
    return faults;
"#;

async fn assert_accessible(browser: &Browser, what: &str) {
    assert_eq!(browser.script(FAULTS).await, json!([]), "{what}");
}

/// Where the focus goes with the key Tab, until it has been there.
async fn reaches(browser: &Browser, selector: &str) {
    for _ in 0..60 {
        let active = browser.client.active_element().await.unwrap();
        let here = format!("return document.activeElement.matches({})", Value::from(selector));
        if browser.script(&here).await == json!(true) {
            return;
        }
        active.send_keys("\u{E004}").await.unwrap();
    }
    panic!("the keyboard does not reach {selector}");
}

#[tokio::test]
async fn every_view_can_be_read_and_used_without_a_mouse() {
    let (stage, server) = (Stage::open().await, Server::start());
    let stranger = stage.browser("stranger").await;
    stranger.client.goto(&server.url).await.unwrap();
    stranger.sees("#sign-in").await;
    assert_accessible(&stranger, "sign-in").await;
    reaches(&stranger, "#sign-in").await;

    let [alice, bob] = stage.people(&server, ["alice", "bob"]).await;
    alice.sees("[data-person=bob]").await;
    assert_accessible(&alice, "the list").await;
    reaches(&alice, "[data-person=bob]").await;
    alice.client.active_element().await.unwrap().send_keys("\u{E007}").await.unwrap();
    reaches(&alice, "#call-voice").await;
    assert_accessible(&alice, "a conversation").await;
    alice.client.active_element().await.unwrap().send_keys("\u{E007}").await.unwrap();
    bob.sees("[data-action=answer]").await;
    assert_accessible(&bob, "ringing").await;
    reaches(&bob, "[data-action=answer]").await;
    bob.client.active_element().await.unwrap().send_keys("\u{E007}").await.unwrap();
    alice.receives(1, false).await;
    assert_accessible(&alice, "a call").await;
    reaches(&alice, "#leave").await;
    alice.client.active_element().await.unwrap().send_keys("\u{E007}").await.unwrap();
    bob.sees("#call-ended-reason").await;
    assert_accessible(&bob, "an ended call").await;
    bob.client.goto(&format!("{}/relay", server.url)).await.unwrap();
    bob.sees("#places").await;
    assert_accessible(&bob, "the relay").await;
    stage.finish([&stranger, &alice, &bob]).await;
}
