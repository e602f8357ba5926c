//! `/admin`: who may use it, and its channels, calls, history, settings, tokens and violations.

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::scenes::{Scene, keys};
use crate::support::{Person, Server, answer, assert_refused};

/// Makes a user an admin, as the first one is made.
pub fn make_admin(server: &Server, person: &Person) {
    server.run(&["user", "role", &person.name, "admin"], "");
}

/// An active call of alice, the admin, and bob, and the channel private:1 of alice.
pub async fn scene() -> Scene {
    let scene = Scene::active().await;
    make_admin(&scene.server, &scene.alice);
    scene.server.private_channel(&["alice"]);
    scene
}

/// The members `name` of the items of a list.
pub fn column(list: &Value, name: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
}

/// Each route, with a request that an admin could send.
fn requests(person: &Person, call: &str) -> Vec<reqwest::RequestBuilder> {
    let get = |path: &str| person.getting(path);
    let post = |path: &str, body: Value| person.posting_json(path, body);
    let delete = |path: &str| person.request(Method::DELETE, path);
    vec![
        get("/admin/people"),
        post("/admin/people", json!({ "username": "dave", "password": "8 chars!" })),
        delete("/admin/people/carol"),
        post("/admin/people/carol/password", json!({ "password": "8 chars!" })),
        post("/admin/people/carol/display_name", json!({ "display_name": "Carol" })),
        post("/admin/people/carol/role", json!({ "role": "admin" })),
        get("/admin/sessions"),
        delete("/admin/sessions/0123456789abcdef"),
        get("/admin/channels"),
        post("/admin/channels", json!({ "title": "Team", "members": ["alice"] })),
        delete("/admin/channels/private:1"),
        post("/admin/channels/private:1/title", json!({ "title": "Team" })),
        post("/admin/channels/private:1/join", json!({ "username": "bob" })),
        post("/admin/channels/private:1/leave", json!({ "username": "alice" })),
        get("/admin/calls"),
        get(&format!("/admin/calls/{call}")),
        post(&format!("/admin/calls/{call}/end"), json!({})),
        get("/admin/history"),
        get("/admin/settings"),
        post("/admin/settings/gone_after", json!({ "value": 10 })),
        post("/admin/settings/gone_after/reset", json!({})),
        get("/admin/tokens"),
        delete("/admin/tokens/monitor"),
        get("/admin/violations"),
    ]
}

#[tokio::test]
async fn members_and_other_services_are_refused_on_every_route() {
    let scene = scene().await;
    let metrics = scene.server.run(&["token", "--service", "monitor", "--scope", "metrics"], "");
    let mut monitor = scene.bob.clone();
    monitor.token = metrics.trim().to_owned();
    for stranger in [&scene.bob, &monitor] {
        for request in requests(stranger, &scene.call) {
            scene.server.assert_refuses(request, 403, "admin_only").await;
        }
    }
    // A service is no person.
    assert_refused(&monitor.get("/me").await, 401, "unauthorized");
}

#[tokio::test]
async fn a_service_with_the_scope_admin_may_do_all_of_it() {
    let scene = scene().await;
    let printed = scene.server.run(&["token", "--service", "script", "--scope", "admin", "metrics"], "");
    let mut script = scene.bob.clone();
    script.token = printed.trim().to_owned();
    for request in requests(&script, &scene.call) {
        let (status, body) = answer(request).await;
        assert!(status == 200 || status == 404, "{status} {body}");
    }
    let changes = "SELECT group_concat(change, '; ') FROM command_log WHERE actor = 'service:script'";
    // The others are about what was removed before.
    assert_eq!(
        scene.server.value::<String>(changes),
        "added user; removed user; added channel; removed channel; ended call; changed setting; reset setting"
    );
    scene.server.assert_integrity();

    assert_eq!(answer(script.request(Method::DELETE, "/admin/tokens/script")).await.0, 200);
    assert_refused(&script.get("/admin/people").await, 401, "unauthorized");
}

