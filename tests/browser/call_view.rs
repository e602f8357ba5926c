//! The view of a call: layouts, keys, what people send each other, and the bar below the lobby.

use serde_json::{Value, json};

use crate::axe::Axe;
use crate::browser::{Browser, Media};
use crate::driver::Driver;
use crate::support::Server;
use crate::views::{VIEWPORTS, Viewport};

/// alice, bob and carol talk in a channel, with alice's camera on.
async fn three_talk(driver: &Driver, server: &Server) -> [Browser; 3] {
    for name in ["alice", "bob", "carol"] {
        server.person(name);
    }
    let team = server.private_channel(&["alice", "bob", "carol"]);
    let [alice, bob, carol] = driver.signed_in(server, ["alice", "bob", "carol"]).await;
    alice.click(&format!("[data-channel='{team}']")).await;
    alice.click("#call-video").await;
    for browser in [&bob, &carol] {
        browser.click("[data-action=answer]").await;
    }
    for browser in [&bob, &carol] {
        browser.wait_media(2, Media::Both).await;
    }
    alice.wait_media(2, Media::Audio).await;
    [alice, bob, carol]
}

async fn two_talk(driver: &Driver, server: &Server) -> [Browser; 2] {
    let [alice, bob] = driver.signed_in(server, ["alice", "bob"]).await;
    alice.call("bob", "#call-voice").await;
    bob.click("[data-action=answer]").await;
    for browser in [&alice, &bob] {
        browser.wait_media(1, Media::Audio).await;
    }
    [alice, bob]
}

/// Presses or releases a key, on what has the focus.
async fn key(browser: &Browser, event: &str, key: &str) {
    let code = if key == " " { 32 } else { u32::from(key.to_ascii_uppercase().as_bytes()[0]) };
    let text = if event == "keyDown" && key.len() == 1 { key } else { "" };
    let parameters = json!({ "type": event, "key": key, "text": text, "windowsVirtualKeyCode": code });
    browser.devtools("Input.dispatchKeyEvent", parameters).await;
}

async fn press(browser: &Browser, name: &str) {
    key(browser, "keyDown", name).await;
    key(browser, "keyUp", name).await;
}

/// Presses a button of a tile, which is there while the pointer is on the tile.
async fn press_on_tile(browser: &Browser, tile: &str, action: &str) {
    browser.script(&format!("document.querySelector('{tile} [data-action={action}]').click()")).await;
}

fn pressed(button: &str, is_pressed: bool) -> String {
    format!("document.querySelector('{button}').ariaPressed === '{is_pressed}'")
}

#[tokio::test]
async fn hands_reactions_and_messages_reach_those_on_the_call() {
    let (driver, server) = (Driver::start().await, Server::start());
    let source = driver.browser("axe").await;
    let axe = Axe::from(&source).await;
    let [alice, bob, carol] = three_talk(&driver, &server).await;
    carol.click("#leave").await;
    bob.wait_text("[data-announcer]", "carol left.").await;

    alice.click("#hand").await;
    bob.wait_visible("[data-kind=peer][data-tile=alice] .tile-hand").await;
    bob.wait_text("[data-announcer]", "alice raised a hand.").await;
    // Who comes later sees it, too.
    carol.click("#call-close").await;
    carol.click("[data-channel]").await;
    carol.click("[data-action=join]").await;
    carol.click("#join-now").await;
    carol.wait_visible("[data-kind=peer][data-tile=alice] .tile-hand").await;
    alice.click("#hand").await;
    carol.wait_until("!document.querySelector('[data-tile=alice] .tile-hand').checkVisibility()").await;

    alice.click("#reactions-button").await;
    alice.click("[data-reaction='👏']").await;
    for browser in [&alice, &bob, &carol] {
        browser.wait_text("[data-tile=alice] .tile-reaction", "👏").await;
    }
    bob.wait_text("[data-announcer]", "alice reacted: 👏").await;

    // Text stays text, and addresses are links.
    alice.click("#chat-button").await;
    alice.type_into("#chat-text", "<b>bold</b> https://example.org/a.\u{E007}").await;
    bob.wait_text("#chat-button .badge", "1").await;
    bob.wait_text("[data-announcer]", "alice wrote: <b>bold</b>").await;
    bob.click("#chat-button").await;
    for browser in [&alice, &bob, &carol] {
        browser.wait_text("#chat-panel [data-message=alice]", "<b>bold</b> https://example.org/a.").await;
    }
    bob.wait_text("#chat-panel .message-text a", "https://example.org/a").await;
    assert_eq!(bob.script("return document.querySelectorAll('#chat-panel .message-text b').length").await, json!(0));
    bob.wait_until("!document.querySelector('#chat-button .badge').checkVisibility()").await;
    bob.type_into("#chat-text", "To both\u{E007}").await;
    alice.wait_text("#chat-panel [data-message=bob]", "To both").await;
    carol.wait_text("#chat-button .badge", "2").await;
    for viewport in [VIEWPORTS[0], VIEWPORTS[3]] {
        bob.set_viewport(viewport).await;
        let faults = axe.faults(&bob).await;
        assert!(faults.is_empty(), "{viewport:?}: {faults:#?}");
    }
    assert_eq!(server.value::<i64>("SELECT count(*) FROM call_signals WHERE payload LIKE '%bold%'"), 0);
    driver.finish([&source, &alice, &bob, &carol]).await;
}

