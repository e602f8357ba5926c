-- Calls, who takes part, what they tell each other, and screens shared outside a call: the tables and their indexes.
-- The rules stand in the files after this one.
--
-- Here and there: a list of more than two values after IN is an index that SQLite makes anew each time a trigger or a CHECK comes
-- to it, and INSERT ... SELECT into what has triggers is a copy in a table of its own; either takes longer than storing a row.
-- Hence OR, and VALUES.

-- One row a call, live or finished. A call is ringing until a callee answers, active until somebody hangs up, and then
-- 'ended'; 'rejected' if no callee answered. A finished call stays as history and never changes again.
-- To end a live call from the shell: UPDATE calls SET state = 'ended' WHERE call_id = '...'.
CREATE TABLE calls (
  call_id          TEXT NOT NULL PRIMARY KEY               -- a UUID, chosen by whoever creates the call
                   CONSTRAINT calls_call_id_format CHECK (length(CAST(call_id AS BLOB)) BETWEEN 1 AND 64
                     AND length(call_id) = length(CAST(call_id AS BLOB))
                     AND call_id NOT GLOB '*[^A-Za-z0-9_-]*'),
  channel          TEXT NOT NULL,                          -- dm:NAME:NAME... (sorted) or private:<id>
  initiator        TEXT NOT NULL,                          -- who called
  state            TEXT NOT NULL                           -- ringing, active, ended or rejected
                   CONSTRAINT calls_state_known CHECK (
                     state = 'ringing' OR state = 'active' OR state = 'ended' OR state = 'rejected'),
  started_ts       REAL NOT NULL,                          -- when it began to ring
  answered_ts      REAL,                                   -- when the first callee answered; never moves
  ended_ts         REAL,                                   -- when it was over
  screenshare_user TEXT,                                   -- the one participant who shares a screen now
  ended_reason     TEXT                                    -- hangup, rejected, timeout, restart, abandoned, admin or
                                                           -- max_duration
                   CONSTRAINT calls_ended_reason_known CHECK (
                     ended_reason = 'hangup' OR ended_reason = 'rejected' OR ended_reason = 'timeout' OR ended_reason = 'restart'
                     OR ended_reason = 'abandoned' OR ended_reason = 'admin' OR ended_reason = 'max_duration'),
  version          INTEGER NOT NULL DEFAULT 0,             -- the newest event that changed what a client sees of the call
  CONSTRAINT calls_end_once_finished CHECK ((ended_ts IS NULL AND ended_reason IS NULL)
    OR state IN ('ended', 'rejected'))
) STRICT, WITHOUT ROWID;

CREATE INDEX calls_live_by_channel ON calls (channel, state) WHERE state IN ('ringing', 'active');
CREATE INDEX calls_ringing_by_start ON calls (started_ts) WHERE state = 'ringing';
CREATE INDEX calls_active_by_answer ON calls (answered_ts) WHERE state = 'active';
CREATE INDEX calls_by_channel ON calls (channel, started_ts);

-- One row a person who was ever asked on a call, or joined it. A finished call has nobody pending or accepted.
CREATE TABLE call_participants (
  call_id    TEXT NOT NULL REFERENCES calls (call_id),     -- the call
  username   TEXT NOT NULL,                                -- the person
  role       TEXT NOT NULL                                 -- initiator (who called) or participant
             CONSTRAINT call_participants_role_known CHECK (role IN ('initiator', 'participant')),
  state      TEXT NOT NULL                                 -- pending (it rings), accepted (on the call), rejected or left
             CONSTRAINT call_participants_state_known CHECK (
               state = 'pending' OR state = 'accepted' OR state = 'rejected' OR state = 'left'),
  joined_ts  REAL,                                         -- when this person last came on the call
  left_ts    REAL,                                         -- when this person last went, NULL while on the call
  invited_ts REAL,                                         -- when it last began to ring for this person
  invited_by TEXT,                                         -- who asked a person in who was not called at the start
  missed_ts  REAL,                                         -- when the last invitation stopped ringing without an answer:
                                                           -- it timed out, or the call was over; NULL otherwise
  missed_seen_ts REAL,                                     -- when this person took note of having missed it
  last_seen_ts REAL,                                       -- the newest proof that this person was there: an open event
                                                           -- stream, or a look at the call's state
  events_after INTEGER,                                    -- for who is no member of the channel: events up to this one lie
                                                           -- before the invitation; NULL: sees none as a participant
  PRIMARY KEY (call_id, username)
) STRICT, WITHOUT ROWID;

