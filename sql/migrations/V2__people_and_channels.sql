-- People, their sessions, and the channels they call in.

CREATE TABLE users (
  -- One row a person. People log in with the name, and DM channels contain it, so it never changes. A name may be given
  -- to another person after a removal: the number tells the two apart.
  number        INTEGER PRIMARY KEY AUTOINCREMENT          -- of the person; never used twice
                CONSTRAINT users_number_positive CHECK (number > 0),
  username      TEXT NOT NULL UNIQUE                       -- 1 to 64 of A-Z a-z 0-9 . _ @ -, but not . or ..
                CONSTRAINT users_username_format CHECK (length(CAST(username AS BLOB)) BETWEEN 1 AND 64
                  AND length(username) = length(CAST(username AS BLOB))
                  AND username NOT GLOB '*[^A-Za-z0-9._@-]*' AND username <> '.' AND username <> '..'),
  password_hash TEXT NOT NULL,                             -- Argon2id, as a PHC string; of the original MiniMost until
                                                           -- an imported person logs in: METHOD$SALT$HEX
  created_ts    REAL NOT NULL,                             -- when the person was added
  display_name  TEXT                                       -- what people see; NULL in an INSERT or UPDATE sets the username
                CONSTRAINT users_display_name_format CHECK (
                  length(display_name) BETWEEN 1 AND 100 AND display_name = trim(display_name)
                  AND instr(CAST(display_name AS BLOB), x'00') = 0
                  -- Control characters, line separators, and marks that change the direction of text
                  AND display_name NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159)
                    || char(8206) || char(8207) || char(8232) || '-' || char(8238)
                    || char(8294) || '-' || char(8297) || ']*'),
  role          TEXT NOT NULL DEFAULT 'member'             -- admin: may use the routes at /admin/; member
                CONSTRAINT users_role_known CHECK (role IN ('admin', 'member')),
  guest_of      TEXT,                                      -- the call of a guest, who came by a link; NULL for people
                                                           -- with an account
  events_after  INTEGER,                                   -- id of the newest event when the person was added; they
                                                           -- see later ones only
  issuer        TEXT,                                      -- the host application whose user this is; NULL: a local user
  subject       TEXT                                       -- what that application calls them, the claim sub
                CONSTRAINT users_subject_format CHECK (length(subject) BETWEEN 1 AND 1000
                  AND instr(CAST(subject AS BLOB), x'00') = 0),
  token_ts      REAL,                                      -- the newest iat of their tokens, which decides memberships
  quiet_until   REAL,                                      -- do not disturb: no call rings for them before this time;
                                                           -- NULL without. A time of the calendar: it does not move
                                                           -- when the clock is set
  CONSTRAINT users_subject_is_of_an_issuer CHECK ((issuer IS NULL) = (subject IS NULL)),
  -- JSON has no infinite numbers, and date functions end with the year 9999: clients could not read such a time.
  CONSTRAINT time_unknown CHECK (abs(created_ts) <= 253402300799 AND abs(token_ts) <= 253402300799
    AND abs(quiet_until) <= 253402300799)
) STRICT;

CREATE UNIQUE INDEX users_by_subject ON users (issuer, subject) WHERE issuer IS NOT NULL;

-- Names that differ in case alone would be mistaken for each other. A login ignores case.
CREATE UNIQUE INDEX users_by_name_in_any_case ON users (username COLLATE NOCASE);

CREATE INDEX users_by_call_of_guests ON users (guest_of) WHERE guest_of IS NOT NULL;
CREATE INDEX users_by_end_of_quiet ON users (quiet_until) WHERE quiet_until IS NOT NULL;

