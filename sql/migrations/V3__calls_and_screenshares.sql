-- Calls, participants, signals, media, screen shares outside a call, and the event log.
--
-- CHECKs and triggers use OR instead of IN for more than two values: SQLite builds a temporary index for a longer IN
-- list at each evaluation.

CREATE TABLE calls (
  -- One row a call, live or finished. A call rings until a callee answers, is active until somebody hangs up, and is
  -- then ended. It is rejected if no callee answered. A finished call is history and never changes. To end a live call
  -- from a shell: INSERT INTO end_call_as_admin (call_id) VALUES ('...')
  call_id          TEXT NOT NULL PRIMARY KEY               -- a UUID, chosen by the creator
                   CONSTRAINT calls_call_id_format CHECK (length(CAST(call_id AS BLOB)) BETWEEN 1 AND 64
                     AND length(call_id) = length(CAST(call_id AS BLOB))
                     AND call_id NOT GLOB '*[^A-Za-z0-9_-]*'),
  channel          TEXT NOT NULL,                          -- canonical: dm:alice:bob with sorted names, or private:<id>
  initiator        TEXT NOT NULL,                          -- the caller
  state            TEXT NOT NULL                           -- ringing, active, ended or rejected
                   CONSTRAINT calls_state_known CHECK (
                     state = 'ringing' OR state = 'active' OR state = 'ended' OR state = 'rejected'),
  started_ts       REAL NOT NULL,                          -- when it began to ring
  answered_ts      REAL,                                   -- the first answer; never moves
  ended_ts         REAL,                                   -- when it ended
  screenshare_user TEXT,                                   -- the participant who shares a screen
  ended_reason     TEXT                                    -- hangup, rejected, timeout, restart, abandoned, admin,
                                                           -- max_duration or busy
                   CONSTRAINT calls_ended_reason_known CHECK (
                     ended_reason = 'hangup' OR ended_reason = 'rejected' OR ended_reason = 'timeout'
                     OR ended_reason = 'restart' OR ended_reason = 'abandoned' OR ended_reason = 'admin'
                     OR ended_reason = 'max_duration' OR ended_reason = 'busy'),
  version          INTEGER NOT NULL DEFAULT 0,             -- id of the newest event that changed what clients see
  newest_number    INTEGER,                                -- the largest number of a user when it began. In a DM it is
                                                           -- not the call of users with larger numbers
  is_live          INTEGER GENERATED ALWAYS AS (state = 'ringing' OR state = 'active') VIRTUAL, -- 0: finished
  CONSTRAINT calls_end_once_finished CHECK ((ended_ts IS NULL AND ended_reason IS NULL) OR NOT is_live),
  CONSTRAINT time_unknown CHECK (abs(started_ts) <= 253402300799 AND abs(answered_ts) <= 253402300799
    AND abs(ended_ts) <= 253402300799)
) STRICT, WITHOUT ROWID;

CREATE INDEX calls_ringing_by_start ON calls (started_ts) WHERE state = 'ringing';
CREATE INDEX calls_active_by_answer ON calls (answered_ts) WHERE state = 'active';
CREATE INDEX calls_finished_by_end ON calls (ended_ts) WHERE NOT is_live;
CREATE INDEX calls_by_channel ON calls (channel, started_ts);
-- It comes after calls_by_channel: of two indexes that suit a search equally well, SQLite takes the later one.
CREATE INDEX calls_live_by_channel ON calls (channel) WHERE is_live;

