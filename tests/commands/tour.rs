//! The tour: its commands run in two shells, and print what the page says.

use serde_json::{Value, json};

use crate::documents::Document;
use crate::sandbox::Sandbox;
use crate::tools::{run, texts};

/// The output of one block. A line of JSON is a response of the server.
struct Printed {
    text: String,
    responses: Vec<Value>,
}

impl Printed {
    fn of(text: &str) -> Self {
        let responses = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Self { text: text.to_owned(), responses }
    }

    /// The cells of the last row of a table in `sqlite3 -box`.
    fn last_row(&self) -> Vec<&str> {
        let row = self.text.lines().rfind(|line| line.starts_with("│")).unwrap_or_else(|| panic!("{}", self.text));
        row.trim_matches('│').split('│').map(str::trim).collect()
    }
}

#[test]
fn its_commands_print_what_it_says() {
    let blocks = Document::at("src/docs/tour.md").blocks_of("sh");
    let sandbox = Sandbox::new();
    let [build, go_there, add_users, serve, second_shell @ ..] = &blocks[..] else { panic!("{}", blocks.len()) };

    // The first shell.
    sandbox.succeeds(&format!("{build}\n{go_there}\n{add_users}"));
    let (_server, lines) = sandbox.serve(&format!("bash -c '{go_there}; exec \"$@\"' - {serve}"));
    let url = lines.last().unwrap().rsplit(' ').next().unwrap();

    // The second shell. A marker line separates the outputs of the blocks. A person types the call after the stream has
    // begun, so the script waits for its first event.
    let stream_has_begun = "timeout 10 bash -c 'until grep -q event:snapshot events.txt; do sleep 0.02; done'";
    let script: String = second_shell
        .iter()
        .map(|block| block.replace("http://127.0.0.1:6767", url))
        .map(|block| if block.trim_end().ends_with('&') { format!("{block}\n{stream_has_begun}") } else { block })
        .map(|block| format!("{block}\necho '=== block'\n"))
        .collect();
    let output = run(&mut sandbox.bash(&format!("set -e\n{go_there}\n{script}")), "");
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{out}\n{err}");
    let printed: Vec<_> = out.split("=== block\n").map(Printed::of).collect();
    let [login, _tokens, _listen, ring, _present, signals, screen, media, end, events, rest @ ..] = &printed[..] else {
        panic!("the tour has {} blocks: {out}", printed.len());
    };

    assert_eq!(login.responses[0]["username"], "alice", "{}", login.text);
    let [initiated, incoming, accepted, state] = &ring.responses[..] else { panic!("{}", ring.text) };
    assert_eq!(initiated["participants"], json!(["alice", "bob"]));
    assert_eq!(incoming[0]["call_id"], initiated["call_id"]);
    assert_eq!(incoming[0]["initiator"], "alice");
    assert_eq!(accepted["participants"], json!(["alice", "bob"]));
    assert_eq!(state["state"], "active");
    assert_eq!(state["call_id"], initiated["call_id"]);

    let types = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap();
        list.iter().map(|signal| signal["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(types(&signals.responses[2]), ["offer", "ice_candidate"]);
    assert_eq!(signals.responses[2][0]["payload"]["sdp"], "v=0 from alice");
    assert_eq!(types(&signals.responses[5]), ["answer", "ice_candidate"]);
    assert_eq!(signals.responses[5][0]["from"], "bob");

    assert_eq!(screen.responses[1]["screenshare_user"], "alice", "{}", screen.text);
    assert_eq!(screen.responses[3]["screenshare_user"], "bob", "{}", screen.text);
    assert!(screen.responses[3]["version"].as_i64() > state["version"].as_i64(), "{}", screen.text);

    let [init, chunk, received] = &media.responses[..] else { panic!("{}", media.text) };
    assert_eq!(init["seq"], -1);
    assert!(chunk["seq"].as_i64().unwrap() > 0);
    assert_eq!(received["mime_type"], "video/webm");
    assert_eq!(received["init"], "aW5pdCBzZWdtZW50");
    assert_eq!(received["chunks"], json!([{ "seq": chunk["seq"], "data": "Zmlyc3QgY2h1bms=" }]));

    assert_eq!(end.responses[1]["state"], "ended", "{}", end.text);
    assert_eq!(end.responses[1]["ended_reason"], "hangup");
    for event in ["event:snapshot", "event:call", "event:signal", "event:incoming"] {
        assert!(events.text.contains(event), "{}", events.text);
    }
    assert_sql_part(rest, initiated, &err);
}

/// The part of the tour in SQL, after a call that `initiated` is the first response of.
fn assert_sql_part(printed: &[Printed], initiated: &Value, err: &str) {
    let [history, missed, live, by_hand, refused, integrity, _end] = printed else {
        panic!("the part in SQL has {} blocks", printed.len());
    };
    let row = history.last_row();
    assert_eq!(row[0], initiated["call_id"]);
    assert_eq!([row[1], row[2], row[4]], ["answered", "hangup", "alice, bob"], "{}", history.text);
    assert_eq!(missed.last_row()[..2], ["bob", "carol"], "{}", missed.text);
    assert!(!missed.text.contains("│ alice"), "alice declined, so she missed nothing: {}", missed.text);
    assert!(live.text.contains("still_ringing"), "{}", live.text);
    assert_eq!(live.last_row()[..2], ["bob", "alice"], "{}", live.text);
    assert!(by_hand.text.contains("│ interrupted │ admin"), "{}", by_hand.text);
    assert_eq!(by_hand.responses, [json!([])], "bob's phone still rings: {}", by_hand.text);
    assert!(err.contains("call_finished"), "the refusal was not printed: {err}");
    assert!(refused.text.starts_with("refused, as it should be\n"), "{}", refused.text);
    assert_eq!(refused.last_row()[0], "409", "{}", refused.text);
    assert_eq!(integrity.text, "", "a rule is broken");
}
