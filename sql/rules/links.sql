-- Links and guests. A guest is a user of one call, without a password. They are gone with the call.
--
--   open_link     INSERT users, sessions; then the guest waits, or is invited to the call
--   invite_to_call by a member admits a guest who waits
--   dismiss_guest DELETE users

CREATE VIEW live_links AS
-- The links that work now.
  SELECT token_hash, channel, created_by, created_ts, expires_ts, uses_left, admit
  FROM links
  WHERE expires_ts > (SELECT ts FROM now) AND uses_left > 0;

CREATE VIEW link_json (channel, username, created_ts, id, json) AS
-- A link as GET /links gives it to each member of its channel. Its id opens no call: the first 16 digits of the hash.
  SELECT link.channel, member.username, link.created_ts, substr(link.token_hash, 1, 16),
         json_object('id', substr(link.token_hash, 1, 16), 'channel', link.channel, 'created_by', link.created_by,
                     'created_ts', link.created_ts, 'expires_ts', link.expires_ts, 'uses_left', link.uses_left,
                     'admit', json(CASE WHEN link.admit THEN 'true' ELSE 'false' END))
  FROM live_links AS link
  JOIN channel_access AS member ON member.spelling = json_quote(link.channel) AND member.access = 'granted';

CREATE VIEW add_link (token_hash, channel, username, seconds, uses, admit) AS
-- A member makes a link to a channel. It lasts a day if `seconds` is NULL, for ten guests if `uses` is NULL, and they wait
-- unless `admit` is 0.
  SELECT NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER add_link_stores_its_hash
-- Only members let others in.
INSTEAD OF INSERT ON add_link
BEGIN
  INSERT INTO check_channel_name (channel) VALUES (NEW.channel);

  INSERT INTO check_channel_access (channel, username)
  VALUES ((SELECT channel FROM named_channels WHERE spelling = json_array(NEW.channel, NEW.username)), NEW.username);

  SELECT RAISE(ABORT, 'user_not_found')
  WHERE EXISTS (SELECT 1 FROM unregistered_names WHERE spelling = json_quote(NEW.channel));

  SELECT RAISE(ABORT, 'links_uses_in_range')
  WHERE NEW.uses < 1;

  SELECT RAISE(ABORT, 'too_many_links')
  WHERE (SELECT count(*) FROM live_links WHERE created_by = NEW.username)
    >= (SELECT value FROM settings WHERE name = 'links_per_person' AND value > 0);

  INSERT INTO links (token_hash, channel, created_by, created_ts, expires_ts, uses_left, admit)
  SELECT NEW.token_hash, (SELECT channel FROM named_channels WHERE spelling = json_array(NEW.channel, NEW.username)), NEW.username,
         ts, ts + coalesce(NEW.seconds, 86400), coalesce(NEW.uses, 10), coalesce(NEW.admit, 1)
  FROM now;
END;

CREATE VIEW revoke_link (link, username) AS
-- A member of its channel revokes a link by its id.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER members_revoke_a_link
-- Nobody else learns which links there are.
INSTEAD OF INSERT ON revoke_link
BEGIN
  SELECT RAISE(ABORT, 'link_not_found')
  WHERE length(NEW.link) IS NOT 16
     OR NOT EXISTS (SELECT 1 FROM links
                    WHERE token_hash >= NEW.link AND token_hash < NEW.link || 'g'
                      AND EXISTS (SELECT 1 FROM channel_access
                                  WHERE spelling = json_quote(links.channel) AND username = NEW.username
                                    AND access = 'granted'));

  DELETE FROM links WHERE token_hash >= NEW.link AND token_hash < NEW.link || 'g';
END;

CREATE TRIGGER link_is_added_once
-- INSERT OR REPLACE would give a link another channel.
BEFORE INSERT ON links
WHEN EXISTS (SELECT 1 FROM links WHERE token_hash = NEW.token_hash)
BEGIN
  SELECT RAISE(ABORT, 'link_is_fixed');
END;

CREATE TRIGGER link_is_fixed
-- Another channel would be another link.
BEFORE UPDATE ON links
WHEN (NEW.token_hash, NEW.channel, NEW.created_by) IS NOT (OLD.token_hash, OLD.channel, OLD.created_by)
BEGIN
  SELECT RAISE(ABORT, 'link_is_fixed');
END;

CREATE TRIGGER links_end_with_the_membership
-- Who is no member lets nobody in.
AFTER DELETE ON private_channel_members
BEGIN
  DELETE FROM links WHERE created_by = OLD.username AND channel = OLD.channel;
END;