#[tokio::test]
async fn keys_mute_and_talk_and_a_muted_speaker_is_warned() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob] = two_talk(&driver, &server).await;
    alice.click("#call-title").await;
    press(&alice, "m").await;
    alice.wait_until(&pressed("#mute", false)).await;
    bob.wait_visible("[data-tile=alice] .tile-muted").await;
    // The fake microphone beeps: the page notices it, and sends nothing of it.
    alice.wait_visible("[data-muted-hint]").await;
    bob.wait_media_stops(|stats| stats.energy).await;

    let before = bob.media_stats().await.energy;
    key(&alice, "keyDown", " ").await;
    alice.wait_until(&pressed("#mute", true)).await;
    bob.wait_media_where(1, Media::Audio, |stats| stats.energy > before).await;
    key(&alice, "keyUp", " ").await;
    alice.wait_until(&pressed("#mute", false)).await;
    bob.wait_media_stops(|stats| stats.energy).await;

    press(&alice, "v").await;
    bob.wait_media(1, Media::Both).await;
    press(&alice, "h").await;
    bob.wait_visible("[data-tile=alice] .tile-hand").await;
    press(&alice, "?").await;
    alice.wait_visible("#shortcuts[open]").await;
    alice.click("#use-shortcuts").await;
    alice.click("#shortcuts [data-answer=done]").await;
    press(&alice, "m").await;
    alice.click("#chat-button").await;
    alice.type_into("#chat-text", "mmm").await;
    alice.wait_until(&pressed("#mute", false)).await;
    // Escape closes the chat, then makes the call a bar.
    press(&alice, "Escape").await;
    alice.wait_until("!document.querySelector('#chat-panel').checkVisibility()").await;
    press(&alice, "Escape").await;
    alice.wait_visible("#call.small").await;
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn a_call_continues_as_a_bar_below_the_lobby() {
    let (driver, server) = (Driver::start().await, Server::start());
    let source = driver.browser("axe").await;
    let axe = Axe::from(&source).await;
    let [alice, bob] = two_talk(&driver, &server).await;
    alice.click("#resize-call").await;
    alice.wait_visible("#call.small").await;
    alice.click("#open-history").await;
    alice.wait_visible("[data-history]").await;
    for viewport in VIEWPORTS {
        alice.set_viewport(viewport).await;
        let faults = axe.faults(&alice).await;
        assert!(faults.is_empty(), "{viewport:?}: {faults:#?}");
    }
    alice.set_viewport(VIEWPORTS[0]).await;
    alice.click("#mute").await;
    bob.wait_visible("[data-tile=alice] .tile-muted").await;
    alice.click("#mute").await;
    for browser in [&alice, &bob] {
        browser.wait_media(1, Media::Audio).await;
    }
    alice.click("#resize-call").await;
    alice.wait_visible("[data-kind=peer][data-tile=bob]").await;

    // Back leads to the lobby, and the call continues.
    alice.client.back().await.unwrap();
    alice.wait_visible("#call.small").await;
    alice.click("[data-person=bob]").await;
    alice.wait_media(1, Media::Audio).await;
    alice.click(".pane [data-action=return]").await;
    alice.wait_absent("#call.small").await;
    alice.client.back().await.unwrap();
    alice.wait_visible("#call.small").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls WHERE state = 'active'"), 1);
    // Closing the page is asked about, a reload is not.
    let asks = "return !dispatchEvent(new Event('beforeunload', { cancelable: true }))";
    assert_eq!(alice.script(asks).await, json!(true));
    alice.client.refresh().await.unwrap();
    for browser in [&alice, &bob] {
        browser.wait_media(1, Media::Audio).await;
    }
    alice.client.back().await.unwrap();
    alice.wait_visible("#call.small").await;
    alice.click("#leave").await;
    alice.wait_absent("#call").await;
    assert_eq!(alice.script(asks).await, json!(false));
    bob.wait_visible("#call-ended-reason").await;
    driver.finish([&source, &alice, &bob]).await;
}