CREATE INDEX call_participants_pending_by_user ON call_participants (username) WHERE state = 'pending';
CREATE INDEX call_participants_pending_by_time ON call_participants (invited_ts) WHERE state = 'pending';
CREATE INDEX call_participants_live_by_user ON call_participants (username) WHERE state IN ('pending', 'accepted');
CREATE INDEX call_participants_accepted_by_seen ON call_participants (last_seen_ts) WHERE state = 'accepted';
CREATE INDEX call_participants_from_outside ON call_participants (username) WHERE events_after IS NOT NULL;
CREATE INDEX call_participants_missed ON call_participants (username, missed_ts) WHERE missed_ts IS NOT NULL;

-- WebRTC signals on their way from one participant to another: offers, answers and ICE candidates (RFC 8829, RFC 8838). They
-- are read by cursor, so an id is never used twice. They go when a call is over, and with whoever leaves it.
CREATE TABLE call_signals (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,           -- the cursor of GET .../signals?after=
  call_id     TEXT NOT NULL,                               -- the call, or the standalone share
  from_user   TEXT NOT NULL,                               -- who sent it
  to_user     TEXT NOT NULL,                               -- whom it is for
  signal_type TEXT NOT NULL                                -- offer, answer or ice_candidate
              CONSTRAINT call_signals_type_known CHECK (
                signal_type = 'offer' OR signal_type = 'answer' OR signal_type = 'ice_candidate'),
  payload     TEXT NOT NULL                                -- any JSON but null, as the sender wrote it
              CONSTRAINT call_signals_payload_is_json CHECK (json_valid(payload) AND json_type(payload) IS NOT 'null'),
  ts          REAL NOT NULL,                               -- when it was stored
  CONSTRAINT call_signals_between_two CHECK (from_user <> to_user)
) STRICT;

CREATE INDEX call_signals_by_recipient ON call_signals (call_id, to_user);

-- How many signals are kept for each recipient of a call or share. Rules keep it: counting a thousand at each new one would be
-- most of the work of storing it.
CREATE TABLE signal_counts (
  call_id TEXT NOT NULL,                                   -- the call, or the standalone share
  to_user TEXT NOT NULL,                                   -- the recipient
  kept    INTEGER NOT NULL,                                -- how many signals to them are in call_signals
  PRIMARY KEY (call_id, to_user)
) STRICT, WITHOUT ROWID;

-- Media that a MediaRecorder in a browser uploaded, for receivers that cannot use WebRTC: the newest init segment of each
-- sender, and chunks for as long as the settings say.
CREATE TABLE call_media (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,            -- the cursor of GET .../media?after=
  call_id    TEXT NOT NULL REFERENCES calls (call_id),     -- the call
  sender     TEXT NOT NULL,                                -- who recorded it
  is_init    INTEGER NOT NULL                              -- 1: the init segment, which a receiver needs first
             CONSTRAINT call_media_is_init_boolean CHECK (is_init IN (0, 1)),
  mime_type  TEXT                                          -- of the recording, e.g. video/webm;codecs=vp8,opus
             CONSTRAINT call_media_mime_type_length CHECK (length(mime_type) BETWEEN 1 AND 255),
  ts         REAL NOT NULL,                                -- when it was stored
  stream_start INTEGER,                                    -- the bytes of this sender's chunks before this one, by which
                                                           -- rules know how much is buffered; left out, it is filled in
  data       BLOB NOT NULL                                 -- the bytes; last, since what follows them is slow to read
             CONSTRAINT call_media_data_not_empty CHECK (length(data) > 0),
  CONSTRAINT call_media_init_has_mime_type CHECK (is_init = 0 OR mime_type IS NOT NULL)
) STRICT;

CREATE INDEX call_media_by_sender ON call_media (call_id, sender, is_init);
CREATE INDEX call_media_by_stream_start ON call_media (call_id, sender, stream_start) WHERE is_init = 0;
CREATE INDEX call_media_by_time ON call_media (ts) WHERE is_init = 0;

-- One row a screen shared in a channel outside a call. Members watch without being asked.
CREATE TABLE screenshares (
  share_id   TEXT NOT NULL PRIMARY KEY                     -- a UUID, chosen by whoever starts it
             CONSTRAINT screenshares_share_id_format CHECK (length(CAST(share_id AS BLOB)) BETWEEN 1 AND 64
               AND length(share_id) = length(CAST(share_id AS BLOB))
               AND share_id NOT GLOB '*[^A-Za-z0-9_-]*'),
  channel    TEXT NOT NULL,                                -- dm:NAME:NAME... (sorted) or private:<id>
  sharer     TEXT NOT NULL,                                -- whose screen it is
  state      TEXT NOT NULL                                 -- active or ended
             CONSTRAINT screenshares_state_known CHECK (state IN ('active', 'ended')),
  started_ts REAL NOT NULL,                                -- when it began
  ended_ts   REAL,                                         -- when it was over
  CONSTRAINT screenshares_end_once_ended CHECK (ended_ts IS NULL OR state = 'ended')
) STRICT, WITHOUT ROWID;

