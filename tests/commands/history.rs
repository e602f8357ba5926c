//! Pruning the history: by a command beside a server, and by the server.

use std::time::Duration;

use crate::support::Server;
use crate::tools::{fails, succeeds};

/// A server whose file has 250 finished calls of two years ago, one of yesterday, a share of two years ago, and a live
/// call.
fn with_history() -> Server {
    let server = Server::start();
    for name in ["alice", "bob", "carol"] {
        server.person(name);
    }
    server.execute(
        "BEGIN IMMEDIATE;
         UPDATE settings SET value = 0 WHERE name IN ('rings_per_pair', 'rings_per_person', 'refusal_pause');
         CREATE TABLE many (number INTEGER);
         CREATE TRIGGER many_calls AFTER INSERT ON many
         BEGIN
           INSERT INTO initiate_call (call_id, channel, initiator) VALUES ('c' || NEW.number, 'dm:alice:bob', 'alice');
           UPDATE calls SET state = 'ended', ended_ts = unixepoch() - 2 * 365 * 86400 - NEW.number
           WHERE call_id = 'c' || NEW.number;
         END;
         INSERT INTO many
         WITH RECURSIVE n (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM n WHERE number < 250)
         SELECT number FROM n;
         DROP TABLE many;
         INSERT INTO start_screenshare (share_id, channel, sharer) VALUES ('s', 'dm:alice:bob', 'alice');
         UPDATE screenshares SET state = 'ended', ended_ts = unixepoch() - 2 * 365 * 86400 WHERE share_id = 's';
         INSERT INTO initiate_call (call_id, channel, initiator) VALUES ('yesterday', 'dm:alice:carol', 'alice');
         UPDATE calls SET state = 'ended', ended_ts = unixepoch() - 90000 WHERE call_id = 'yesterday';
         INSERT INTO initiate_call (call_id, channel, initiator) VALUES ('live', 'dm:bob:carol', 'carol');
         INSERT INTO accept_call (call_id, username) VALUES ('live', 'bob');
         COMMIT;",
    );
    server
}

const LEFT: &str = "SELECT (SELECT group_concat(call_id) FROM (SELECT call_id FROM calls ORDER BY call_id)) || ' '
                    || (SELECT count(DISTINCT call_id) FROM call_participants) || ' '
                    || (SELECT count(*) FROM screenshares) || ' '
                    || (SELECT group_concat(channel) FROM (SELECT DISTINCT channel FROM dm_members ORDER BY channel))";

#[tokio::test]
async fn command_prunes_beside_a_server() {
    let server = with_history();
    let refused = fails(&server.db(), &["history", "prune", "--older-than", "23h"], "");
    assert!(refused.contains("history: Calls stay in history at least as long as events"), "{refused}");
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls"), 252);
    let missing = fails(&server.db(), &["history", "prune"], "");
    assert!(missing.contains("--older-than"), "{missing}");

    let pruned = succeeds(&server.db(), &["history", "prune", "--older-than", "365d"], "");
    assert_eq!(pruned, "251 calls and screen shares were deleted\n");
    assert_eq!(server.value::<String>(LEFT), "live,yesterday 2 0 dm:alice:carol,dm:bob:carol");
    let again = succeeds(&server.db(), &["history", "prune", "--older-than", "365d"], "");
    assert_eq!(again, "0 calls and screen shares were deleted\n");
    server.assert_integrity();
}

#[tokio::test]
async fn server_prunes_what_is_older_than_the_setting() {
    let server = with_history();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls"), 252, "without the setting, everything stays");
    server.execute("UPDATE settings SET value = 365 * 86400 WHERE name = 'history_max_age'");
    let pruned = format!("SELECT ({LEFT}) = 'live,yesterday 2 0 dm:alice:carol,dm:bob:carol'");
    server.eventually(&pruned, Duration::from_secs(20)).await;
    server.execute("UPDATE settings SET value = 86400 WHERE name = 'history_max_age'");
    let pruned = format!("SELECT ({LEFT}) = 'live 1 0 dm:bob:carol'");
    server.eventually(&pruned, Duration::from_secs(20)).await;
    server.assert_integrity();
}
