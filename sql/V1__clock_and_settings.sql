-- The clock and the settings: what time it is and how much is allowed.
-- Read by every trigger and view that follows.

-- Time is data. The one row is NULL in peace, and the view `now` then gives the machine's time. The server pins it at the
-- start of each of its write transactions and frees it before the commit, so that one transaction happens at one instant
-- and can be replayed; a fixture pins it and steps it, so that thirty seconds pass in no time. Pinning it sweeps what is due.
CREATE TABLE clock (
  id        INTEGER PRIMARY KEY                            -- always 1
            CONSTRAINT clock_has_one_row CHECK (id = 1),
  pinned_ts REAL                                           -- seconds since the epoch, or NULL: the machine's time
) STRICT;

INSERT INTO clock (id, pinned_ts) VALUES (1, NULL);

-- The present, in seconds since the epoch, to the millisecond. julianday() stands here because unixepoch('subsec') is NULL
-- in shells before 3.42, without a word; and round() would print the number and read it back, at each look at the time.
CREATE VIEW now (ts) AS
  SELECT coalesce((SELECT pinned_ts FROM clock WHERE id = 1),
                  CAST((julianday('now') - 2440587.5) * 86400000.0 + 0.5 AS INTEGER) / 1000.0);

-- Without its row the clock could not be pinned any more, and nothing would ever be swept.
CREATE TRIGGER clock_row_stays
BEFORE DELETE ON clock
BEGIN
  SELECT RAISE(ABORT, 'clock_is_needed');
END;

-- Sweeping: `INSERT INTO sweep (ts) VALUES (...)` does all that is due at that time. Every rule with a time limit hangs a
-- trigger of its own on this view; it never holds a row.
CREATE VIEW sweep (ts) AS
  SELECT CAST(NULL AS REAL) WHERE 0;

-- A transaction that pins the clock sees no timed-out call, no expired session and no stale media.
CREATE TRIGGER pinning_the_clock_sweeps
AFTER UPDATE OF pinned_ts ON clock
WHEN NEW.pinned_ts IS NOT NULL
BEGIN
  INSERT INTO sweep (ts) VALUES (NEW.pinned_ts);
END;

-- Every limit, one row each. `UPDATE settings SET value = 45 WHERE name = 'ringing_timeout'` takes effect with the next
-- statement of anybody; no restart is needed. The ICE servers are the one setting that is no number, but JSON:
--   UPDATE settings SET value = '[{"urls": "stun:stun.example.org:3478"}]' WHERE name = 'ice_servers'
CREATE TABLE settings (
  name    TEXT NOT NULL PRIMARY KEY,                       -- what is limited
  value   ANY  NOT NULL,                                   -- the limit in force, in `unit`
  unit    TEXT NOT NULL,                                   -- seconds, bytes, a count, or JSON
  lowest  REAL NOT NULL,                                   -- the smallest value that makes sense; of JSON, its length
  highest REAL NOT NULL,                                   -- the largest value that is safe; of JSON, its length
  meaning TEXT NOT NULL,                                   -- what happens at the limit
  CONSTRAINT setting_is_a_number CHECK (typeof(value) IN ('integer', 'real') OR name = 'ice_servers'),
  CONSTRAINT setting_is_in_range CHECK (CASE name WHEN 'ice_servers' THEN length(value) ELSE value END
    BETWEEN lowest AND highest),
  CONSTRAINT ice_servers_are_a_json_list CHECK (CASE WHEN name <> 'ice_servers' THEN 1
    WHEN typeof(value) = 'text' AND json_valid(value) THEN json_type(value) = 'array' ELSE 0 END)
) STRICT, WITHOUT ROWID;

INSERT INTO settings (name, value, unit, lowest, highest, meaning) VALUES
  ('ringing_timeout', 30, 'seconds', 0.1, 3600,
   'an invitation that nobody answers stops ringing after this long'),
  ('signal_max_bytes', 65536, 'bytes', 256, 1048576,
   'the payload of one offer, answer or ICE candidate'),
  ('signals_per_call_max', 1000, 'count', 1, 100000,
   'signals kept for one recipient of one call or share; the oldest make way for new ones'),
  ('media_chunk_max_bytes', 4194304, 'bytes', 1, 16777216,
   'one uploaded media chunk or init segment'),
  ('media_buffer_seconds', 30, 'seconds', 0.1, 3600,
   'media chunks older than this are dropped'),
  ('media_buffer_max_bytes', 16777216, 'bytes', 1, 1073741824,
   'media kept for one sender; the oldest make way'),
  ('presence_timeout', 60, 'seconds', 1, 86400,
   'somebody on an active call who has not been seen for this long leaves it; seen by nobody, it ends'),
  ('presence_interval', 5, 'seconds', 0, 3600,
   'being seen is written down at most this often for a person and call'),
  ('gone_after', 12, 'seconds', 0, 3600,
   'a report that somebody is gone counts if the server has not seen them for this long'),
  ('call_max_seconds', 0, 'seconds', 0, 31536000,
   'an active call ends this long after its first answer; 0 is never'),
  ('events_max_age', 86400, 'seconds', 1, 31536000,
   'events older than this are forgotten; who was away for longer gets a fresh snapshot'),
  ('events_max_count', 100000, 'count', 1, 100000000,
   'events beyond this many are forgotten, the oldest first'),
  ('session_ttl', 2592000, 'seconds', 60, 315360000,
   'a login lasts this long'),
  ('login_window', 60, 'seconds', 1, 86400,
   'the time over which wrong passwords are counted'),
  ('login_attempts_per_name', 10, 'count', 1, 1000000,
   'wrong passwords for one name within the window before it has to wait'),
  ('login_attempts_per_address', 50, 'count', 1, 1000000,
   'wrong passwords from one address within the window before it has to wait'),
  ('ice_servers', '[]', 'JSON', 2, 16384,
   'STUN and TURN servers that browsers use between networks, as a list of `{"urls", "username", "credential"}`');

