//! A person's own account: sessions, and the password.

use crate::driver::Driver;
use crate::support::{Server, assert_refused};

#[tokio::test]
async fn a_person_ends_a_session_and_changes_the_password() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.run(&["user", "add", "alice"], "rabbit hole");
    let (phone, bob) = (server.person("alice"), server.person("bob"));
    let alice = driver.signed_in_at(&server, "alice", "/").await;
    alice.click("#open-account").await;
    alice.wait_until("document.querySelectorAll('[data-session]').length === 2").await;
    alice.wait_text("[data-session][data-current]", "This session").await;
    alice.click("[data-end]").await;
    alice.wait_until("document.querySelectorAll('[data-session]').length === 1").await;
    assert_refused(&phone.get("/me").await, 401, "unauthorized");

    let phone = server.person("alice");
    let change = async |old: &str, new: &str| {
        alice.script("document.querySelector('#change-password').reset()").await;
        alice.type_into("#old-password", old).await;
        alice.type_into("#new-password", new).await;
        alice.click("#change-password button").await;
    };
    change("a guess", "looking glass").await;
    alice.wait_text("#change-password [role=alert]", "The old password is wrong.").await;
    change("rabbit hole", "short").await;
    alice.wait_text("#change-password [role=alert]", "A password has 8 to 1024 characters.").await;
    assert_eq!(phone.get("/me").await.0, 200);
    change("rabbit hole", "looking glass").await;
    alice.wait_text("#change-password [role=status]", "Your password is changed.").await;
    assert_refused(&phone.get("/me").await, 401, "unauthorized");
    alice.wait_until("document.querySelectorAll('[data-session]').length === 1").await;

    // Guesses of the password are failed logins.
    server.execute("INSERT INTO set_setting (name, value) VALUES ('login_attempts_per_name', 1), ('login_pause', 60)");
    change("a guess", "looking glass").await;
    alice.wait_text("#change-password [role=alert]", "The old password is wrong.").await;
    change("looking glass", "rabbit hole").await;
    alice.wait_text("#change-password [role=alert]", "Too many failed logins").await;
    alice.click("#account [data-answer=done]").await;

    // The page has the new session, and a stream of it.
    bob.call("dm:alice:bob").await;
    alice.wait_visible("[data-action=answer]").await;
    driver.finish([&alice]).await;
}
