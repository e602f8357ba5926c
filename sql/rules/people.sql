-- People, their sessions, and failed logins.

-- What an admin does with people

CREATE VIEW check_user (username) AS
-- Refuses a name that no user has.
  SELECT NULL WHERE 0;

CREATE TRIGGER unknown_user_is_refused
-- An UPDATE or DELETE of a misspelt name would change nothing, silently.
INSTEAD OF INSERT ON check_user
BEGIN
  SELECT RAISE(ABORT, 'user_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM users WHERE username = NEW.username);
END;

CREATE VIEW add_user (username, password_hash, display_name, role) AS
-- Adds a person, who is a member unless `role` is admin. People see the username without a display name. The hash is one
-- of Argon2id; without it nobody can log in as them before set_password, or `minimost-calls user passwd`:
--   INSERT INTO add_user (username) VALUES ('carol')
  SELECT NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER add_user_adds_a_person
-- The clock gives the time.
INSTEAD OF INSERT ON add_user
BEGIN
  INSERT INTO users (username, password_hash, created_ts, display_name, role)
  SELECT NEW.username, coalesce(NEW.password_hash, ''), ts, NEW.display_name, coalesce(NEW.role, 'member') FROM now;
END;

CREATE VIEW set_password (username, password_hash) AS
-- Changes the hash of a person's password, which ends their sessions. Without a hash nobody can log in with a password.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER set_password_changes_the_hash
-- changed_password_ends_sessions follows.
INSTEAD OF INSERT ON set_password
BEGIN
  INSERT INTO check_user (username) VALUES (NEW.username);

  UPDATE users SET password_hash = coalesce(NEW.password_hash, '') WHERE username = NEW.username;
END;

CREATE VIEW set_display_name (username, display_name) AS
-- Changes what people see. NULL is the username:
--   INSERT INTO set_display_name (username, display_name) VALUES ('bob', 'Bob the builder')
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER set_display_name_changes_the_name
-- display_name_defaults_to_the_username follows.
INSTEAD OF INSERT ON set_display_name
BEGIN
  INSERT INTO check_user (username) VALUES (NEW.username);

  UPDATE users SET display_name = NEW.display_name WHERE username = NEW.username;
END;

CREATE VIEW set_role (username, role) AS
-- Makes a person an admin or a member: INSERT INTO set_role (username, role) VALUES ('alice', 'admin').
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER set_role_changes_the_role
-- The CHECK refuses other roles, and NULL as ''.
INSTEAD OF INSERT ON set_role
BEGIN
  INSERT INTO check_user (username) VALUES (NEW.username);

  UPDATE users SET role = coalesce(NEW.role, '') WHERE username = NEW.username;
END;

CREATE VIEW set_quiet (username, seconds) AS
-- Do not disturb: no call rings for a person for so many seconds, at most a year. 0 ends it:
--   INSERT INTO set_quiet (username, seconds) VALUES ('bob', 3600)
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER set_quiet_lasts_at_most_a_year
-- A calendar time, as that of a session's end. A call that rings already goes on ringing.
INSTEAD OF INSERT ON set_quiet
BEGIN
  INSERT INTO check_user (username) VALUES (NEW.username);

  SELECT RAISE(ABORT, 'quiet_seconds_out_of_range')
  WHERE typeof(NEW.seconds) NOT IN ('integer', 'real') OR NEW.seconds NOT BETWEEN 0 AND 31536000;

  UPDATE users
  SET quiet_until = CASE WHEN NEW.seconds > 0 THEN round((SELECT ts FROM now) + NEW.seconds, 3) END
  WHERE username = NEW.username;
END;

CREATE VIEW remove_user (username) AS
-- Removes a person from everything, and deletes them: INSERT INTO remove_user (username) VALUES ('bob').
  SELECT NULL WHERE 0;

CREATE TRIGGER remove_user_deletes_the_person
-- removed_user_leaves_everything follows.
INSTEAD OF INSERT ON remove_user
BEGIN
  INSERT INTO check_user (username) VALUES (NEW.username);

  DELETE FROM users WHERE username = NEW.username;
END;

-- Rules about people

CREATE TRIGGER user_is_added_once
-- INSERT OR REPLACE would change a password without ending the sessions. Names differ in more than case.
BEFORE INSERT ON users
WHEN EXISTS (SELECT 1 FROM users WHERE username = NEW.username COLLATE NOCASE)
BEGIN
  SELECT RAISE(ABORT, 'user_exists');
END;

CREATE TRIGGER user_number_is_given
-- A number that was used before would give a new person the calls of a removed one. Before an INSERT without a number,
-- SQLite has -1 here.
BEFORE INSERT ON users
WHEN NEW.number > 0 OR NEW.events_after IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'user_number_is_fixed');
END;

