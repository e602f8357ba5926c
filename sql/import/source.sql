-- What the command `import` reads of the original MiniMost: one temporary table for each table of auth.db and presence.db,
-- named after the file and the table. The program fills them, column by column, before target.sql reads them.
--
-- The original checks nothing in its files. A row that breaks a CHECK here is left out and counted. A column with
-- DEFAULT NULL is not in every version of the original; without any other column its file is refused. A time is in
-- seconds since the epoch. Text is greater than any number, so BETWEEN refuses it.

CREATE TEMP TABLE auth_users (
  -- A login ignores case, and so does the original when it adds a user.
  username      TEXT NOT NULL UNIQUE COLLATE NOCASE,
  password_hash TEXT NOT NULL,
  failed_attempts,                                         -- not taken, but every version has both
  lockout_until,
  password_set_ts REAL DEFAULT NULL CHECK (password_set_ts BETWEEN 0 AND 253402300799)
);

CREATE TEMP TABLE auth_password_history (
  username      TEXT DEFAULT NULL COLLATE NOCASE,
  set_ts        REAL DEFAULT NULL CHECK (set_ts BETWEEN 0 AND 253402300799)
);

CREATE TEMP TABLE presence_presence (
  user          TEXT COLLATE NOCASE,
  last_seen     REAL CHECK (last_seen BETWEEN 0 AND 253402300799)
);

CREATE TEMP TABLE presence_private_channels (
  id            INTEGER NOT NULL UNIQUE CHECK (typeof(id) = 'integer' AND id > 0),
  name          TEXT NOT NULL CHECK (typeof(name) = 'text'),
  created_by    TEXT CHECK (typeof(created_by) IN ('text', 'null')),
  created_ts    REAL NOT NULL CHECK (created_ts BETWEEN 0 AND 253402300799)
);

CREATE TEMP TABLE presence_private_channel_members (
  channel_id    INTEGER NOT NULL CHECK (typeof(channel_id) = 'integer'),
  username      TEXT NOT NULL CHECK (typeof(username) = 'text'),
  joined_ts     REAL NOT NULL CHECK (joined_ts BETWEEN 0 AND 253402300799)
);

CREATE TEMP TABLE presence_sqlite_sequence (
  name          TEXT,
  seq           INTEGER CHECK (typeof(seq) = 'integer')
);

CREATE TEMP TABLE presence_calls (
  -- json_quote(), which reads the names of a channel, must not see a NUL.
  call_id       TEXT PRIMARY KEY NOT NULL CHECK (typeof(call_id) = 'text'),
  channel       TEXT NOT NULL CHECK (typeof(channel) = 'text' AND instr(channel, char(0)) = 0),
  initiator     TEXT NOT NULL CHECK (typeof(initiator) = 'text' AND instr(initiator, char(0)) = 0),
  state         TEXT NOT NULL CHECK (state IN ('ringing', 'active', 'ended', 'rejected')),
  started_ts    REAL NOT NULL CHECK (started_ts BETWEEN 0 AND 253402300799),
  answered_ts   REAL CHECK (answered_ts BETWEEN 0 AND 253402300799),
  ended_ts      REAL CHECK (ended_ts BETWEEN 0 AND 253402300799)
) WITHOUT ROWID;

CREATE TEMP TABLE presence_call_participants (
  call_id       TEXT NOT NULL CHECK (typeof(call_id) = 'text'),
  username      TEXT NOT NULL CHECK (typeof(username) = 'text' AND instr(username, char(0)) = 0),
  state         TEXT NOT NULL CHECK (state IN ('pending', 'accepted', 'rejected', 'left')),
  joined_ts     REAL CHECK (joined_ts BETWEEN 0 AND 253402300799),
  left_ts       REAL CHECK (left_ts BETWEEN 0 AND 253402300799),
  invited_ts    REAL DEFAULT NULL CHECK (invited_ts BETWEEN 0 AND 253402300799),
  last_seen_ts  REAL DEFAULT NULL CHECK (last_seen_ts BETWEEN 0 AND 253402300799),
  PRIMARY KEY (call_id, username)
) WITHOUT ROWID;

CREATE TEMP TABLE presence_screenshares (
  share_id      TEXT PRIMARY KEY NOT NULL CHECK (typeof(share_id) = 'text'),
  channel       TEXT NOT NULL CHECK (typeof(channel) = 'text' AND instr(channel, char(0)) = 0),
  sharer        TEXT NOT NULL CHECK (typeof(sharer) = 'text' AND instr(sharer, char(0)) = 0),
  started_ts    REAL NOT NULL CHECK (started_ts BETWEEN 0 AND 253402300799),
  ended_ts      REAL CHECK (ended_ts BETWEEN 0 AND 253402300799)
) WITHOUT ROWID;

-- Signals and media are for connections that no longer exist. Their times say how long a live call or share lasted.

CREATE TEMP TABLE presence_call_signals (
  call_id       TEXT,                                      -- or the id of a share
  ts            REAL CHECK (ts BETWEEN 0 AND 253402300799)
);

CREATE TEMP TABLE presence_call_media (
  call_id       TEXT DEFAULT NULL,
  ts            REAL DEFAULT NULL CHECK (ts BETWEEN 0 AND 253402300799)
);

CREATE TEMP TABLE presence_share_media (
  share_id      TEXT DEFAULT NULL,
  ts            REAL DEFAULT NULL CHECK (ts BETWEEN 0 AND 253402300799)
);

CREATE TEMP TABLE skipped (
  -- The rows of each table that broke a CHECK. The program writes it.
  name          TEXT PRIMARY KEY,
  count         INTEGER NOT NULL
);