CREATE TABLE call_participants (
  -- One row a person who was ever invited to a call, or joined it. In a finished call nobody is pending or accepted.
  call_id    TEXT NOT NULL REFERENCES calls (call_id),     -- the call
  username   TEXT NOT NULL,                                -- the person's name
  role       TEXT NOT NULL                                 -- initiator (the caller) or participant
             CONSTRAINT call_participants_role_known CHECK (role IN ('initiator', 'participant')),
  state      TEXT NOT NULL                                 -- pending (it rings), accepted (on the call), rejected, left
             CONSTRAINT call_participants_state_known CHECK (
               state = 'pending' OR state = 'accepted' OR state = 'rejected' OR state = 'left'),
  joined_ts  REAL,                                         -- when this person last joined
  left_ts    REAL,                                         -- when this person last left, declined or timed out; NULL
                                                           -- while pending or accepted
  invited_ts REAL,                                         -- when it last began to ring
  invited_by TEXT,                                         -- the inviter; NULL for those who were called at the start
  missed_ts  REAL,                                         -- when the last invitation ended unanswered, NULL otherwise
  missed_seen_ts REAL,                                     -- when this person took note of the missed call
  missed_reason TEXT                                       -- why the last invitation did not ring: busy (on another
                                                           -- call) or quiet (do not disturb). NULL: it rang
             CONSTRAINT call_participants_missed_reason_known CHECK (missed_reason IN ('busy', 'quiet')),
  last_seen_ts REAL,                                       -- the newest proof of presence; NULL after a restart, until
                                                           -- this person returns
  leaves_ts  REAL,                                         -- when this person leaves unless they prove presence first,
                                                           -- or left for want of a proof; NULL otherwise
  seen_by    TEXT,                                         -- token hash of the session of the newest proof
  visible_after INTEGER,                                   -- for guests: id of the last event before the invitation;
                                                           -- later ones are visible. NULL for members
  number     INTEGER,                                      -- the person's number when last invited or joined. The row is
                                                           -- nothing of a later user of the same name
  removed_from TEXT                                        -- call (by the initiator) or channel: out of the live call
                                                           -- until invited again or a member again. NULL otherwise
             CONSTRAINT call_participants_removed_from_known CHECK (removed_from IN ('call', 'channel')),
  guest_name TEXT,                                         -- the display name of a guest who came by a link and is gone
                                                           -- after the call. NULL for others
  in_call    INTEGER GENERATED ALWAYS AS (state = 'pending' OR state = 'accepted') VIRTUAL, -- 0: rejected or left
  CONSTRAINT time_unknown CHECK (abs(joined_ts) <= 253402300799 AND abs(left_ts) <= 253402300799
    AND abs(invited_ts) <= 253402300799 AND abs(missed_ts) <= 253402300799),
  PRIMARY KEY (call_id, username)
) STRICT, WITHOUT ROWID;

CREATE INDEX call_participants_pending_by_time ON call_participants (invited_ts) WHERE state = 'pending';
CREATE INDEX call_participants_in_call_by_user ON call_participants (username) WHERE in_call;
CREATE INDEX call_participants_accepted_by_seen ON call_participants (last_seen_ts) WHERE state = 'accepted';
CREATE INDEX call_participants_accepted_by_leaves ON call_participants (leaves_ts)
WHERE state = 'accepted' AND leaves_ts IS NOT NULL;
CREATE INDEX call_participants_guests ON call_participants (username) WHERE visible_after IS NOT NULL;
CREATE INDEX call_participants_missed ON call_participants (username, missed_ts) WHERE missed_ts IS NOT NULL;

CREATE TABLE call_signals (
  -- WebRTC signals from one participant to another: offers, answers and ICE candidates (RFC 8829, RFC 8838). Each is an
  -- event itself: its id is in the sequence of `events`, and it is in no row there. Clients read signals by cursor,
  -- so an id is never used twice.
  id          INTEGER PRIMARY KEY,                         -- the cursor of GET .../signals?after=
  call_id     TEXT NOT NULL,                               -- the call, or the screen share
  from_user   TEXT NOT NULL,                               -- the sender
  to_user     TEXT NOT NULL,                               -- the recipient
  signal_type TEXT NOT NULL                                -- offer, answer or ice_candidate
              CONSTRAINT call_signals_type_known CHECK (
                signal_type = 'offer' OR signal_type = 'answer' OR signal_type = 'ice_candidate'),
  ordinal     INTEGER,                                     -- the signals of this sender to this recipient until this one
  bytes_before INTEGER,                                    -- of those before it. With both, no signal counts the others
  bytes       INTEGER GENERATED ALWAYS AS (length(CAST(payload AS BLOB))) STORED, -- of the payload
  payload     TEXT NOT NULL                                -- any JSON but null, as the sender wrote it
              CONSTRAINT call_signals_payload_is_json CHECK (json_valid(payload) AND json_type(payload) IS NOT 'null'
                -- json_valid() reads up to a NUL, and so does printf(), which is faster than a search.
                AND payload = printf('%s', payload)),
  ts          REAL NOT NULL,                               -- when it was stored
  CONSTRAINT call_signals_between_two CHECK (from_user <> to_user),
  CONSTRAINT time_unknown CHECK (abs(ts) <= 253402300799)
) STRICT;

CREATE INDEX call_signals_by_recipient ON call_signals (to_user, call_id);
CREATE INDEX call_signals_by_pair ON call_signals (call_id, from_user, to_user, bytes_before);

