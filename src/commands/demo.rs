//! `demo`: a server with a temporary database, three users and past calls.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::serve::{self, Hangup};
use super::{CommandError, print_line, token, user};
use crate::command_line::Serve;
use crate::database::{Database, open_connection};
use crate::tokens::new_token;

/// A private channel and past calls.
const DEMO: &str = include_str!("../../fixtures/demo.sql");

const USERNAMES: [&str; 3] = ["alice", "bob", "carol"];

pub(super) fn run(listen: String) -> Result<(), CommandError> {
    // Without permissions given, the umask would decide.
    let mut folder = tempfile::Builder::new();
    let folder = folder.prefix("minimost-calls-demo-").permissions(fs::Permissions::from_mode(0o700)).tempdir()?;
    let path = folder.path().join("presence.db");
    let database = Database::open(&path)?;
    let mut users = Vec::new();
    for name in USERNAMES {
        let mut password = new_token()?;
        password.truncate(10);
        user::add(&database, name, &password)?;
        users.push((name, password, token::add(&database, name, None)?));
    }
    // Its writer would sweep, at the machine's time, what the demo makes in the past.
    drop(database);
    open_connection(&path).and_then(|connection| connection.execute_batch(DEMO)).map_err(CommandError::Demo)?;

    let options = Serve { listen, ..Serve::default() };
    serve::serve(&path, &options, Hangup::Stops, |address, _| {
        let url = format!("http://{address}");
        print_line(&format!("minimost-calls demo on {url}"))?;
        print_line(&format!(
            "Its database is {}. Ctrl-C stops the server and deletes the database.\n",
            path.display()
        ))?;
        for (name, password, token) in &users {
            print_line(&format!("  {name:<6} password {password}   token {token}"))?;
        }
        print_line(&format!(
            "\nTo make a call, open {url} in two browser windows, one of them private, and sign in as two users."
        ))?;
        print_line(
            "All three users are in private:1. To follow a call without a browser, run this in another shell:\n",
        )?;
        for line in next_steps(&url, &users[0].2, &users[1].2, &path.display().to_string()) {
            print_line(&format!("  {line}"))?;
        }
        Ok(())
    })
}

/// Commands to paste: alice calls bob, bob accepts, alice ends the call, and the history shows it.
fn next_steps(url: &str, alice: &str, bob: &str, path: &str) -> [String; 8] {
    [
        format!("URL={url} ALICE={alice} BOB={bob}"),
        "curl -sd '{\"channel\":\"dm:alice:bob\"}' -H \"Authorization: Bearer $ALICE\" $URL/calls/initiate".to_owned(),
        "curl -sH \"Authorization: Bearer $BOB\" $URL/calls/incoming".to_owned(),
        "CALL=$(curl -sH \"Authorization: Bearer $BOB\" $URL/calls/incoming | grep -o '[0-9a-f-]\\{36\\}')".to_owned(),
        "curl -sXPOST -H \"Authorization: Bearer $BOB\" $URL/calls/$CALL/accept".to_owned(),
        "curl -sH \"Authorization: Bearer $ALICE\" $URL/calls/$CALL/state".to_owned(),
        "curl -sXPOST -H \"Authorization: Bearer $ALICE\" $URL/calls/$CALL/end".to_owned(),
        format!("sqlite3 -box {path} 'SELECT * FROM call_history'"),
    ]
}