CREATE TRIGGER links_end_with_their_maker
-- As links_end_with_the_membership, for DM channels. A later user of that name has made none.
AFTER DELETE ON users
BEGIN
  DELETE FROM links WHERE created_by = OLD.username;
END;

-- Guests

CREATE VIEW waiting_guests (call_id, username, display_name) AS
-- Guests who were not admitted yet.
  SELECT person.guest_of, person.username, person.display_name
  FROM users AS person
  WHERE person.guest_of IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM call_participants AS own
                    WHERE own.call_id = person.guest_of AND own.username = person.username
                      AND own.number = person.number);

CREATE VIEW check_is_no_guest (username) AS
-- Refuses a guest who does what is for the channel's members, and for those they have invited.
  SELECT NULL WHERE 0;

CREATE TRIGGER guests_let_nobody_in
-- Nor do they turn anybody away.
INSTEAD OF INSERT ON check_is_no_guest
BEGIN
  SELECT RAISE(ABORT, 'guest_may_not')
  WHERE EXISTS (SELECT 1 FROM users WHERE username = NEW.username AND guest_of IS NOT NULL);
END;

CREATE VIEW open_link (link_hash, username, display_name, session_hash) AS
-- POST /guest: a person without an account comes to the active call of the channel, with a new session.
  SELECT NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER open_link_makes_a_guest
-- The maker of the link has invited them, unless they wait. Before an answer there is nobody to admit them.
INSTEAD OF INSERT ON open_link
BEGIN
  SELECT RAISE(ABORT, 'link_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM live_links WHERE token_hash = NEW.link_hash);

  SELECT RAISE(ABORT, 'no_active_call')
  WHERE NOT EXISTS (SELECT 1 FROM live_links AS link
                    JOIN calls AS call ON call.channel = link.channel AND call.is_live AND call.state = 'active'
                    WHERE link.token_hash = NEW.link_hash);

  INSERT INTO users (username, password_hash, created_ts, display_name, guest_of)
  SELECT NEW.username, '', now.ts, NEW.display_name, call.call_id
  FROM now
  JOIN links AS link ON link.token_hash = NEW.link_hash
  JOIN calls AS call ON call.channel = link.channel AND call.is_live;

  INSERT INTO sessions (token_hash, username, created_ts, expires_ts)
  SELECT NEW.session_hash, NEW.username, ts, ts + value FROM now JOIN settings ON name = 'session_ttl';

  UPDATE links SET uses_left = uses_left - 1 WHERE token_hash = NEW.link_hash;

  INSERT INTO do_add_participant (call_id, username, state, invited_by)
  SELECT guest.guest_of, guest.username, 'pending', link.created_by
  FROM users AS guest JOIN links AS link ON link.token_hash = NEW.link_hash
  WHERE guest.username = NEW.username AND NOT link.admit;

  INSERT INTO do_emit_event (emit, kind, call_id, username)
  SELECT 1, 'guest_waits', call_id, username FROM waiting_guests WHERE username = NEW.username;
END;

CREATE TRIGGER guests_of_a_call_are_limited
-- A link that many have must not fill the list of a call.
BEFORE INSERT ON users
WHEN NEW.guest_of IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'too_many_guests')
  WHERE (SELECT count(*) FROM users WHERE guest_of = NEW.guest_of)
    >= (SELECT value FROM settings WHERE name = 'guests_per_call' AND value > 0);

  SELECT RAISE(ABORT, 'no_active_call')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.guest_of AND state = 'active');
END;

CREATE TRIGGER guest_stays_a_guest
-- Another call would show them what was before. A password or a role is for people who stay.
BEFORE UPDATE ON users
WHEN NEW.guest_of IS NOT OLD.guest_of
  OR (OLD.guest_of IS NOT NULL AND (NEW.role, NEW.password_hash) IS NOT (OLD.role, OLD.password_hash))
BEGIN
  SELECT RAISE(ABORT, 'guest_may_not');
END;

CREATE TRIGGER guest_is_of_one_call
-- For everybody else the name of a guest is no user's.
BEFORE INSERT ON call_participants
WHEN EXISTS (SELECT 1 FROM users
             WHERE username = NEW.username AND guest_of IS NOT NULL AND guest_of IS NOT NEW.call_id)
BEGIN
  SELECT RAISE(ABORT, 'user_not_found');
END;

CREATE TRIGGER guest_is_in_no_private_channel
-- As guest_is_of_one_call.
BEFORE INSERT ON private_channel_members
WHEN EXISTS (SELECT 1 FROM users WHERE username = NEW.username AND guest_of IS NOT NULL)
BEGIN
  SELECT RAISE(ABORT, 'user_not_found');