-- A browser refuses to make any connection at all when one server is no `RTCIceServer` (WebRTC 1.0, section 4.2.4), so a slip
-- of the pen here would silence everybody: each has one URL or several, and a name and a password if it is a TURN server.
CREATE TRIGGER ice_servers_are_what_browsers_take
BEFORE UPDATE OF value ON settings
WHEN NEW.name = 'ice_servers'
  AND CASE WHEN typeof(NEW.value) = 'text' AND json_valid(NEW.value) THEN json_type(NEW.value) = 'array' END
BEGIN
  SELECT RAISE(ABORT, 'ice_server_malformed')
  WHERE EXISTS (SELECT 1 FROM json_each(NEW.value) WHERE type <> 'object');

  SELECT RAISE(ABORT, 'ice_server_malformed')
  WHERE EXISTS (SELECT 1 FROM json_each(NEW.value) AS server
                WHERE coalesce(json_type(server.value, '$.urls'), 'missing') NOT IN ('text', 'array')
                   OR json_extract(server.value, '$.urls') IN ('', '[]')
                   OR EXISTS (SELECT 1 FROM json_each(server.value, '$.urls') AS url
                              WHERE url.type <> 'text'
                                 OR NOT (url.value GLOB 'stun:?*' OR url.value GLOB 'stuns:?*'
                                         OR ((url.value GLOB 'turn:?*' OR url.value GLOB 'turns:?*')
                                             AND json_type(server.value, '$.username') IS 'text'
                                             AND json_type(server.value, '$.credential') IS 'text'))));
END;

-- A rule that looks up a setting which is gone would compare with NULL and hold no longer.
CREATE TRIGGER setting_stays
BEFORE DELETE ON settings
BEGIN
  SELECT RAISE(ABORT, 'setting_is_needed');
END;

-- The same for a setting under another name, and its range is ours to know.
CREATE TRIGGER setting_keeps_its_name_and_range
BEFORE UPDATE ON settings
WHEN (NEW.name, NEW.lowest, NEW.highest) IS NOT (OLD.name, OLD.lowest, OLD.highest)
BEGIN
  SELECT RAISE(ABORT, 'setting_is_needed');
END;

-- Replacing a row deletes it without firing the trigger above, and a misspelt name would be a limit that limits nothing.
CREATE TRIGGER setting_names_are_given
BEFORE INSERT ON settings
BEGIN
  SELECT RAISE(ABORT, 'setting_is_needed');
END;

-- Legal moves, as data: a row says that a call, a participant or a share may go from one state to the other. 'new' is
-- where a row comes from that is not there yet. The triggers that refuse the rest look them up here.
CREATE TABLE legal_moves (
  subject    TEXT NOT NULL,                                -- call, participant or share
  from_state TEXT NOT NULL,                                -- the state before, 'new' for an INSERT
  to_state   TEXT NOT NULL,                                -- the state after
  meaning    TEXT NOT NULL,                                -- when that happens
  PRIMARY KEY (subject, from_state, to_state)
) STRICT, WITHOUT ROWID;

INSERT INTO legal_moves (subject, from_state, to_state, meaning) VALUES
  ('call', 'new', 'ringing', 'somebody calls the channel'),
  ('call', 'ringing', 'active', 'the first callee answers'),
  ('call', 'ringing', 'rejected', 'every callee declined, or none answered in time'),
  ('call', 'ringing', 'ended', 'the caller hangs up before an answer'),
  ('call', 'active', 'ended', 'somebody hangs up'),
  ('participant', 'new', 'pending', 'invited'),
  ('participant', 'new', 'accepted', 'the initiator, or a member who joins late'),
  ('participant', 'pending', 'accepted', 'answers'),
  ('participant', 'pending', 'rejected', 'declines, or does not answer in time'),
  ('participant', 'pending', 'left', 'withdraws, or the call is over'),
  ('participant', 'accepted', 'left', 'hangs up, or the call is over'),
  ('participant', 'rejected', 'pending', 'invited again'),
  ('participant', 'rejected', 'accepted', 'joins after all'),
  ('participant', 'left', 'pending', 'invited again'),
  ('participant', 'left', 'accepted', 'comes back'),
  ('share', 'new', 'active', 'somebody shares a screen'),
  ('share', 'active', 'ended', 'the sharer stops, or shares anew');