CREATE INDEX screenshares_active_by_channel ON screenshares (channel, sharer) WHERE state = 'active';
CREATE INDEX screenshares_active_by_sharer ON screenshares (sharer) WHERE state = 'active';

-- The same as call_media, for a standalone share; its one sender is the sharer.
CREATE TABLE share_media (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,            -- the cursor of GET .../media?after=
  share_id   TEXT NOT NULL REFERENCES screenshares (share_id), -- the share
  is_init    INTEGER NOT NULL                              -- 1: the init segment
             CONSTRAINT share_media_is_init_boolean CHECK (is_init IN (0, 1)),
  mime_type  TEXT                                          -- of the recording
             CONSTRAINT share_media_mime_type_length CHECK (length(mime_type) BETWEEN 1 AND 255),
  ts         REAL NOT NULL,                                -- when it was stored
  stream_start INTEGER,                                    -- as in call_media
  data       BLOB NOT NULL                                 -- the bytes
             CONSTRAINT share_media_data_not_empty CHECK (length(data) > 0),
  CONSTRAINT share_media_init_has_mime_type CHECK (is_init = 0 OR mime_type IS NOT NULL)
) STRICT;

CREATE INDEX share_media_by_share ON share_media (share_id, is_init);
CREATE INDEX share_media_by_stream_start ON share_media (share_id, stream_start) WHERE is_init = 0;
CREATE INDEX share_media_by_time ON share_media (ts) WHERE is_init = 0;

-- What clients must hear, in the order in which it happened: whoever writes to the tables above causes a row here, by their
-- rules. Push, resuming after a lost connection and long polls read it. It is bounded by age and number, and what matters for
-- ever is in the tables themselves.
CREATE TABLE events (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,              -- ever-growing; the `id:` of a server-sent event
  ts       REAL NOT NULL,                                  -- when
  kind     TEXT NOT NULL                                   -- what; 'ringing', 'signal' and 'session_ended' are for `username`
                                                           -- alone, the others for all who may see the call or share
           CONSTRAINT events_kind_known CHECK (
             kind = 'signal' OR kind = 'started' OR kind = 'ringing' OR kind = 'invited' OR kind = 'accepted' OR kind = 'rejected'
             OR kind = 'timed_out' OR kind = 'left' OR kind = 'ended' OR kind = 'sharer_changed' OR kind = 'share_started'
             OR kind = 'share_stopped' OR kind = 'session_ended'),
  call_id  TEXT,                                           -- the call or share
  channel  TEXT,                                           -- its channel
  username TEXT,                                           -- whom it is about, or for
  detail   TEXT                                            -- what else there is to say, as JSON: the number of a signal, who
           CONSTRAINT events_detail_is_json CHECK (detail IS NULL OR json_valid(detail)) -- invited, an end's reason
) STRICT;

CREATE INDEX events_for_one ON events (username, id)
  WHERE kind = 'ringing' OR kind = 'signal' OR kind = 'session_ended';
CREATE INDEX events_for_all ON events (channel, id)
  WHERE kind <> 'ringing' AND kind <> 'signal' AND kind <> 'session_ended';

-- `INSERT INTO announce (...)` is how a rule makes an event: the time and the channel are filled in. It never holds a row. Where
-- there is nothing to announce, the kind is NULL.
CREATE VIEW announce (kind, call_id, username, detail) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT) WHERE 0;

-- What changes what a client sees of a call also moves the call's version, which long polls compare.
CREATE TRIGGER announcement_is_an_event_and_a_version
INSTEAD OF INSERT ON announce
WHEN NEW.kind IS NOT NULL
BEGIN
  INSERT INTO events (ts, kind, call_id, channel, username, detail)
  VALUES ((SELECT ts FROM now), NEW.kind, NEW.call_id,
          coalesce((SELECT channel FROM calls WHERE call_id = NEW.call_id),
                   (SELECT channel FROM screenshares WHERE share_id = NEW.call_id)),
          NEW.username, NEW.detail);

  UPDATE calls SET version = (SELECT max(id) FROM events)
  WHERE call_id = NEW.call_id AND NEW.kind NOT IN ('ringing', 'signal');
END;
