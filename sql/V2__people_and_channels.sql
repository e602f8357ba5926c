-- People, their sessions, and the channels they can call in.
-- Written by the command line (`user`, `token`, `channel`) and by /login and /logout; read at every request.

-- One row a person. Names are what clients show, log in with and put into the names of direct-message channels, so they
-- never change. Removing a row makes the person leave calls, stop shares and lose every session, by the triggers below and
-- in the files of rules.
CREATE TABLE users (
  username      TEXT NOT NULL PRIMARY KEY                  -- 1 to 32 of A-Z a-z 0-9 _ -
                CONSTRAINT users_username_format CHECK (length(CAST(username AS BLOB)) BETWEEN 1 AND 32
                  AND length(username) = length(CAST(username AS BLOB))
                  AND username NOT GLOB '*[^A-Za-z0-9_-]*'),
  password_hash TEXT NOT NULL,                             -- Argon2id, as a PHC string
  created_ts    REAL NOT NULL                              -- when the person was added
) STRICT, WITHOUT ROWID;

-- One row a device or script that is logged in. The token itself is nowhere in this file.
CREATE TABLE sessions (
  token_hash TEXT NOT NULL PRIMARY KEY                     -- SHA-256 of the token, 64 lower-case hex digits
             CONSTRAINT sessions_token_hash_format CHECK (length(token_hash) = 64
               AND token_hash NOT GLOB '*[^0-9a-f]*'),
  username   TEXT NOT NULL REFERENCES users (username),    -- whose session it is
  created_ts REAL NOT NULL,                                -- when it began
  expires_ts REAL NOT NULL                                 -- when it stops being valid, at once, and is swept
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (username);
CREATE INDEX sessions_by_expiry ON sessions (expires_ts);

-- Sessions that are valid now: what a request's token is looked up in.
CREATE VIEW live_sessions AS
  SELECT token_hash, username, created_ts, expires_ts
  FROM sessions
  WHERE expires_ts > (SELECT ts FROM now);

-- One row a login that has not succeeded (yet): a successful one takes its row away again. Counting them is what stops
-- guessing. Rows go when the window is over.
CREATE TABLE login_attempts (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,              -- never used twice
  username TEXT NOT NULL                                   -- the name that was tried, whether it exists or not
           CONSTRAINT login_attempts_username_format CHECK (length(CAST(username AS BLOB)) BETWEEN 1 AND 32
             AND length(username) = length(CAST(username AS BLOB))
             AND username NOT GLOB '*[^A-Za-z0-9_-]*'),
  address  TEXT NOT NULL,                                  -- the IP address that tried
  ts       REAL NOT NULL                                   -- when
) STRICT;

CREATE INDEX login_attempts_by_name ON login_attempts (username, ts);
CREATE INDEX login_attempts_by_address ON login_attempts (address, ts);
CREATE INDEX login_attempts_by_time ON login_attempts (ts);

-- Channels with a list of members. Their name everywhere else is 'private:' and the id.
CREATE TABLE private_channels (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,            -- never used twice: a new channel must not inherit old calls
  name       TEXT NOT NULL                                 -- the title that people see
             CONSTRAINT private_channels_name_length CHECK (length(name) BETWEEN 1 AND 200),
  created_by TEXT,                                         -- the first member, or whoever made it
  created_ts REAL NOT NULL                                 -- when
) STRICT;

-- Who belongs to which private channel. Being taken off it makes the person leave its call.
CREATE TABLE private_channel_members (
  channel_id INTEGER NOT NULL REFERENCES private_channels (id),
  username   TEXT NOT NULL REFERENCES users (username),
  joined_ts  REAL NOT NULL,                                -- member since
  channel    TEXT GENERATED ALWAYS AS ('private:' || channel_id) VIRTUAL, -- the channel's name in calls and shares
  PRIMARY KEY (channel_id, username)
) STRICT, WITHOUT ROWID;

CREATE INDEX private_channel_members_by_channel ON private_channel_members (channel, username);
CREATE INDEX private_channel_members_by_user ON private_channel_members (username);

-- Who belongs to which direct-message channel: the names out of its name, split when the channel is first used. A name
-- such as 'dm:alice:bob' is sorted, and is the only one of its members.
CREATE TABLE dm_members (
  channel  TEXT NOT NULL,                                  -- 'dm:' and the sorted names
  username TEXT NOT NULL,                                  -- one of them
  PRIMARY KEY (channel, username)
) STRICT, WITHOUT ROWID;

CREATE INDEX dm_members_by_user ON dm_members (username);

-- Who belongs to which channel, of both kinds.
CREATE VIEW channel_members AS
  SELECT channel, username FROM private_channel_members
  UNION ALL
  SELECT channel, username FROM dm_members;

-- A name stands in histories and in the names of channels; a new name is a new person.
CREATE TRIGGER user_name_is_fixed
BEFORE UPDATE OF username ON users
WHEN NEW.username IS NOT OLD.username
BEGIN
  SELECT RAISE(ABORT, 'user_name_is_fixed');
END;

-- Adding somebody who is there would, with OR REPLACE, change a password without ending the sessions.
CREATE TRIGGER user_is_added_once
BEFORE INSERT ON users
WHEN EXISTS (SELECT 1 FROM users WHERE username = NEW.username)
BEGIN
  SELECT RAISE(ABORT, 'user_exists');
END;

-- Whoever changes a password because it is known to others wants those others out.
CREATE TRIGGER changed_password_ends_sessions
AFTER UPDATE OF password_hash ON users
WHEN NEW.password_hash IS NOT OLD.password_hash
BEGIN
  DELETE FROM sessions WHERE username = NEW.username;
END;

-- A removed person's tokens open nothing.
CREATE TRIGGER removed_user_loses_sessions
AFTER DELETE ON users
BEGIN
  DELETE FROM sessions WHERE username = OLD.username;
END;

-- A removed person's memberships go too, so that somebody who is later given the same name starts with none.
CREATE TRIGGER removed_user_loses_memberships
AFTER DELETE ON users
BEGIN
  DELETE FROM private_channel_members WHERE username = OLD.username;
END;

-- A session is for somebody who exists; the foreign key says so too, but a bare shell does not enforce it.
CREATE TRIGGER session_is_for_a_user
BEFORE INSERT ON sessions
WHEN NOT EXISTS (SELECT 1 FROM users WHERE username = NEW.username)
BEGIN
  SELECT RAISE(ABORT, 'user_not_found');
END;

-- Moving a session to somebody else would be logging in as them.
CREATE TRIGGER session_keeps_its_user
BEFORE UPDATE ON sessions
WHEN (NEW.token_hash, NEW.username) IS NOT (OLD.token_hash, OLD.username)
BEGIN
  SELECT RAISE(ABORT, 'session_is_fixed');
END;

-- The sweep only tidies up: live_sessions does not show an expired session for an instant.
CREATE TRIGGER expired_session_is_removed
INSTEAD OF INSERT ON sweep
BEGIN
  DELETE FROM sessions WHERE expires_ts <= NEW.ts;
END;

-- Guessing one person's password: after so many wrong ones within the window, the next has to wait.
CREATE TRIGGER login_attempts_are_limited_by_name
BEFORE INSERT ON login_attempts
WHEN (SELECT count(*) FROM login_attempts
      WHERE username = NEW.username
        AND ts > NEW.ts - (SELECT value FROM settings WHERE name = 'login_window'))
  >= (SELECT value FROM settings WHERE name = 'login_attempts_per_name')
BEGIN
  SELECT RAISE(ABORT, 'too_many_logins_for_name');
END;

-- Guessing many people's passwords from one address.
CREATE TRIGGER login_attempts_are_limited_by_address
BEFORE INSERT ON login_attempts
WHEN (SELECT count(*) FROM login_attempts
      WHERE address = NEW.address
        AND ts > NEW.ts - (SELECT value FROM settings WHERE name = 'login_window'))
  >= (SELECT value FROM settings WHERE name = 'login_attempts_per_address')
BEGIN
  SELECT RAISE(ABORT, 'too_many_logins_from_address');
END;

-- Attempts count for one window only.
CREATE TRIGGER old_login_attempts_are_forgotten
INSTEAD OF INSERT ON sweep
BEGIN
  DELETE FROM login_attempts
  WHERE ts <= NEW.ts - (SELECT value FROM settings WHERE name = 'login_window');
END;

-- Members exist, and so does the channel; the order of the two answers is fixed here.
CREATE TRIGGER member_and_channel_exist
BEFORE INSERT ON private_channel_members
BEGIN
  SELECT RAISE(ABORT, 'channel_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM private_channels WHERE id = NEW.channel_id);
  SELECT RAISE(ABORT, 'user_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM users WHERE username = NEW.username);
  SELECT RAISE(ABORT, 'already_a_member')
  WHERE EXISTS (SELECT 1 FROM private_channel_members WHERE channel_id = NEW.channel_id AND username = NEW.username);
END;

-- Changing a membership into another would slip past the rules about leaving: remove it and add the other.
CREATE TRIGGER membership_is_fixed
BEFORE UPDATE ON private_channel_members
WHEN (NEW.channel_id, NEW.username) IS NOT (OLD.channel_id, OLD.username)
BEGIN
  SELECT RAISE(ABORT, 'membership_is_fixed');
END;

-- The id is the channel's name in every call of it. It can be set by its other names, rowid and _rowid_, too.
CREATE TRIGGER private_channel_id_is_fixed
BEFORE UPDATE ON private_channels
WHEN NEW.id IS NOT OLD.id
BEGIN
  SELECT RAISE(ABORT, 'channel_id_is_fixed');
END;

-- Replacing a channel would give its calls to another one.
CREATE TRIGGER private_channel_is_added_once
BEFORE INSERT ON private_channels
WHEN EXISTS (SELECT 1 FROM private_channels WHERE id = NEW.id)
BEGIN
  SELECT RAISE(ABORT, 'channel_exists');
END;