/// Where the tiles are: their names by left edge, top edge, width and height.
async fn rects(browser: &Browser) -> Vec<(String, [f64; 4])> {
    let script = "return [...document.querySelectorAll('.tile')].map((tile) => {
        const { left, top, width, height } = tile.getBoundingClientRect();
        return [tile.dataset.kind + ' ' + tile.dataset.tile, [left, top, width, height]];
    })";
    serde_json::from_value(browser.script(script).await).unwrap()
}

async fn area(browser: &Browser, tile: &str) -> f64 {
    let all = rects(browser).await;
    let (_, [_, _, width, height]) = all.iter().find(|(name, _)| name == tile).unwrap_or_else(|| panic!("{all:?}"));
    width * height
}

#[tokio::test]
async fn tiles_can_be_pinned_and_made_quieter_in_every_window() {
    let (driver, server) = (Driver::start().await, Server::start());
    let source = driver.browser("axe").await;
    let axe = Axe::from(&source).await;
    let [alice, bob, carol] = three_talk(&driver, &server).await;
    for (width, height) in [(320, 640), (844, 390), (640, 360), (1440, 900)] {
        bob.set_viewport(Viewport { width, height, scheme: "dark" }).await;
        bob.wait_until("document.querySelector('.tiles').dataset.layout === 'grid'").await;
        let all = rects(&bob).await;
        assert_eq!(all.len(), 3, "{all:?}");
        for (name, [left, top, tile_width, tile_height]) in &all {
            let aspect = tile_width / tile_height;
            assert!((0.55..1.8).contains(&aspect), "{name} in {width}x{height} is a strip: {all:?}");
            assert!(*left >= 0.0 && *top >= 0.0, "{name} in {width}x{height}: {all:?}");
            assert!(left + tile_width <= f64::from(width) && top + tile_height <= f64::from(height), "{all:?}");
        }
        let row = bob
            .script(
                "return new Set([...document.querySelectorAll('.controls > .control')]
            .filter((one) => one.checkVisibility()).map((one) => one.getBoundingClientRect().top)).size",
            )
            .await;
        assert_eq!(row, json!(1), "the controls are in one row at {width} pixels");
    }
    let wide = |name: &'static str| area(&bob, name);
    assert!((wide("peer alice").await - wide("peer carol").await).abs() < 1.0);
    press_on_tile(&bob, "[data-tile=carol]", "pin").await;
    bob.wait_visible("[data-tile=carol].large").await;
    assert!(wide("peer carol").await > 4.0 * wide("peer alice").await);
    press_on_tile(&bob, "[data-tile=carol]", "pin").await;
    bob.wait_absent(".tile.large").await;

    // The view of who speaks is remembered.
    bob.click("#more").await;
    bob.click("#layout-button").await;
    bob.wait_visible(".tile.large[data-kind=peer]").await;
    bob.client.refresh().await.unwrap();
    bob.wait_visible(".tile.large[data-kind=peer]").await;

    press_on_tile(&bob, "[data-tile=alice]", "tile-menu").await;
    bob.wait_visible("#tile-menu[open]").await;
    let faults = axe.faults(&bob).await;
    assert!(faults.is_empty(), "{faults:#?}");
    bob.script("const slider = document.querySelector('#tile-volume'); slider.value = 30; slider.oninput()").await;
    bob.wait_until("document.querySelector('[data-tile=alice] audio').volume === 0.3").await;
    bob.click("#tile-mute").await;
    bob.wait_until("document.querySelector('[data-tile=alice] audio').muted").await;
    bob.wait_until("!document.querySelector('[data-tile=carol] audio').muted").await;
    bob.click("[data-action=tile-fullscreen]").await;
    bob.wait_until("document.fullscreenElement?.dataset.tile === 'alice'").await;
    bob.script("document.exitFullscreen()").await;
    // It stays for a person who comes back.
    alice.client.refresh().await.unwrap();
    alice.wait_media(2, Media::Audio).await;
    bob.wait_until("document.querySelector('[data-tile=alice] audio')?.volume === 0.3").await;
    driver.finish([&source, &alice, &bob, &carol]).await;
}