#[tokio::test]
async fn a_lost_role_and_an_expired_token_count_at_once() {
    let scene = scene().await;
    let printed = scene.server.run(&["token", "--service", "script", "--scope", "admin"], "");
    let mut script = scene.bob.clone();
    script.token = printed.trim().to_owned();
    assert_eq!(script.get("/admin/people").await.0, 200);
    scene.server.execute("UPDATE service_tokens SET expires_ts = created_ts");
    assert_refused(&script.get("/admin/people").await, 401, "unauthorized");

    assert_eq!(scene.alice.read("/me").await["role"], "admin");
    let demotion = scene.alice.post_json("/admin/people/alice/role", json!({ "role": "member" })).await;
    assert_eq!(demotion, (200, json!({ "status": "changed" })));
    let request = scene.alice.posting_json("/admin/people/alice/role", json!({ "role": "admin" }));
    scene.server.assert_refuses(request, 403, "admin_only").await;
    assert_eq!(scene.alice.read("/me").await["role"], "member");
}

#[tokio::test]
async fn the_cookie_of_an_admin_cannot_be_used_by_another_site() {
    let scene = scene().await;
    let request = Client::new()
        .delete(format!("{}/admin/people/carol", scene.server.url))
        .header("cookie", format!("session={}", scene.alice.token))
        .header("origin", "https://evil.example");
    scene.server.assert_refuses(request, 403, "cross_site").await;
}

#[tokio::test]
async fn channels_are_added_changed_and_removed() {
    let Scene { server, alice, bob, .. } = scene().await;
    let team = json!({ "title": " The team ", "members": ["bob", " alice ", "bob"] });
    let added = alice.post_json("/admin/channels", team).await;
    assert_eq!(added, (200, json!({ "status": "added", "channel": "private:2" })));
    let list = alice.read("/admin/channels?after=private:1").await;
    assert_eq!(keys(&list[0]), ["channel", "created_by", "created_ts", "external_id", "issuer", "members", "title"]);
    assert_eq!((&list[0]["title"], &list[0]["members"]), (&json!("The team"), &json!(["alice", "bob"])), "{list}");
    assert_eq!(list[0]["created_by"], "bob");
    assert_eq!(column(&alice.read("/admin/channels?limit=1").await, "channel"), ["private:1"]);

    // Clients may encode the colon.
    let joined = alice.post_json("/admin/channels/private%3A2/join", json!({ "username": "carol" })).await;
    assert_eq!(joined, (200, json!({ "status": "joined" })));
    let left = alice.post_json("/admin/channels/private:2/leave", json!({ "username": "alice" })).await;
    assert_eq!(left, (200, json!({ "status": "left" })));
    let renamed = alice.post_json("/admin/channels/private:2/title", json!({ "title": "Others" })).await;
    assert_eq!(renamed, (200, json!({ "status": "changed" })));
    let list = alice.read("/admin/channels?after=private:1").await;
    assert_eq!((&list[0]["title"], &list[0]["members"]), (&json!("Others"), &json!(["bob", "carol"])), "{list}");

    let call = bob.call("private:2").await;
    let removed = answer(alice.request(Method::DELETE, "/admin/channels/private:2")).await;
    assert_eq!(removed, (200, json!({ "status": "removed" })));
    let state = alice.read(&format!("/admin/calls/{call}")).await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("admin")));
    let logged = "SELECT group_concat(change || ' ' || subject, '; ') FROM command_log WHERE actor = 'alice'";
    assert_eq!(
        server.value::<String>(logged),
        "added channel The team with bob, alice, bob; added member private:2 (The team), carol; \
         removed member private:2 (The team), alice; renamed channel private:2 (The team), Others; \
         removed channel private:2 (Others)"
    );
    server.assert_integrity();
}

#[tokio::test]
async fn unknown_channels_users_and_members_are_refused() {
    let Scene { server, alice, .. } = scene().await;
    let member = |channel: &str, action: &str, name: &str| {
        alice.posting_json(&format!("/admin/channels/{channel}/{action}"), json!({ "username": name }))
    };
    for (request, status, code) in [
        (member("private:9", "join", "bob"), 404, "channel_not_found"),
        (member("private:9", "leave", "bob"), 404, "channel_not_found"),
        (member("1", "join", "bob"), 404, "channel_not_found"),
        (member("dm:alice:bob", "join", "carol"), 404, "channel_not_found"),
        (member("private:1", "join", "zoe"), 404, "user_not_found"),
        (member("private:1", "leave", "zoe"), 404, "user_not_found"),
        (member("private:1", "leave", "bob"), 404, "member_not_found"),
        (member("private:1", "join", "alice"), 409, "already_a_member"),
        (alice.posting_json("/admin/channels/private:9/title", json!({ "title": "x" })), 404, "channel_not_found"),
        (alice.request(Method::DELETE, "/admin/channels/private:9"), 404, "channel_not_found"),
        (alice.posting_json("/admin/channels", json!({ "title": "x", "members": ["zoe"] })), 404, "user_not_found"),
        (alice.posting_json("/admin/channels", json!({ "title": "x", "members": "bob" })), 400, "bad_body"),
        (alice.getting("/admin/channels?limit=0"), 400, "bad_limit"),
    ] {
        server.assert_refuses(request, status, code).await;
    }
}