CREATE TABLE call_media (
  -- Uploads of a browser's MediaRecorder, for receivers that cannot use WebRTC: the newest init segment of each sender,
  -- and the newest chunks.
  id         INTEGER PRIMARY KEY AUTOINCREMENT,            -- the cursor of GET .../media?after=
  call_id    TEXT NOT NULL REFERENCES calls (call_id),     -- the call
  sender     TEXT NOT NULL,                                -- the uploading participant
  is_init    INTEGER NOT NULL                              -- 1: the init segment, which a receiver needs first
             CONSTRAINT call_media_is_init_boolean CHECK (is_init IN (0, 1)),
  mime_type  TEXT                                          -- of the recording, such as video/webm;codecs=vp8,opus
             CONSTRAINT call_media_mime_type_length CHECK (length(mime_type) BETWEEN 1 AND 255),
  ts         REAL NOT NULL,                                -- when it was stored
  data       BLOB NOT NULL                                 -- last, because columns after a large value are slow to read
             CONSTRAINT call_media_data_not_empty CHECK (length(data) > 0),
  CONSTRAINT call_media_init_has_mime_type CHECK (is_init = 0 OR mime_type IS NOT NULL)
) STRICT;

CREATE INDEX call_media_by_sender ON call_media (call_id, sender, is_init);
CREATE INDEX call_media_by_time ON call_media (ts) WHERE is_init = 0;

CREATE TABLE screenshares (
  -- One row a screen that is shared in a channel outside a call. Members watch without an invitation.
  share_id   TEXT NOT NULL PRIMARY KEY                     -- a UUID, chosen by the creator
             CONSTRAINT screenshares_share_id_format CHECK (length(CAST(share_id AS BLOB)) BETWEEN 1 AND 64
               AND length(share_id) = length(CAST(share_id AS BLOB))
               AND share_id NOT GLOB '*[^A-Za-z0-9_-]*'),
  channel    TEXT NOT NULL,                                -- canonical: dm:alice:bob with sorted names, or private:<id>
  sharer     TEXT NOT NULL,                                -- the owner of the screen
  state      TEXT NOT NULL                                 -- active or ended
             CONSTRAINT screenshares_state_known CHECK (state IN ('active', 'ended')),
  started_ts REAL NOT NULL,                                -- when it began
  ended_ts   REAL,                                         -- when it ended
  last_seen_ts REAL,                                       -- the sharer's presence, as in call_participants
  leaves_ts  REAL,                                         -- when it ends unless the sharer proves presence first
  seen_by    TEXT,                                         -- token hash of the session of the newest proof
  newest_number INTEGER,                                   -- as in calls
  CONSTRAINT screenshares_end_once_ended CHECK (ended_ts IS NULL OR state = 'ended'),
  CONSTRAINT time_unknown CHECK (abs(started_ts) <= 253402300799 AND abs(ended_ts) <= 253402300799)
) STRICT, WITHOUT ROWID;

CREATE INDEX screenshares_active_by_channel ON screenshares (channel, sharer) WHERE state = 'active';
CREATE INDEX screenshares_by_channel ON screenshares (channel);
CREATE INDEX screenshares_ended_by_end ON screenshares (ended_ts) WHERE state = 'ended';
CREATE INDEX screenshares_active_by_sharer ON screenshares (sharer) WHERE state = 'active';
CREATE INDEX screenshares_active_by_seen ON screenshares (last_seen_ts) WHERE state = 'active';
CREATE INDEX screenshares_active_by_leaves ON screenshares (leaves_ts)
WHERE state = 'active' AND leaves_ts IS NOT NULL;

CREATE TABLE share_media (
  -- The same as call_media, for a screen share. Its one sender is the sharer.
  id         INTEGER PRIMARY KEY AUTOINCREMENT,            -- the cursor of GET .../media?after=
  share_id   TEXT NOT NULL REFERENCES screenshares (share_id), -- the share
  is_init    INTEGER NOT NULL                              -- 1: the init segment
             CONSTRAINT share_media_is_init_boolean CHECK (is_init IN (0, 1)),
  mime_type  TEXT                                          -- of the recording
             CONSTRAINT share_media_mime_type_length CHECK (length(mime_type) BETWEEN 1 AND 255),
  ts         REAL NOT NULL,                                -- when it was stored
  data       BLOB NOT NULL                                 -- last, as in call_media
             CONSTRAINT share_media_data_not_empty CHECK (length(data) > 0),
  CONSTRAINT share_media_init_has_mime_type CHECK (is_init = 0 OR mime_type IS NOT NULL)
) STRICT;

CREATE INDEX share_media_by_share ON share_media (share_id, is_init);
CREATE INDEX share_media_by_time ON share_media (ts) WHERE is_init = 0;

CREATE TABLE media_bytes (
  -- The bytes of chunks kept for each sender. Adding up hundreds of chunks at each upload would cost too much.
  call_id TEXT NOT NULL,                                   -- the call, or the screen share
  sender  TEXT NOT NULL,                                   -- the uploading person
  kept    INTEGER NOT NULL,                                -- bytes of chunks, without the init segment
  PRIMARY KEY (call_id, sender)
) STRICT, WITHOUT ROWID;