#[tokio::test]
async fn absent_people_are_names_with_a_reason() {
    let (driver, server) = (Driver::start().await, Server::start());
    for name in ["alice", "bob", "carol", "dave", "erin"] {
        server.person(name);
    }
    server.execute("INSERT INTO set_quiet (username, seconds) VALUES ('dave', 3600)");
    let team = server.private_channel(&["alice", "bob", "carol", "dave", "erin"]);
    let [alice, bob, carol] = driver.signed_in(&server, ["alice", "bob", "carol"]).await;
    alice.click(&format!("[data-channel='{team}']")).await;
    alice.click("#call-voice").await;
    alice.wait_text("[data-absent=dave]", "do not disturb").await;
    alice.wait_visible("[data-kind=calling]").await;
    bob.click("[data-action=answer]").await;
    carol.click("[data-action=decline]").await;
    alice.wait_text("[data-absent=carol]", "declined").await;
    alice.wait_text("[data-absent=erin]", "ringing").await;
    alice.wait_media(1, Media::Audio).await;
    assert_eq!(alice.script("return document.querySelectorAll('.tile').length").await, json!(2));
    server.age_invitations(60.0);
    alice.wait_text("[data-absent=erin]", "no answer").await;
    driver.finish([&alice, &bob, &carol]).await;
}

#[tokio::test]
async fn a_screen_is_announced_while_it_loads_and_a_call_says_who_shares() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob] = two_talk(&driver, &server).await;
    // Holds the pictures back: the tile is there before them.
    bob.script("for (const one of window.connections) one.ontrack = null").await;
    alice.click("#screen").await;
    bob.wait_text("[data-sharing]", "alice is sharing their screen.").await;
    bob.wait_text("[data-kind=screen] .tile-note", "Loading screen…").await;
    let avatar = "document.querySelector('[data-kind=screen] .avatar').checkVisibility()";
    assert_eq!(bob.script(&format!("return {avatar}")).await, json!(false));
    bob.client.refresh().await.unwrap();
    bob.wait_until("document.querySelector('[data-kind=screen] video')?.videoWidth > 0").await;
    bob.wait_until("document.querySelector('[data-kind=screen] .tile-note').textContent === ''").await;
    alice.wait_until(&pressed("#screen", true)).await;
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn devices_are_checked_before_a_call_when_a_person_wants_it() {
    let (driver, server) = (Driver::start().await, Server::start());
    let source = driver.browser("axe").await;
    let axe = Axe::from(&source).await;
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    alice.click("#open-devices").await;
    // The fake microphone beeps.
    alice.wait_until("document.querySelector('[data-level]').value > 0.02").await;
    alice.click("#check-camera").await;
    alice.wait_until("document.querySelector('.preview video').videoWidth > 0").await;
    alice.click("#noiseSuppression").await;
    alice.click("#check-before").await;
    alice.click("#devices [data-answer=done]").await;
    alice.wait_absent("#devices").await;

    alice.call("bob", "#call-video").await;
    alice.wait_until("document.querySelector('.preview video')?.videoWidth > 0").await;
    for viewport in VIEWPORTS {
        alice.set_viewport(viewport).await;
        let faults = axe.faults(&alice).await;
        assert!(faults.is_empty(), "{viewport:?}: {faults:#?}");
    }
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls"), 0, "nothing rings yet");
    alice.click("#check-microphone").await;
    alice.click("#join-now").await;
    bob.click("[data-action=answer]").await;
    bob.wait_visible("[data-tile=alice] .tile-muted").await;
    bob.wait_until("document.querySelector('[data-tile=alice] video').videoWidth > 0").await;
    alice.click("#mute").await;
    bob.wait_media_where(1, Media::Both, |stats| stats.energy > 0).await;
    let stored: Value = alice.script("return localStorage.getItem('device-noiseSuppression')").await;
    assert_eq!(stored, json!("off"));
    driver.finish([&source, &alice, &bob]).await;
}