CREATE TRIGGER new_user_starts_with_nothing
-- Events of a removed user of the same name are not theirs, nor is the one that announces them. People see the display
-- name. Nobody sees guests but those on their call, who have its events.
AFTER INSERT ON users
BEGIN
  INSERT INTO do_emit_directory_event (issuer) SELECT NEW.issuer WHERE NEW.guest_of IS NULL;

  UPDATE users
  SET events_after = (SELECT newest_event FROM clock),
      display_name = coalesce(display_name, username)
  WHERE number = NEW.number;
END;

CREATE TRIGGER display_name_defaults_to_the_username
-- Clients always have a name to show.
AFTER UPDATE OF display_name ON users
WHEN NEW.display_name IS NULL
BEGIN
  UPDATE users SET display_name = username WHERE number = NEW.number;
END;

CREATE TRIGGER user_name_is_fixed
-- Histories and the names of DM channels contain it.
BEFORE UPDATE OF username ON users
WHEN NEW.username IS NOT OLD.username
BEGIN
  SELECT RAISE(ABORT, 'user_name_is_fixed');
END;

CREATE TRIGGER user_number_is_fixed
-- Rows of calls contain it. OF number would miss its other names, such as rowid.
BEFORE UPDATE ON users
WHEN NEW.number IS NOT OLD.number OR (OLD.events_after IS NOT NULL AND NEW.events_after IS NOT OLD.events_after)
BEGIN
  SELECT RAISE(ABORT, 'user_number_is_fixed');
END;

CREATE TRIGGER user_subject_is_fixed
-- Tokens for another subject would come in as this person.
BEFORE UPDATE OF issuer, subject ON users
WHEN (NEW.issuer, NEW.subject) IS NOT (OLD.issuer, OLD.subject)
BEGIN
  SELECT RAISE(ABORT, 'user_subject_is_fixed');
END;

CREATE TRIGGER changed_password_ends_sessions
-- A password is changed when others may know it. Their sessions end.
AFTER UPDATE OF password_hash ON users
WHEN NEW.password_hash IS NOT OLD.password_hash
BEGIN
  DELETE FROM sessions WHERE username = NEW.username;
END;

CREATE TRIGGER removed_user_leaves_everything
-- No call waits for a removed user, and a new user of the same name starts with nothing. Signals of shares in DM
-- channels go here, because such a channel has no membership to delete.
AFTER DELETE ON users
BEGIN
  DELETE FROM call_signals
  WHERE call_id IN (SELECT share_id FROM screenshares
                    WHERE state = 'active'
                      AND channel IN (SELECT channel FROM dm_members WHERE username = OLD.username))
    AND (to_user = OLD.username OR from_user = OLD.username);

  UPDATE screenshares SET state = 'ended' WHERE sharer = OLD.username AND state = 'active';

  UPDATE call_participants SET state = 'left' WHERE username = OLD.username AND in_call;

  DELETE FROM private_channel_members WHERE username = OLD.username;

  DELETE FROM dm_members WHERE username = OLD.username;

  DELETE FROM sessions WHERE username = OLD.username;
END;

