//! Issuers over HTTP and on the command line. A key is never shown.

use serde_json::json;

use crate::signer::{SECRET, Signer, claims};
use crate::support::{Server, answer, assert_refused};

#[tokio::test]
async fn admins_manage_issuers() {
    let server = Server::start();
    let mut signer = Signer::start();
    let admin = server.person("alice");
    let bob = server.person("bob");
    server.run(&["user", "role", "alice", "admin"], "");
    let body = json!({ "name": "https://id.example.org/", "algorithm": "ES256", "key": signer.pem("ec"), "audience": "calls" });

    server.assert_refuses(bob.getting("/admin/issuers"), 403, "admin_only").await;
    server.assert_refuses(bob.posting_json("/admin/issuers", body.clone()), 403, "admin_only").await;
    assert_eq!(admin.post_json("/admin/issuers", body.clone()).await, (200, json!({ "status": "added" })));
    server.assert_refuses(admin.posting_json("/admin/issuers", body), 409, "issuer_exists").await;
    let chat = json!({ "name": "chat", "algorithm": "HS256", "key": SECRET, "clock_skew": 5 });
    assert_eq!(admin.post_json("/admin/issuers", chat).await.0, 200);

    let listed = admin.read("/admin/issuers").await;
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!((&listed[0]["name"], &listed[0]["clock_skew"]), (&json!("chat"), &json!(5.0)));
    assert_eq!((&listed[1]["algorithm"], &listed[1]["audience"]), (&json!("ES256"), &json!("calls")));
    assert!(!listed.to_string().contains("key") && !listed.to_string().contains(SECRET), "{listed}");
    assert_eq!(admin.read("/admin/issuers?after=chat&limit=1").await[0]["name"], "https://id.example.org/");

    let token = signer.sign(&claims("zoe", &json!({ "channels": ["C1"] })));
    let zoe = server.bearer(token);
    zoe.read("/me").await;
    let people = admin.read("/admin/people").await;
    let person = people.as_array().unwrap().iter().find(|person| person["username"] == "zoe").unwrap();
    assert_eq!((&person["issuer"], &person["subject"]), (&json!("chat"), &json!("zoe")));
    let channels = admin.read("/admin/channels").await;
    assert_eq!((&channels[0]["issuer"], &channels[0]["external_id"]), (&json!("chat"), &json!("C1")));

    // Another key: the session lasts, and a token with the old key is no longer accepted.
    let key = json!({ "key": "another secret of at least 32 bytes" });
    assert_eq!(admin.post_json("/admin/issuers/chat/key", key.clone()).await, (200, json!({ "status": "changed" })));
    zoe.read("/me").await;
    let old = signer.sign(&claims("zoe", &json!({ "jti": 2 })));
    assert_refused(&server.bearer(old).get("/me").await, 401, "token_invalid");
    server.assert_refuses(admin.posting_json("/admin/issuers/caht/key", key), 404, "issuer_not_found").await;

    let delete = |path: &str| admin.request(reqwest::Method::DELETE, path);
    server.assert_refuses(delete("/admin/issuers/caht"), 404, "issuer_not_found").await;
    assert_eq!(answer(delete("/admin/issuers/chat")).await, (200, json!({ "status": "removed" })));
    assert_eq!(answer(delete("/admin/issuers/https%3A%2F%2Fid.example.org%2F")).await.0, 200);
    assert_refused(&zoe.get("/me").await, 401, "token_invalid");
    let logged: String = server.value(
        "SELECT group_concat(change || ' ' || subject || ' ' || actor, '; ') FROM command_log WHERE actor = 'alice'",
    );
    assert_eq!(
        logged,
        "added issuer https://id.example.org/ alice; added issuer chat alice; changed key of issuer chat alice; \
         removed issuer chat alice; removed issuer https://id.example.org/ alice"
    );
}

#[tokio::test]
async fn unusable_keys_are_refused() {
    let server = Server::start();
    let signer = Signer::start();
    let admin = server.person("alice");
    server.run(&["user", "role", "alice", "admin"], "");
    let (rsa, ec, ed) = (signer.pem("rsa"), signer.pem("ec"), signer.pem("ed"));
    let private = signer.keys["rsa"]["private"].as_str().unwrap();
    let mut private_jwk = signer.keys["ed"]["jwk"].clone();
    private_jwk["d"] = "AAAA".into();
    let mut short_jwk = signer.keys["ec"]["jwk"].clone();
    short_jwk["y"] = "AAAA".into();
    let mut for_encryption = signer.keys["rsa"]["jwk"].clone();
    for_encryption["use"] = "enc".into();
    let set = |jwk: &serde_json::Value| json!({ "keys": [jwk] }).to_string();
    for (algorithm, key) in [
        ("none", SECRET),
        ("hs256", SECRET),
        ("HS512", SECRET),
        ("HS256", "a secret of at most 31 bytes..."),
        ("HS256", &*rsa),
        ("HS256", ""),
        ("RS256", ""),
        ("RS256", SECRET),
        ("RS256", private),
        ("RS256", &*ec),
        ("RS256", &*signer.pem("rsa1024")),
        ("RS256", &*rsa.replace("MII", "MIJ")),
        ("RS256", "{"),
        ("RS256", "{}"),
        ("RS256", r#"{"keys": []}"#),
        ("RS256", &*set(&for_encryption)),
        ("ES256", &*rsa),
        ("ES256", &*ed),
        ("ES256", &*signer.pem("p384")),
        ("ES256", &*set(&short_jwk)),
        ("EdDSA", &*ec),
        ("EdDSA", &*set(&private_jwk)),
        ("EdDSA", &*set(&signer.keys["rsa"]["jwk"])),
    ] {
        let body = json!({ "name": "chat", "algorithm": algorithm, "key": key });
        let refused =
            server.assert_refuses(admin.posting_json("/admin/issuers", body), 400, "issuer_key_unusable").await;
        assert!(key.len() < 20 || !refused.to_string().contains(key), "{refused}");
    }
    // What is no matter of the key, the database refuses.
    for (code, more) in [
        ("issuers_name_format", json!({ "name": "two words" })),
        ("issuers_audience_length", json!({ "audience": "" })),
        ("issuers_clock_skew_bounded", json!({ "clock_skew": 601 })),
        ("issuers_key_length", json!({ "key": "x".repeat(65_537) })),
    ] {
        let mut body = json!({ "name": "chat", "algorithm": "HS256", "key": SECRET });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.assert_refuses(admin.posting_json("/admin/issuers", body), 400, code).await;
    }
}