END;

CREATE TRIGGER guest_is_in_no_dm
-- As guest_is_of_one_call. Calls and shares in a DM store its members first.
BEFORE INSERT ON dm_members
WHEN EXISTS (SELECT 1 FROM users WHERE username = NEW.username AND guest_of IS NOT NULL)
BEGIN
  SELECT RAISE(ABORT, 'user_not_found');
END;

CREATE TRIGGER guest_invites_nobody
-- An invitation also admits a guest who waits.
INSTEAD OF INSERT ON invite_to_call
BEGIN
  INSERT INTO check_is_no_guest (username) VALUES (NEW.invited_by);
END;

CREATE VIEW dismiss_guest (call_id, username, dismissed_by) AS
-- POST /calls/ID/dismiss: a person on the call turns away a guest who waits.
  SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER dismissed_guest_is_gone
-- A guest who was admitted is removed by the initiator, as everybody else.
INSTEAD OF INSERT ON dismiss_guest
BEGIN
  INSERT INTO check_on_call (call_id, username) VALUES (NEW.call_id, NEW.dismissed_by);

  INSERT INTO check_is_no_guest (username) VALUES (NEW.dismissed_by);

  SELECT RAISE(ABORT, 'guest_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM waiting_guests WHERE call_id = NEW.call_id AND username = NEW.username);

  DELETE FROM users WHERE username = NEW.username;
END;

CREATE TRIGGER call_of_guests_alone_ends
-- It is a call of the channel's members, and of those they have invited.
INSTEAD OF INSERT ON do_end_deserted_call
WHEN EXISTS (SELECT 1 FROM users WHERE guest_of = NEW.call_id)
  AND EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state = 'active')
  AND NOT EXISTS (SELECT 1 FROM call_participants AS own
                  LEFT JOIN users AS guest ON guest.username = own.username AND guest.guest_of = own.call_id
                  WHERE own.call_id = NEW.call_id AND own.in_call AND guest.number IS NULL)
BEGIN
  UPDATE calls SET state = 'ended', ended_reason = 'hangup' WHERE call_id = NEW.call_id;
END;

CREATE TRIGGER guest_goes_with_the_last_session
-- Nobody can come back as them.
AFTER DELETE ON sessions
WHEN EXISTS (SELECT 1 FROM users WHERE username = OLD.username AND guest_of IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM sessions WHERE username = OLD.username)
BEGIN
  DELETE FROM users WHERE username = OLD.username;
END;

CREATE TRIGGER guest_who_goes_emits_event
-- The list of those who wait changes. One who was admitted has left, which is an event already.
AFTER DELETE ON users
WHEN OLD.guest_of IS NOT NULL
BEGIN
  INSERT INTO do_emit_event (emit, kind, call_id, username)
  VALUES (EXISTS (SELECT 1 FROM calls WHERE call_id = OLD.guest_of AND is_live)
            AND NOT EXISTS (SELECT 1 FROM call_participants
                            WHERE call_id = OLD.guest_of AND username = OLD.username AND number = OLD.number),
          'guest_gone', OLD.guest_of, OLD.username);
END;

CREATE VIEW due_guests AS
-- Guests whose call has ended. They may still read the end of it.
  SELECT number FROM users
  WHERE guest_of IS NOT NULL AND NOT EXISTS (SELECT 1 FROM calls WHERE call_id = users.guest_of AND is_live);

CREATE VIEW due_links AS
-- Expired links.
  SELECT token_hash FROM links WHERE expires_ts <= (SELECT ts FROM now);

CREATE VIEW visible_people (viewer, username, display_name) AS
-- Everybody sees people and no guests; a user of a host application, no users of other applications either. A guest sees
-- themself and, once admitted, those who have been on the call.
  SELECT viewer.username, person.username, person.display_name
  FROM users AS viewer
  CROSS JOIN users AS person
  WHERE CASE WHEN viewer.guest_of IS NULL
             THEN person.guest_of IS NULL
              AND (viewer.issuer IS NULL OR person.issuer IS NULL OR person.issuer = viewer.issuer)
             WHEN person.number = viewer.number THEN 1
             ELSE EXISTS (SELECT 1 FROM call_participants AS other
                          WHERE other.call_id = viewer.guest_of AND other.username = person.username
                            AND other.number = person.number)
              AND EXISTS (SELECT 1 FROM call_participants AS own
                          WHERE own.call_id = viewer.guest_of AND own.username = viewer.username
                            AND own.number = viewer.number) END;
