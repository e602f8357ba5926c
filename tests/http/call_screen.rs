//! `POST /calls/ID/screenshare`: the screen share of a call.

use serde_json::json;

use crate::scenes::Scene;

#[tokio::test]
async fn the_last_claim_wins() {
    let scene = Scene::active().await;
    let screen = scene.path("screenshare");
    let (on, off) = (json!({ "on": true }), json!({ "on": false }));
    assert_eq!(scene.alice.post_json(&screen, on.clone()).await, (200, json!({ "status": "ok" })));
    assert_eq!(scene.state().await["screenshare_user"], "alice");
    let before = scene.server.rows();
    assert_eq!(scene.alice.post_json(&screen, on.clone()).await.0, 200, "again");
    assert_eq!(scene.server.rows(), before);
    assert_eq!(scene.bob.post_json(&screen, on.clone()).await.0, 200);
    assert_eq!(scene.state().await["screenshare_user"], "bob");

    // Users release only their own claim.
    let stopped = (200, json!({ "status": "ok" }));
    assert_eq!(scene.alice.post_json(&screen, off.clone()).await, stopped);
    assert_eq!(scene.state().await["screenshare_user"], "bob");
    assert_eq!(scene.bob.post_json(&screen, off).await, stopped);
    assert_eq!(scene.state().await["screenshare_user"], json!(null));
    scene.server.assert_integrity();
}

#[tokio::test]
async fn leaving_ends_the_screen_share() {
    let scene = Scene::active().await;
    assert_eq!(scene.alice.post_json(&scene.path("invite"), json!({ "username": "carol" })).await.0, 200);
    assert_eq!(scene.carol.post(&scene.path("accept")).await.0, 200);
    assert_eq!(scene.carol.post_json(&scene.path("screenshare"), json!({ "on": true })).await.0, 200);
    assert_eq!(scene.bob.post(&scene.path("leave")).await.0, 200);
    assert_eq!(scene.state().await["screenshare_user"], "carol");
    assert_eq!(scene.bob.post(&scene.path("accept")).await.0, 200);
    assert_eq!(scene.carol.post(&scene.path("leave")).await.0, 200);
    let state = scene.state().await;
    assert_eq!((&state["state"], &state["screenshare_user"]), (&json!("active"), &json!(null)));
    scene.server.assert_integrity();
}

#[tokio::test]
async fn sharing_requires_an_accepted_participant_of_an_active_call() {
    let scene = Scene::ringing().await;
    let (server, screen) = (&scene.server, scene.path("screenshare"));
    for on in [true, false] {
        let body = json!({ "on": on });
        let unknown = scene.alice.posting_json("/calls/none/screenshare", body.clone());
        server.assert_refuses(unknown, 404, "call_not_found").await;
        for (person, status, code) in [
            (&scene.alice, 409, "call_not_active"),
            (&scene.bob, 403, "not_accepted"),
            (&scene.carol, 403, "not_a_participant"),
        ] {
            server.assert_refuses(person.posting_json(&screen, body.clone()), status, code).await;
        }
    }
    assert_eq!(scene.bob.post(&scene.path("accept")).await.0, 200);
    for body in [json!({}), json!({ "on": null }), json!({ "on": 1 }), json!({ "on": "true" }), json!({ "on": [] })] {
        server.assert_refuses(scene.alice.posting_json(&screen, body), 400, "bad_body").await;
    }
    assert_eq!(scene.bob.post(&scene.path("end")).await.0, 200);
    for on in [true, false] {
        let body = json!({ "on": on });
        server.assert_refuses(scene.alice.posting_json(&screen, body.clone()), 409, "call_finished").await;
        server.assert_refuses(scene.carol.posting_json(&screen, body), 403, "not_a_participant").await;
    }
}
