//! The history, missed calls, and the page's own policy.

use serde_json::json;

use crate::stage::Stage;
use crate::support::Server;

#[tokio::test]
async fn a_missed_call_is_counted_until_it_is_seen_in_the_history() {
    let (stage, server) = (Stage::open().await, Server::start());
    let [alice, bob] = stage.people(&server, ["alice", "bob"]).await;
    let device = stage.person(&server, "bob", "/").await;
    alice.call("bob", "#call-voice").await;
    bob.sees("[data-action=answer]").await;
    server.age_invitations(60.0);
    alice.reads("#call-ended-reason", "Nobody answered").await;
    alice.click("#call-close").await;
    for one in [&bob, &device] {
        one.until("document.querySelector('[data-missed]').textContent === '1'").await;
    }
    bob.click("#open-history").await;
    bob.reads("[data-history=all] [data-outcome=missed].missed", "Missed").await;
    bob.until("!document.querySelector('[data-missed]').checkVisibility()").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM missed_calls WHERE NOT seen"), 0);

    alice.click("#open-history").await;
    alice.reads("[data-history=all] [data-outcome=missed]", "Nobody answered").await;
    alice.misses("[data-history=all] .missed").await;
    stage.finish([&alice, &bob, &device]).await;
}

#[tokio::test]
async fn older_calls_are_shown_a_page_at_a_time() {
    let (stage, server) = (Stage::open().await, Server::start());
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    for _ in 0..25 {
        let call = alice.call("dm:alice:bob").await;
        assert_eq!(bob.post(&format!("/calls/{call}/reject")).await.0, 200);
    }
    let browser = stage.person(&server, "alice", "/#history").await;
    let rows = "document.querySelectorAll('[data-outcome=declined]').length";
    browser.until(&format!("{rows} === 20")).await;
    browser.click("[data-action=older]").await;
    browser.until(&format!("{rows} === 25")).await;
    browser.until("!document.querySelector('[data-action=older]').checkVisibility()").await;
    let distinct =
        "return new Set([...document.querySelectorAll('[data-outcome]')].map(({ dataset }) => dataset.call)).size";
    assert_eq!(browser.script(distinct).await, json!(25));
    stage.finish([&browser]).await;
}

/// What every test relies on (`Stage::finish`).
#[tokio::test]
async fn a_page_that_breaks_its_policy_or_throws_is_noticed() {
    let (stage, server) = (Stage::open().await, Server::start());
    let browser = stage.browser("alice").await;
    browser.client.goto(&server.url).await.unwrap();
    browser.sees("#sign-in").await;
    browser.assert_faultless().await;
    for (script, complaint) in [
        (
            "const it = document.createElement('style'); it.append('p { color: red }'); document.head.append(it)",
            "Content Security Policy",
        ),
        ("const it = new Image(); it.src = 'http://127.0.0.1:9/x.png'", "Content Security Policy"),
        ("setTimeout(() => { document.body.innerHTML = '<p>' })", "TrustedHTML"),
        ("setTimeout(() => { throw new Error('a mistake') })", "a mistake"),
        ("Promise.reject(new Error('nobody catches this'))", "nobody catches this"),
        ("console.error('told')", "told"),
    ] {
        browser.script(script).await;
        let mut complaints = browser.complaints().await;
        while complaints.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            complaints = browser.complaints().await;
        }
        assert!(complaints.iter().any(|one| one.contains(complaint)), "{script}: {complaints:?}");
    }
    stage.finish([&browser]).await;
}
