//! `issuer …`: keys go in, and never come out.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tools::{Process, fails, program, run, shell, succeeds};

const SECRET: &str = "a secret of at least 32 bytes, 01";

/// A public key, and the private one, as openssl makes them.
fn key_pair(folder: &Path, algorithm: &str) -> (String, String) {
    let private = folder.join(format!("{algorithm}.key"));
    let private = private.to_str().unwrap();
    let openssl = |arguments: &[&str]| {
        let output = run(Command::new("openssl").args(arguments), "");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    openssl(&["genpkey", "-algorithm", algorithm, "-out", private]);
    (openssl(&["pkey", "-in", private, "-pubout"]), fs::read_to_string(private).unwrap())
}

#[test]
fn issuers_are_added_listed_changed_and_removed() {
    let folder = TempDir::new().unwrap();
    let db = folder.path().join("presence.db");
    succeeds(&db, &["user", "add", "alice"], "rabbit hole\n");
    let secret = folder.path().join("secret");
    fs::write(&secret, format!("{SECRET}\r\n")).unwrap();
    let secret = secret.to_str().unwrap();
    let (public, private) = key_pair(folder.path(), "ed25519");

    succeeds(&db, &["issuer", "add", "chat", "--algorithm", "HS256", "--key", secret], "");
    let forum = ["issuer", "add", "https://forum.example.org/", "--algorithm", "EdDSA", "--key", "-"];
    succeeds(&db, &[&forum[..], &["--audience", "calls", "--clock-skew", "5s"]].concat(), &public);
    let list: Value = serde_json::from_str(&succeeds(&db, &["issuer", "list", "--json"], "")).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(
        (&list[0]["name"], &list[0]["algorithm"], &list[0]["clock_skew"]),
        (&json!("chat"), &json!("HS256"), &json!(30.0))
    );
    assert_eq!((&list[1]["audience"], &list[1]["clock_skew"]), (&json!("calls"), &json!(5.0)));
    assert_eq!(list[0].get("key"), None);
    let printed = succeeds(&db, &["issuer", "list"], "");
    assert!(printed.starts_with("chat\tHS256\t\t30.0\t"), "{printed}");
    // The line break is no part of the secret.
    assert_eq!(shell(&db, &["SELECT key FROM issuers WHERE name = 'chat'"]).trim_end(), SECRET);

    succeeds(&db, &["issuer", "set-key", "chat", "--key", "-"], "another secret of at least 32 bytes\n");
    succeeds(&db, &["issuer", "remove", "https://forum.example.org/"], "");
    assert_eq!(
        shell(&db, &["SELECT change, subject FROM command_log WHERE id > 1"]),
        "added issuer|chat\nadded issuer|https://forum.example.org/\nchanged key of issuer|chat\n\
         removed issuer|https://forum.example.org/\n"
    );

    let before = shell(&db, &[".dump"]);
    let missing = folder.path().join("none");
    let missing = missing.to_str().unwrap();
    for (arguments, input, expected) in [
        (
            &["issuer", "add", "chat", "--algorithm", "HS256", "--key", secret][..],
            "",
            "chat: An issuer of that name exists",
        ),
        (
            &["issuer", "add", "wiki", "--algorithm", "HS256", "--key", "-"],
            "short",
            "wiki: a secret of HS256 has at least 32",
        ),
        (&["issuer", "add", "wiki", "--algorithm", "HS256", "--key", "-"], &public, "wiki: a key in PEM is no secret"),
        (&["issuer", "add", "wiki", "--algorithm", "none", "--key", secret], "", "wiki: the algorithm is"),
        (&["issuer", "add", "wiki", "--algorithm", "EdDSA", "--key", "-"], &private, "wiki: this is a private key"),
        (&["issuer", "add", "wiki", "--algorithm", "ES256", "--key", "-"], &public, "wiki: no key is one of ES256"),
        (&["issuer", "add", "wiki", "--algorithm", "RS256", "--key", secret], "", "wiki: the key is no public key"),
        (
            &["issuer", "add", "two words", "--algorithm", "EdDSA", "--key", "-"],
            &public,
            "two words: The name of an issuer",
        ),
        (&["issuer", "add", "wiki", "--algorithm", "HS256", "--key", missing], "", "none: "),
        (&["issuer", "set-key", "caht", "--key", secret], "", "caht: There is no such issuer"),
        (&["issuer", "set-key", "chat", "--key", "-"], "short", "chat: a secret of HS256"),
        (&["issuer", "remove", "caht"], "", "caht: There is no such issuer"),
    ] {
        let line = fails(&db, arguments, input);
        assert!(line.starts_with("error: ") && line.contains(expected), "{arguments:?}: {line}");
        assert!(!line.contains("-----BEGIN") && !line.contains(SECRET), "{line}");
    }
    let binary = folder.path().join("binary");
    fs::write(&binary, [0xff; 64]).unwrap();
    fails(&db, &["issuer", "add", "wiki", "--algorithm", "HS256", "--key", binary.to_str().unwrap()], "");
    assert_eq!(shell(&db, &[".dump"]), before);
}

#[test]
fn a_trusted_header_without_a_proxy_gets_a_warning() {
    let folder = TempDir::new().unwrap();
    let db = folder.path().join("presence.db");
    succeeds(&db, &["user", "add", "alice"], "rabbit hole\n");
    succeeds(&db, &["setting", "set", "trusted_header", "Remote-User"], "");
    for (arguments, warnings) in [(&[][..], 1), (&["--behind-proxy"][..], 0)] {
        let log = folder.path().join("log");
        let mut serve = program(&db);
        serve.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments).stderr(fs::File::create(&log).unwrap());
        drop(Process::start(&mut serve, "minimost-calls serves"));
        let log = fs::read_to_string(&log).unwrap();
        assert_eq!(log.matches("warning: the setting trusted_header has no effect").count(), warnings, "{log}");
    }
}
