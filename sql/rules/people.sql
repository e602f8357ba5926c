-- People, their sessions, and failed logins.

CREATE TRIGGER user_is_added_once
-- INSERT OR REPLACE would change a password without ending the sessions.
BEFORE INSERT ON users
WHEN EXISTS (SELECT 1 FROM users WHERE username = NEW.username)
BEGIN
  SELECT RAISE(ABORT, 'user_exists');
END;

CREATE TRIGGER user_name_is_fixed
-- Histories and the names of DM channels contain it.
BEFORE UPDATE OF username ON users
WHEN NEW.username IS NOT OLD.username
BEGIN
  SELECT RAISE(ABORT, 'user_name_is_fixed');
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

  DELETE FROM sessions WHERE username = OLD.username;
END;

CREATE VIEW live_sessions AS
-- The valid sessions. Every request's token is looked up here.
  SELECT token_hash, username, created_ts, expires_ts
  FROM sessions
  WHERE expires_ts > (SELECT ts FROM now);

CREATE TRIGGER session_is_for_a_user
-- The foreign key says so too, but a bare shell does not enforce it.
BEFORE INSERT ON sessions
WHEN NOT EXISTS (SELECT 1 FROM users WHERE username = NEW.username)
BEGIN
  SELECT RAISE(ABORT, 'user_not_found');
END;

CREATE TRIGGER session_keeps_its_user
-- A session given to another user would log in as that user.
BEFORE UPDATE ON sessions
WHEN (NEW.token_hash, NEW.username) IS NOT (OLD.token_hash, OLD.username)
BEGIN
  SELECT RAISE(ABORT, 'session_is_fixed');
END;

CREATE TRIGGER ended_session_emits_event
-- The event closes the session's streams.
AFTER DELETE ON sessions
BEGIN
  INSERT INTO do_emit_event (emit, kind, username) VALUES (1, 'session_ended', OLD.username);
END;

CREATE VIEW login_cutoff (ts, window) AS
-- Failed logins count after this time; `window` is the setting behind it, in seconds.
  SELECT (SELECT ts FROM now) - value, value FROM settings WHERE name = 'login_window';

CREATE TRIGGER login_attempts_are_limited_by_name
-- Stops guessing one person's password.
BEFORE INSERT ON login_attempts
WHEN (SELECT count(*) FROM login_attempts
      WHERE username = NEW.username AND ts > NEW.ts - (SELECT window FROM login_cutoff))
  >= (SELECT value FROM settings WHERE name = 'login_attempts_per_name')
BEGIN
  SELECT RAISE(ABORT, 'too_many_logins_for_name');
END;

CREATE TRIGGER login_attempts_are_limited_by_address
-- Stops guessing many people's passwords from one address.
BEFORE INSERT ON login_attempts
WHEN (SELECT count(*) FROM login_attempts
      WHERE address = NEW.address AND ts > NEW.ts - (SELECT window FROM login_cutoff))
  >= (SELECT value FROM settings WHERE name = 'login_attempts_per_address')
BEGIN
  SELECT RAISE(ABORT, 'too_many_logins_from_address');
END;