CREATE TABLE sessions (
  -- One row a logged-in device or script. The file does not contain the token itself.
  token_hash TEXT NOT NULL PRIMARY KEY                     -- SHA-256 of the token, 64 lower-case hex digits
             CONSTRAINT sessions_token_hash_format CHECK (length(token_hash) = 64
               AND token_hash NOT GLOB '*[^0-9a-f]*'),
  username   TEXT NOT NULL REFERENCES users (username),    -- the session's owner
  created_ts REAL NOT NULL,                                -- when it began
  expires_ts REAL NOT NULL,                                -- from then on it is invalid; a sweep deletes it
  issuer     TEXT,                                         -- the token is a JWT of this issuer; NULL: it is ours
  page_token_hash TEXT                                     -- SHA-256 of another token of the session, which its page has
             CONSTRAINT sessions_page_token_hash_format CHECK (length(page_token_hash) = 64 -- for other addresses; NULL:
               AND page_token_hash NOT GLOB '*[^0-9a-f]*'),                                 -- it did not begin with a login
  CONSTRAINT time_unknown CHECK (abs(created_ts) <= 253402300799 AND abs(expires_ts) <= 253402300799)
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (username);
CREATE INDEX sessions_by_expiry ON sessions (expires_ts);
CREATE INDEX sessions_by_issuer ON sessions (issuer) WHERE issuer IS NOT NULL;
CREATE UNIQUE INDEX sessions_by_page_token ON sessions (page_token_hash) WHERE page_token_hash IS NOT NULL;

CREATE TABLE service_tokens (
  -- One row a program that uses the API for nobody: a monitor, or a script of an admin. The file does not contain the
  -- token itself.
  name       TEXT NOT NULL PRIMARY KEY                     -- what it is for, as a user name is written
             CONSTRAINT service_tokens_name_format CHECK (length(CAST(name AS BLOB)) BETWEEN 1 AND 64
               AND length(name) = length(CAST(name AS BLOB)) AND name NOT GLOB '*[^A-Za-z0-9._@-]*'
               AND name <> '.' AND name <> '..'),
  token_hash TEXT NOT NULL UNIQUE                          -- SHA-256 of the token, 64 lower-case hex digits
             CONSTRAINT service_tokens_token_hash_format CHECK (length(token_hash) = 64
               AND token_hash NOT GLOB '*[^0-9a-f]*'),
  scopes     TEXT NOT NULL                                 -- what it may do: admin, metrics, or both with a blank between
             CONSTRAINT service_tokens_scopes_known CHECK (scopes IN ('admin', 'metrics', 'admin metrics')),
  created_ts REAL NOT NULL,                                -- when it was added
  expires_ts REAL NOT NULL,                                -- from then on it is invalid; it stays until it is revoked
  CONSTRAINT time_unknown CHECK (abs(created_ts) <= 253402300799 AND abs(expires_ts) <= 253402300799)
) STRICT, WITHOUT ROWID;

CREATE TABLE login_attempts (
  -- One row a name and address with failed logins, or with one in progress. A successful login deletes its row.
  id       INTEGER PRIMARY KEY AUTOINCREMENT,              -- never used twice
  username TEXT NOT NULL                                   -- the user; for another name, which may be a password, ? and
                                                           -- four digits of its hash
           CONSTRAINT login_attempts_username_format CHECK (length(CAST(username AS BLOB)) BETWEEN 1 AND 64
             AND length(username) = length(CAST(username AS BLOB))
             AND username NOT GLOB '*[^A-Za-z0-9._@?-]*'),
  address  TEXT NOT NULL,                                  -- the client's IPv4 address, or its IPv6 network (/64)
  failures INTEGER NOT NULL DEFAULT 1,                     -- failed logins since the last success
  ts       REAL NOT NULL,                                  -- when the last of them was
  UNIQUE (address, username)
) STRICT;

CREATE INDEX login_attempts_by_time ON login_attempts (ts);

CREATE TABLE private_channels (
  -- Channels with a list of members. Everywhere else such a channel is named 'private:' and its id.
  id         INTEGER PRIMARY KEY AUTOINCREMENT,            -- never used twice: a new channel must not inherit old calls
  name       TEXT NOT NULL                                 -- the title that people see
             CONSTRAINT private_channels_name_length CHECK (length(name) BETWEEN 1 AND 200)
             -- No control characters, line separators or changes of direction, and more than white space.
             CONSTRAINT private_channels_name_printable CHECK (instr(name, char(0)) = 0
               AND name NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159)
                 || char(8232) || '-' || char(8238) || char(8294) || '-' || char(8297) || ']*'
               AND name GLOB '*[^ ' || char(160) || char(5760) || char(8192) || '-' || char(8207) || char(8239)
                 || char(8287) || '-' || char(8292) || char(12288) || char(65279) || ']*'),
  created_by TEXT,                                         -- the creator, or the first member
  created_ts REAL NOT NULL,                                -- when
  issuer     TEXT,                                         -- the host application whose channel this is; NULL: a local one
  external_id TEXT                                         -- what that application calls it; its people name it ext:ID
             CONSTRAINT private_channels_external_id_format CHECK (length(external_id) BETWEEN 1 AND 200
               AND external_id = trim(external_id) AND instr(CAST(external_id AS BLOB), x'00') = 0
               AND external_id NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'),
  CONSTRAINT private_channels_external_id_is_of_an_issuer CHECK ((issuer IS NULL) = (external_id IS NULL))
) STRICT;

CREATE UNIQUE INDEX private_channels_by_external_id ON private_channels (issuer, external_id) WHERE issuer IS NOT NULL;

CREATE TABLE private_channel_members (
  -- The members of private channels.
  channel_id INTEGER NOT NULL REFERENCES private_channels (id), -- the channel
  username   TEXT NOT NULL REFERENCES users (username),    -- the member
  joined_ts  REAL NOT NULL,                                -- member since
  channel    TEXT GENERATED ALWAYS AS ('private:' || channel_id) VIRTUAL, -- the channel's name in calls and shares
  PRIMARY KEY (channel_id, username)
) STRICT, WITHOUT ROWID;

CREATE INDEX private_channel_members_by_channel ON private_channel_members (channel, username);
CREATE INDEX private_channel_members_by_user ON private_channel_members (username);

CREATE TABLE dm_members (
  -- The members of DM channels: the names in the channel's name. Rows are made when a DM is used, and go with the user.
  channel  TEXT NOT NULL,                                  -- the canonical name, such as dm:alice:bob
  username TEXT NOT NULL,                                  -- one of the names in it
  listed   INTEGER NOT NULL DEFAULT 0                      -- 1: one of this person's channels in GET /me
           CONSTRAINT dm_members_listed_boolean CHECK (listed IN (0, 1)),
  PRIMARY KEY (channel, username)
) STRICT, WITHOUT ROWID;

CREATE INDEX dm_members_by_user ON dm_members (username);
CREATE INDEX dm_members_listed ON dm_members (username) WHERE listed;

CREATE TABLE command_log (
  -- What commands, and admins over HTTP, changed, the newest thousand. A running server logs each row.
  id      INTEGER PRIMARY KEY AUTOINCREMENT,               -- never used twice
  ts      REAL NOT NULL,                                   -- when
  change  TEXT NOT NULL,                                   -- what, such as `added user`
  subject TEXT NOT NULL,                                   -- whom, or which channel
  actor   TEXT                                             -- the admin over HTTP, or service:NAME; NULL: a command
) STRICT;