CREATE INDEX media_bytes_by_sender ON media_bytes (sender);

CREATE TABLE person_counts (
  -- What each person takes of what is limited, one row a user. A limit is then one search, however many calls, shares
  -- and channels there are.
  username      TEXT NOT NULL PRIMARY KEY,                 -- the person
  live_calls    INTEGER NOT NULL DEFAULT 0,                -- live calls that they started
  live_shares   INTEGER NOT NULL DEFAULT 0,                -- active screen shares outside calls
  on_calls      INTEGER NOT NULL DEFAULT 0,                -- calls that they are on: their rows are accepted
  media_bytes   INTEGER NOT NULL DEFAULT 0,                -- bytes of their media in all calls and shares
  rings         INTEGER NOT NULL DEFAULT 0,                -- calls, invitations and shares since `rings_from_ts`
  rings_from_ts REAL NOT NULL DEFAULT 0                    -- when the first of them was made; they count for a minute
) STRICT, WITHOUT ROWID;

CREATE INDEX person_counts_on_calls ON person_counts (username) WHERE on_calls > 0;

CREATE TABLE ring_counts (
  -- How often one person has rung another, and how often the other has declined. One row a pair.
  caller        TEXT NOT NULL,                             -- the initiator of the call, or the inviter
  callee        TEXT NOT NULL,                             -- the person for whom it rang
  rings         INTEGER NOT NULL,                          -- rings since `rings_from_ts`
  rings_from_ts REAL NOT NULL,                             -- when the first of them began; they count for a minute
  refusals      INTEGER NOT NULL DEFAULT 0,                -- refusals in a row, without an answer in between
  refused_ts    REAL,                                      -- the last of them
  PRIMARY KEY (caller, callee)
) STRICT, WITHOUT ROWID;

CREATE INDEX ring_counts_by_callee ON ring_counts (callee);

CREATE TABLE events (
  -- The event log: what clients must learn, in the order in which it happened. Triggers write it. Push, resuming after
  -- a lost connection and long polls read it. It is bounded by age and number. A signal is an event, too, and has its
  -- row in call_signals alone.
  id       INTEGER PRIMARY KEY,                            -- ever-growing; the `id:` of a server-sent event
  ts       REAL NOT NULL,                                  -- when
  kind     TEXT NOT NULL                                   -- what happened
           CONSTRAINT events_kind_known CHECK (
             kind = 'started' OR kind = 'ringing' OR kind = 'invited' OR kind = 'busy' OR kind = 'accepted'
             OR kind = 'rejected' OR kind = 'timed_out' OR kind = 'left' OR kind = 'removed' OR kind = 'ended'
             OR kind = 'sharer_changed' OR kind = 'guest_waits' OR kind = 'guest_gone'
             OR kind = 'share_started' OR kind = 'share_stopped' OR kind = 'session_ended' OR kind = 'directory'),
  call_id  TEXT,                                           -- the call or screen share
  channel  TEXT,                                           -- its channel, or the one that changed
  username TEXT,                                           -- the person concerned; a personal event's recipient
  detail   TEXT                                            -- more, as JSON: an inviter, a reason, an issuer
           CONSTRAINT events_detail_is_json CHECK (detail IS NULL OR json_valid(detail)),
  is_personal INTEGER GENERATED ALWAYS AS (                -- 1: for its user only
                kind = 'ringing' OR kind = 'removed' OR kind = 'session_ended'
                OR (kind = 'directory' AND username IS NOT NULL)) VIRTUAL
) STRICT;

CREATE INDEX events_for_one ON events (username, id) WHERE is_personal;
CREATE INDEX events_for_all ON events (channel, id) WHERE NOT is_personal;
CREATE INDEX events_of_the_directory ON events (channel, username) WHERE kind = 'directory';

CREATE TABLE event_gaps (
  -- Ids that the log skipped, one row a start after an unclean stop or a restored copy. A client may have an id from in
  -- between, of an event that this file does not have; it gets a new snapshot. Old rows are deleted with their events.
  after_id INTEGER PRIMARY KEY,                            -- the newest id before the gap
  next_id  INTEGER NOT NULL,                               -- the id from which the log continues
  ts       REAL NOT NULL                                   -- when the server started
) STRICT;

CREATE TABLE clean_stop (
  -- One row while no server runs, unless the last one did not stop cleanly: a start deletes it, and a clean stop stores
  -- it again.
  id         INTEGER PRIMARY KEY                           -- always 1
             CONSTRAINT clean_stop_is_one_row CHECK (id = 1),
  stopped_ts REAL                                          -- when the last server stopped; NULL: none has run
) STRICT;

INSERT INTO clean_stop (id, stopped_ts) VALUES (1, NULL);