CREATE VIEW quiet_people (username, quiet_until) AS
-- Who does not want to be disturbed now, and until when.
--   SELECT username, datetime(quiet_until, 'unixepoch') FROM quiet_people
  SELECT username, quiet_until FROM users WHERE quiet_until > (SELECT ts FROM now);

CREATE VIEW newest_user (number) AS
-- The largest number that a user has had. Calls and shares store it: they are nothing of users who are added later.
  SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'users'), 0);

CREATE VIEW live_sessions AS
-- The valid sessions. Every request's token is looked up here.
  SELECT token_hash, username, created_ts, expires_ts
  FROM sessions
  WHERE expires_ts > (SELECT ts FROM now);

CREATE VIEW page_tokens (page_token_hash, token_hash) AS
-- The tokens of pages, and the valid sessions that they are of.
  SELECT page_token_hash, token_hash
  FROM sessions
  WHERE page_token_hash IS NOT NULL AND expires_ts > (SELECT ts FROM now);

CREATE VIEW session_list (id, username, created_ts, expires_ts) AS
-- The valid sessions by their ids, with which nobody can log in: the first 16 digits of the hash.
--   SELECT id, username, datetime(created_ts, 'unixepoch') FROM session_list WHERE username = 'bob'
  SELECT substr(token_hash, 1, 16), username, created_ts, expires_ts FROM live_sessions;

CREATE VIEW revoke_session (session) AS
-- Ends a session of anybody by its id in session_list: INSERT INTO revoke_session (session) VALUES ('0123456789abcdef').
  SELECT NULL WHERE 0;

CREATE TRIGGER revoke_session_ends_it
-- The hashes with a beginning are a range, in which g is behind all digits. A shorter beginning is no id.
INSTEAD OF INSERT ON revoke_session
BEGIN
  SELECT RAISE(ABORT, 'session_not_found')
  WHERE length(NEW.session) IS NOT 16
     OR NOT EXISTS (SELECT 1 FROM live_sessions
                    WHERE token_hash >= NEW.session AND token_hash < NEW.session || 'g');

  DELETE FROM sessions WHERE token_hash >= NEW.session AND token_hash < NEW.session || 'g';
END;

CREATE VIEW revoke_own_session (session, username) AS
-- DELETE /sessions/ID: a person ends one of their sessions.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER only_own_sessions_are_revoked
-- Nobody learns which ids sessions of others have.
INSTEAD OF INSERT ON revoke_own_session
BEGIN
  SELECT RAISE(ABORT, 'session_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM live_sessions
                    WHERE token_hash >= NEW.session AND token_hash < NEW.session || 'g' AND username = NEW.username);

  INSERT INTO revoke_session (session) VALUES (NEW.session);
END;

CREATE TRIGGER session_is_for_a_user
-- The foreign key says so too, but a bare shell does not enforce it.
BEFORE INSERT ON sessions
WHEN NOT EXISTS (SELECT 1 FROM users WHERE username = NEW.username)
BEGIN
  SELECT RAISE(ABORT, 'user_not_found');
END;

CREATE TRIGGER session_is_added_once
-- INSERT OR REPLACE would give it to another user.
BEFORE INSERT ON sessions
WHEN EXISTS (SELECT 1 FROM sessions WHERE token_hash = NEW.token_hash)
BEGIN
  SELECT RAISE(ABORT, 'session_is_fixed');
END;

CREATE TRIGGER session_keeps_its_user
-- A session given to another user would log in as that user.
BEFORE UPDATE ON sessions
WHEN (NEW.token_hash, NEW.username, NEW.issuer) IS NOT (OLD.token_hash, OLD.username, OLD.issuer)
BEGIN
  SELECT RAISE(ABORT, 'session_is_fixed');
END;

CREATE TRIGGER ended_session_emits_event
-- The event closes the session's streams.
AFTER DELETE ON sessions
BEGIN
  INSERT INTO do_emit_event (emit, kind, username) VALUES (1, 'session_ended', OLD.username);
END;

