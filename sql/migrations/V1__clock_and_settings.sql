-- The clock, the settings, and the list of rules in this file.
--
-- Migrations hold tables and their data. A released migration never changes. Triggers and views are in sql/rules/.

CREATE TABLE clock (
  -- Time is data. `pinned_ts` is normally NULL, and the view `now` gives the machine's time. The server pins the clock
  -- for each write transaction, so that a transaction happens at one instant and can be replayed. A fixture pins it and
  -- steps it.
  id        INTEGER PRIMARY KEY                            -- always 1
            CONSTRAINT clock_has_one_row CHECK (id = 1),
  pinned_ts REAL,                                          -- seconds since the epoch, or NULL for the machine's time
  sweeps    INTEGER NOT NULL DEFAULT 1                     -- 0: no sweep runs. The server sets it for a transaction
            CONSTRAINT clock_sweeps_boolean CHECK (sweeps IN (0, 1)), -- in which none is due, or a rule refused it
  step_seconds REAL                                        -- normally NULL; the step that clock_step applies
            CONSTRAINT clock_step_is_bounded CHECK (step_seconds BETWEEN -1e10 AND 1e10),
  newest_event INTEGER NOT NULL DEFAULT 0,                 -- the newest id of an event or signal, ever. Both count in
                                                           -- one sequence. No commit writes another page for it
  boot_id   TEXT,                                          -- the kernel's id of the boot to which booted_ts refers
  booted_ts REAL                                           -- when the machine booted, by the wall clock of the last
                                                           -- comparison; setting the wall clock changes it
) STRICT;

INSERT INTO clock (id, pinned_ts) VALUES (1, NULL);

CREATE TABLE settings (
  -- Every limit, one row each. A change takes effect with the next statement, without a restart:
  --   INSERT INTO set_setting (name, value) VALUES ('ringing_timeout', 45)
  --   INSERT INTO set_setting (name, value) VALUES ('ice_servers', '[{"urls": "stun:stun.example.org:3478"}]')
  name    TEXT NOT NULL PRIMARY KEY,                       -- what is limited
  value   ANY  NOT NULL,                                   -- the value in force, in `unit`
  default_value ANY NOT NULL,                              -- the value of a new file
  kind    TEXT NOT NULL,                                   -- number, text, secret, or JSON, which triggers check
  unit    TEXT NOT NULL,                                   -- of the value, or of the length of a text
  lowest  REAL NOT NULL,                                   -- the smallest value, or the shortest text
  highest REAL NOT NULL,                                   -- the largest value, or the longest text
  meaning TEXT NOT NULL,                                   -- what happens at the limit
  CONSTRAINT setting_is_a_number CHECK (kind <> 'number' OR typeof(value) IN ('integer', 'real')),
  CONSTRAINT setting_is_in_range CHECK (
    CASE kind WHEN 'number' THEN value ELSE length(value) END BETWEEN lowest AND highest)
) STRICT, WITHOUT ROWID;