#[tokio::test]
async fn live_calls_are_listed_shown_and_ended() {
    let Scene { server, alice, bob, carol, call } = scene().await;
    let team = server.private_channel(&["bob", "carol"]);
    let ringing = carol.call(&team).await;
    let list = alice.read("/admin/calls").await;
    assert_eq!(column(&list, "call_id"), [call.clone(), ringing.clone()]);
    assert_eq!((&list[0]["title"], &list[1]["title"]), (&json!(null), &json!("a channel")));
    assert_eq!((&list[0]["on_the_call"], &list[0]["still_ringing"]), (&json!(["alice", "bob"]), &json!([])));
    assert_eq!((&list[1]["on_the_call"], &list[1]["still_ringing"]), (&json!(["carol"]), &json!(["bob"])));
    assert_eq!(column(&alice.read("/admin/calls?limit=1").await, "call_id"), [call.as_str()]);
    assert_eq!(column(&alice.read(&format!("/admin/calls?after={call}")).await, "call_id"), [ringing.as_str()]);

    // An admin is no member of the channel.
    assert_refused(&alice.get(&format!("/calls/{ringing}/state")).await, 403, "not_a_member");
    let shown = alice.read(&format!("/admin/calls/{ringing}")).await;
    assert_eq!((&shown["channel"], &shown["state"]), (&json!(team), &json!("ringing")));
    let end = format!("/admin/calls/{ringing}/end");
    assert_eq!(alice.post(&end).await, (200, json!({ "status": "ended" })));
    let state = bob.read(&format!("/calls/{ringing}/state")).await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("admin")));
    assert_eq!(column(&alice.read("/admin/calls").await, "call_id"), [call]);

    server.assert_refuses(alice.posting(&end), 409, "call_finished").await;
    server.assert_refuses(alice.posting("/admin/calls/none/end"), 404, "call_not_found").await;
    server.assert_refuses(alice.getting("/admin/calls/none"), 404, "call_not_found").await;
}

#[tokio::test]
async fn the_history_is_that_of_all_people_and_pages() {
    let Scene { server, alice, bob, carol, call } = scene().await;
    let team = server.private_channel(&["bob", "carol"]);
    let of_team = carol.call(&team).await;
    assert_eq!(bob.post(&format!("/calls/{of_team}/reject")).await.0, 200);
    assert_eq!(bob.post(&format!("/calls/{call}/end")).await.0, 200);
    let all = alice.read("/admin/history").await;
    assert_eq!(column(&all, "call_id"), [call.clone(), of_team.clone()]);
    assert_eq!((&all[0]["outcome"], &all[0]["took_part"]), (&json!("answered"), &json!(["alice", "bob"])), "{all}");
    assert_eq!((&all[1]["outcome"], &all[1]["title"]), (&json!("declined"), &json!("a channel")), "{all}");

    for (query, expected) in [
        ("limit=1".to_owned(), vec![&call]),
        (format!("before={call}"), vec![&of_team]),
        (format!("before={of_team}"), vec![]),
        (format!("before={}", all[0]["ended_ts"]), vec![&of_team]),
        ("before=0".to_owned(), vec![]),
        ("channel=dm:bob:alice".to_owned(), vec![&call]),
        (format!("channel={team}"), vec![&of_team]),
        ("channel=private:99".to_owned(), vec![]),
        ("username=carol".to_owned(), vec![&of_team]),
        ("username=bob".to_owned(), vec![&call, &of_team]),
        ("username=zoe".to_owned(), vec![]),
        ("outcome=declined".to_owned(), vec![&of_team]),
        ("outcome=answered&username=bob".to_owned(), vec![&call]),
        ("outcome=interrupted".to_owned(), vec![]),
    ] {
        let page = alice.read(&format!("/admin/history?{query}")).await;
        assert_eq!(column(&page, "call_id"), expected.into_iter().cloned().collect::<Vec<_>>(), "{query}");
    }
    server.assert_refuses(alice.getting("/admin/history?before=x"), 400, "bad_cursor").await;
    server.assert_refuses(alice.getting("/admin/history?limit=201"), 400, "bad_limit").await;
}