CREATE VIEW login_limits (per_name, per_address, pause, pause_max, attempts_max, window) AS
-- The settings about failed logins.
  SELECT (SELECT value FROM settings WHERE name = 'login_attempts_per_name'),
         (SELECT value FROM settings WHERE name = 'login_attempts_per_address'),
         (SELECT value FROM settings WHERE name = 'login_pause'),
         (SELECT value FROM settings WHERE name = 'login_pause_max'),
         (SELECT value FROM settings WHERE name = 'login_attempts_max'),
         (SELECT value FROM settings WHERE name = 'login_window');

CREATE VIEW login_cutoff (ts) AS
-- Failed logins count if the last of their name and address was after this time.
  SELECT (SELECT ts FROM now) - window FROM login_limits;

CREATE VIEW login_pauses (address, username, until_ts) AS
-- Who has to wait until when: a name from an address, and every name (NULL) from an address. The pause doubles with each
-- failure beyond the limit. Failures from other addresses do not count, so that nobody can lock a user out.
--   SELECT address, username, datetime(until_ts, 'unixepoch') FROM login_pauses
  SELECT address, username, ts + min(pause * (1 << min(failures - per_name, 30)), pause_max)
  FROM login_attempts, login_limits
  WHERE ts > (SELECT ts FROM login_cutoff) AND failures >= per_name
  UNION ALL
  SELECT address, NULL, max(ts) + min(pause * (1 << min(sum(failures) - per_address, 30)), pause_max)
  FROM login_attempts, login_limits
  WHERE ts > (SELECT ts FROM login_cutoff)
  GROUP BY address, per_address, pause, pause_max HAVING sum(failures) >= per_address;

CREATE VIEW attempt_login (username, address) AS
-- A login begins: INSERT INTO attempt_login (username, address) VALUES ('alice', '192.0.2.1'). It counts as failed until
-- it succeeds, so that attempts at the same time count, too.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER login_attempts_are_limited
-- Slows down guessing one person's password, and many people's from one address.
INSTEAD OF INSERT ON attempt_login
BEGIN
  SELECT RAISE(ABORT, 'too_many_logins_for_name')
  WHERE EXISTS (SELECT 1 FROM login_pauses
                WHERE address = NEW.address AND username = NEW.username AND until_ts > (SELECT ts FROM now));

  SELECT RAISE(ABORT, 'too_many_logins_from_address')
  WHERE EXISTS (SELECT 1 FROM login_pauses
                WHERE address = NEW.address AND username IS NULL AND until_ts > (SELECT ts FROM now));

  -- A row that the next sweep deletes counts no more.
  UPDATE login_attempts
  SET failures = CASE WHEN ts > (SELECT ts FROM login_cutoff) THEN failures + 1 ELSE 1 END,
      ts = (SELECT ts FROM now)
  WHERE address = NEW.address AND username = NEW.username;

  INSERT INTO login_attempts (username, address, ts)
  SELECT NEW.username, NEW.address, ts FROM now
  WHERE NOT EXISTS (SELECT 1 FROM login_attempts WHERE address = NEW.address AND username = NEW.username);
END;

CREATE TRIGGER oldest_login_attempts_make_way
-- Guesses of many names from many addresses must not fill the disk. Ids have few gaps, so their distance counts rows.
AFTER INSERT ON login_attempts
BEGIN
  DELETE FROM login_attempts WHERE id <= NEW.id - (SELECT attempts_max FROM login_limits);
END;

CREATE TRIGGER login_attempt_id_is_fixed
-- As login_attempts_id_leaves_room.
BEFORE UPDATE ON login_attempts
WHEN NEW.id IS NOT OLD.id
BEGIN
  SELECT RAISE(ABORT, 'id_too_large');
END;

CREATE TRIGGER login_attempts_id_leaves_room
-- An id near the end of the numbers would leave none for later rows.
BEFORE INSERT ON login_attempts
WHEN NEW.id > (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'login_attempts') + 1000000
BEGIN
  SELECT RAISE(ABORT, 'id_too_large');
END;