INSERT INTO settings (name, value, default_value, kind, unit, lowest, highest, meaning)
SELECT column1, column2, column2, column3, column4, column5, column6, column7 FROM (
  VALUES
    ('ringing_timeout', 30, 'number', 'seconds', 0.1, 3600,
     'an unanswered invitation stops ringing after this long'),
    ('signal_max_bytes', 65536, 'number', 'bytes', 256, 1048576,
     'largest payload of an offer, answer or ICE candidate'),
    ('signals_per_call_max', 1000, 'number', 'count', 1, 100000,
     'signals kept from one sender to one recipient in a call or share; their oldest are deleted first'),
    ('signals_per_call_max_bytes', 1048576, 'number', 'bytes', 256, 1073741824,
     'bytes of signals kept from one sender to one recipient in a call or share; their oldest are deleted first'),
    ('media_chunk_max_bytes', 4194304, 'number', 'bytes', 1, 16777216,
     'largest media chunk or init segment'),
    ('media_buffer_seconds', 30, 'number', 'seconds', 0.1, 3600,
     'media chunks older than this are deleted'),
    ('media_buffer_max_bytes', 16777216, 'number', 'bytes', 1, 1073741824,
     'media kept for one sender; the oldest chunks are deleted first'),
    ('presence_timeout', 60, 'number', 'seconds', 1, 86400,
     'a participant unseen for this long leaves the call; if all are unseen, the call ends'),
    ('presence_interval', 5, 'number', 'seconds', 0, 3600,
     'presence of a participant is stored at most this often'),
    ('gone_after', 12, 'number', 'seconds', 0, 3600,
     'a participant whose connection closes leaves this much later; a report of a lost one counts after as long'),
    ('call_max_seconds', 0, 'number', 'seconds', 0, 31536000,
     'an active call ends this long after the first answer; 0 is no limit'),
    ('end_for_everyone', 1, 'number', 'switch', 0, 1,
     '1: `POST /calls/ID/end` ends an active call for everyone; 0: it does what `/leave` does'),
    ('events_max_age', 86400, 'number', 'seconds', 1, 31536000,
     'events older than this are deleted; a client that was away longer gets a new snapshot'),
    ('events_max_count', 100000, 'number', 'count', 1, 100000000,
     'events and signals since the oldest event that is kept; older ones are deleted'),
    ('call_people_max', 12, 'number', 'count', 0, 1000,
     'people accepted in a call; one more is refused and may try again; 0 is no limit'),
    ('live_calls_per_person', 5, 'number', 'count', 0, 1000000,
     'live calls that a person has started; 0 is no limit'),
    ('guests_per_call', 20, 'number', 'count', 0, 1000,
     'guests who came to a call by links, those who wait included; 0 is no limit'),
    ('links_per_person', 100, 'number', 'count', 0, 1000000,
     'valid links of a person; 0 is no limit'),
    ('live_shares_per_person', 5, 'number', 'count', 0, 1000000,
     'active screen shares of a person outside calls; 0 is no limit'),
    ('rings_per_pair', 30, 'number', 'count', 0, 1000000,
     'rings of one person for another within a minute; 0 is no limit'),
    ('rings_per_person', 60, 'number', 'count', 0, 1000000,
     'calls, invitations and shares of one person within a minute; 0 is no limit'),
    ('busy_policy', 'ring', 'text', 'characters', 1, 64,
     '`ring`: a call also rings for people who are on another call; `busy`: it does not, and they miss it'),
    ('refusal_pause', 5, 'number', 'seconds', 0, 3600,
     'pause after a third refusal in a row by the same person; it doubles with each further one, up to an hour; 0 is no pause'),
    ('dm_names_max', 32, 'number', 'count', 2, 1000,
     'names in a direct-message channel'),
    ('sessions_per_person', 50, 'number', 'count', 0, 1000000,
     'sessions of a person; the oldest ends for a new one; 0 is no limit'),
    ('streams_per_person', 20, 'number', 'count', 0, 1000000,
     'open event streams and waiting requests of a person; 0 is no limit'),
    ('connections_per_address', 256, 'number', 'count', 0, 1000000,
     'open connections of an address, or of an IPv6 /64; 0 is no limit'),
    ('unread_bytes_per_person', 16777216, 'number', 'bytes', 0, 1073741824,
     'answers that a person has not read yet, and as many of uploads that are not stored yet; 0 is no limit'),
    ('media_per_person_max_bytes', 67108864, 'number', 'bytes', 0, 1073741824,
     'media kept for a person in all calls and shares; the oldest chunks are deleted first; 0 is no limit'),
    ('restart_grace', 0, 'number', 'seconds', 0, 3600,
     'after a restart, live calls and shares wait this long for their people; 0 ends them at once'),
    ('sync_all', 0, 'number', 'switch', 0, 1,
     '1: signals, media and presence wait for the disk like all else; 0: a power loss may take the newest of them'),
    ('history_max_age', 0, 'number', 'seconds', 0, 3153600000,
     'finished calls and shares older than this are deleted; 0 keeps them'),
    ('session_ttl', 2592000, 'number', 'seconds', 60, 315360000,
     'lifetime of a session'),
    ('session_cookie', 'session', 'text', 'characters', 1, 64,
     'name of the cookie that holds the token of a browser''s session'),
    ('trusted_header', '', 'text', 'characters', 0, 64,
     'header in which the proxy of `--behind-proxy` names the person; empty is off'),
    ('login_window', 3600, 'number', 'seconds', 1, 86400,
     'failed logins for a name from an address are forgotten this long after the last one'),
    ('login_attempts_per_name', 10, 'number', 'count', 1, 1000000,
     'failed logins for one name from one address before it has to wait'),
    ('login_attempts_per_address', 50, 'number', 'count', 1, 1000000,
     'failed logins from one address, or an IPv6 /64, before it has to wait'),
    ('login_attempts_max', 10000, 'number', 'count', 1, 1000000,
     'names and addresses whose failed logins are counted; the oldest are forgotten first'),
    ('login_pause', 1, 'number', 'seconds', 0, 3600,
     'pause after too many failed logins; it doubles with each further one; 0 is no pause'),
    ('login_pause_max', 900, 'number', 'seconds', 0, 86400,
     'longest pause after failed logins'),
    ('allowed_origins', '[]', 'JSON', 'characters', 2, 16384,
     'other sites whose pages may use the API with a token and show the page in a frame, as a list of origins'),
    ('ice_servers', '[]', 'JSON', 'characters', 2, 16384,
     'STUN and TURN servers for browsers, as a list of `{"urls", "username", "credential"}`'),
    ('turn_urls', '[]', 'JSON', 'characters', 2, 16384,
     'URLs of a TURN server that shares `turn_secret`, for which each person gets a separate credential'),
    ('turn_secret', '', 'secret', 'characters', 0, 256,
     'secret of that TURN server, such as the `static-auth-secret` of coturn; empty: nobody gets a credential'),
    ('turn_ttl', 86400, 'number', 'seconds', 60, 2592000,
     'lifetime of a credential for that TURN server'));

CREATE TABLE rules (
  -- The triggers and views that the program created in this file. A start compares them with its own, and a program
  -- with a smaller number refuses the file. The views and triggers of an admin are not in this list.
  name       TEXT NOT NULL PRIMARY KEY,                    -- of the trigger or view
  type       TEXT NOT NULL,                                -- trigger or view
  number     INTEGER NOT NULL,                             -- the rules number of the program that created it
  definition TEXT NOT NULL                                 -- its text, to tell a changed one
) STRICT, WITHOUT ROWID;