#[tokio::test]
async fn settings_are_listed_changed_and_reset() {
    let Scene { server, alice, .. } = scene().await;
    let list = alice.read("/admin/settings?limit=200").await;
    assert_eq!(keys(&list[0]), ["default", "highest", "kind", "lowest", "meaning", "name", "unit", "value"]);
    let count = i64::try_from(list.as_array().unwrap().len()).unwrap();
    assert_eq!(count, server.value::<i64>("SELECT count(*) FROM settings"));
    let setting = async |name: &str| {
        let list = alice.read("/admin/settings?limit=200").await;
        list.as_array().unwrap().iter().find(|setting| setting["name"] == name).unwrap()["value"].clone()
    };
    for (name, value, stored) in [
        ("ringing_timeout", json!(45), json!(45)),
        ("gone_after", json!(2.5), json!(2.5)),
        ("presence_interval", json!("4"), json!(4)),
        ("session_cookie", json!("calls"), json!("calls")),
        ("ice_servers", json!([{ "urls": "stun:stun.example.org" }]), json!(r#"[{"urls":"stun:stun.example.org"}]"#)),
    ] {
        let changed = alice.post_json(&format!("/admin/settings/{name}"), json!({ "value": value })).await;
        assert_eq!(changed, (200, json!({ "status": "changed" })), "{name}");
        assert_eq!(setting(name).await, stored);
    }
    assert_eq!(alice.post("/admin/settings/ringing_timeout/reset").await, (200, json!({ "status": "reset" })));
    assert_eq!(setting("ringing_timeout").await, 30);

    for (name, value, status, code) in [
        ("ring_timeout", json!(45), 404, "setting_not_found"),
        ("ringing_timeout", json!(0), 400, "setting_is_in_range"),
        ("ringing_timeout", json!(1e300), 400, "setting_is_in_range"),
        ("ringing_timeout", json!("soon"), 400, "setting_is_a_number"),
        ("ringing_timeout", json!([45]), 400, "setting_is_a_number"),
        ("ringing_timeout", json!(true), 400, "bad_body"),
        ("ringing_timeout", json!(null), 400, "bad_body"),
        ("presence_interval", json!(31), 409, "presence_interval_too_long"),
    ] {
        let request = alice.posting_json(&format!("/admin/settings/{name}"), json!({ "value": value }));
        server.assert_refuses(request, status, code).await;
    }
    server.assert_refuses(alice.posting("/admin/settings/none/reset"), 404, "setting_not_found").await;
    // A value may be a secret, so no log has it.
    let logged: String = server.value("SELECT group_concat(subject) FROM command_log WHERE change = 'changed setting'");
    assert_eq!(logged, "ringing_timeout,gone_after,presence_interval,session_cookie,ice_servers");
}

#[tokio::test]
async fn service_tokens_are_listed_and_revoked() {
    let Scene { server, alice, .. } = scene().await;
    let token = server.run(&["token", "--service", "monitor", "--ttl", "1h"], "");
    server.run(&["token", "--service", "script", "--scope", "admin", "metrics"], "");
    let list = alice.read("/admin/tokens").await;
    assert_eq!(column(&list, "name"), ["monitor", "script"]);
    assert_eq!(keys(&list[0]), ["created_ts", "expired", "expires_ts", "name", "scopes"]);
    assert_eq!((&list[0]["scopes"], &list[1]["scopes"]), (&json!(["metrics"]), &json!(["admin", "metrics"])));
    assert!(!list.to_string().contains(token.trim()));
    assert_eq!(column(&alice.read("/admin/tokens?after=monitor").await, "name"), ["script"]);

    let revoke = || alice.request(Method::DELETE, "/admin/tokens/monitor");
    assert_eq!(answer(revoke()).await, (200, json!({ "status": "revoked" })));
    server.assert_refuses(revoke(), 404, "service_token_not_found").await;
    assert_eq!(column(&alice.read("/admin/tokens").await, "name"), ["script"]);
}

#[tokio::test]
async fn violations_are_listed() {
    let Scene { server, alice, .. } = scene().await;
    assert_eq!(alice.read("/admin/violations").await, json!([]));
    server.execute("DELETE FROM person_counts WHERE username = 'carol'");
    let list = alice.read("/admin/violations").await;
    assert_eq!(list, json!(["carol is not counted: the row in person_counts is missing"]));
}
