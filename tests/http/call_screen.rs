//! `POST /calls/ID/screenshare`: who shares a screen in a call.

use serde_json::json;

use crate::scenes::Talk;

#[tokio::test]
async fn the_last_to_claim_is_the_one_sharer() {
    let talk = Talk::active().await;
    let screen = talk.path("screenshare");
    let (on, off) = (json!({ "on": true }), json!({ "on": false }));
    assert_eq!(talk.alice.post_json(&screen, on.clone()).await, (200, json!({ "status": "sharing" })));
    assert_eq!(talk.state().await["screenshare_user"], "alice");
    let before = talk.server.rows();
    assert_eq!(talk.alice.post_json(&screen, on.clone()).await.0, 200, "again");
    assert_eq!(talk.server.rows(), before);
    assert_eq!(talk.bob.post_json(&screen, on.clone()).await.0, 200);
    assert_eq!(talk.state().await["screenshare_user"], "bob");

    // Only one's own claim is released.
    let stopped = (200, json!({ "status": "stopped" }));
    assert_eq!(talk.alice.post_json(&screen, off.clone()).await, stopped);
    assert_eq!(talk.state().await["screenshare_user"], "bob");
    assert_eq!(talk.bob.post_json(&screen, off).await, stopped);
    assert_eq!(talk.state().await["screenshare_user"], json!(null));
    talk.server.assert_integrity();
}

#[tokio::test]
async fn leaving_clears_the_screen() {
    let talk = Talk::active().await;
    assert_eq!(talk.alice.post_json(&talk.path("invite"), json!({ "username": "carol" })).await.0, 200);
    assert_eq!(talk.carol.post(&talk.path("accept")).await.0, 200);
    assert_eq!(talk.carol.post_json(&talk.path("screenshare"), json!({ "on": true })).await.0, 200);
    assert_eq!(talk.bob.post(&talk.path("leave")).await.0, 200);
    assert_eq!(talk.state().await["screenshare_user"], "carol");
    assert_eq!(talk.bob.post(&talk.path("accept")).await.0, 200);
    assert_eq!(talk.carol.post(&talk.path("leave")).await.0, 200);
    let state = talk.state().await;
    assert_eq!((&state["state"], &state["screenshare_user"]), (&json!("active"), &json!(null)));
    talk.server.assert_integrity();
}

#[tokio::test]
async fn the_screen_is_for_those_on_an_active_call() {
    let talk = Talk::ringing().await;
    let (server, screen) = (&talk.server, talk.path("screenshare"));
    for on in [true, false] {
        let body = json!({ "on": on });
        let unknown = talk.alice.posting_json("/calls/none/screenshare", body.clone());
        server.assert_refuses(unknown, 404, "call_not_found").await;
        for (person, status, code) in [
            (&talk.alice, 409, "call_not_active"),
            (&talk.bob, 403, "not_accepted"),
            (&talk.carol, 403, "not_a_participant"),
        ] {
            server.assert_refuses(person.posting_json(&screen, body.clone()), status, code).await;
        }
    }
    assert_eq!(talk.bob.post(&talk.path("accept")).await.0, 200);
    for body in [json!({}), json!({ "on": null }), json!({ "on": 1 }), json!({ "on": "true" }), json!({ "on": [] })] {
        server.assert_refuses(talk.alice.posting_json(&screen, body), 400, "bad_body").await;
    }
    assert_eq!(talk.bob.post(&talk.path("end")).await.0, 200);
    for on in [true, false] {
        let body = json!({ "on": on });
        server.assert_refuses(talk.alice.posting_json(&screen, body.clone()), 409, "call_finished").await;
        server.assert_refuses(talk.carol.posting_json(&screen, body), 403, "not_a_participant").await;
    }
}
