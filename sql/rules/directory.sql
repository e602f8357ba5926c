-- The directory, which is what GET /me answers: the people that one sees, and one's channels. An event says that it has
-- changed, and not how: clients read it again.

CREATE VIEW do_emit_directory_event (channel, username, issuer) AS
-- The directory has changed: for one person with a username, for the members of a channel, or, without both, for everybody
-- who sees the people of this issuer. NULL as issuer: local people, seen by all.
  SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER directory_event_replaces_the_earlier
-- The newest says all that the earlier ones said. An import of a thousand users is one event.
INSTEAD OF INSERT ON do_emit_directory_event
BEGIN
  DELETE FROM events
  WHERE kind = 'directory' AND channel IS NEW.channel AND username IS NEW.username
    AND detail IS CASE WHEN NEW.issuer IS NOT NULL THEN json_object('issuer', NEW.issuer) END;

  INSERT INTO events (id, ts, kind, channel, username, detail)
  SELECT newest_event + 1, ts, 'directory', NEW.channel, NEW.username,
         CASE WHEN NEW.issuer IS NOT NULL THEN json_object('issuer', NEW.issuer) END
  FROM clock, now;
END;

CREATE TRIGGER removed_user_changes_the_directory
-- new_user_starts_with_nothing announces a new one.
AFTER DELETE ON users
WHEN OLD.guest_of IS NULL
BEGIN
  INSERT INTO do_emit_directory_event (issuer) VALUES (OLD.issuer);
END;

CREATE TRIGGER display_name_changes_the_directory
-- A new user has none at first, which is no change.
AFTER UPDATE OF display_name ON users
WHEN NEW.guest_of IS NULL AND OLD.display_name IS NOT NULL AND NEW.display_name IS NOT OLD.display_name
BEGIN
  INSERT INTO do_emit_directory_event (issuer) VALUES (NEW.issuer);
END;

CREATE TRIGGER own_account_changes_the_directory
-- GET /me has the role and do not disturb, which another window or an admin may change.
AFTER UPDATE OF role, quiet_until ON users
WHEN (NEW.role, NEW.quiet_until) IS NOT (OLD.role, OLD.quiet_until)
BEGIN
  INSERT INTO do_emit_directory_event (username) VALUES (NEW.username);
END;

CREATE TRIGGER renamed_channel_changes_the_directory
-- For its members. A new or removed channel has none: their memberships count.
AFTER UPDATE OF name ON private_channels
WHEN NEW.name IS NOT OLD.name
BEGIN
  INSERT INTO do_emit_directory_event (channel) VALUES ('private:' || NEW.id);
END;

CREATE TRIGGER new_member_changes_the_directory
-- For the members, among them the new one.
AFTER INSERT ON private_channel_members
BEGIN
  INSERT INTO do_emit_directory_event (channel) VALUES (NEW.channel);
END;

CREATE TRIGGER removed_member_changes_the_directory
-- For those who are left, and for the removed member, who is none of them.
AFTER DELETE ON private_channel_members
BEGIN
  INSERT INTO do_emit_directory_event (channel) VALUES (OLD.channel);

  INSERT INTO do_emit_directory_event (username) VALUES (OLD.username);
END;

CREATE TRIGGER listed_dm_changes_the_directory
-- It is one of the person's channels from now on.
AFTER UPDATE OF listed ON dm_members
WHEN NEW.listed AND NOT OLD.listed
BEGIN
  INSERT INTO do_emit_directory_event (username) VALUES (NEW.username);
END;

CREATE VIEW person_presence (username, issuer, presence) AS
-- What others see of a person who has a connection. Who is on a call or does not want to be disturbed is shown as that
-- without a connection, too. Nobody sees guests, nor on which call a person is.
--   SELECT username, presence FROM person_presence WHERE presence <> 'online'
  SELECT person.username, person.issuer,
         CASE WHEN counts.on_calls > 0 THEN 'on-call'
              WHEN person.quiet_until > (SELECT ts FROM now) THEN 'quiet'
              ELSE 'online' END
  FROM users AS person LEFT JOIN person_counts AS counts ON counts.username = person.username
  WHERE person.guest_of IS NULL;
