-- Screen sharing: the one sharer of a call, and shares in a channel outside a call.

-- In a call

CREATE VIEW share_screen_in_call (call_id, username, sharing) AS
-- POST /calls/ID/screenshare: `sharing` 1 claims the screen, 0 releases one's own claim.
  SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER last_screenshare_claim_wins
-- A release touches only one's own claim.
INSTEAD OF INSERT ON share_screen_in_call
BEGIN
  INSERT INTO check_on_call (call_id, username) VALUES (NEW.call_id, NEW.username);

  SELECT RAISE(ABORT, 'call_not_active')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state = 'active');

  UPDATE calls SET screenshare_user = NEW.username
  WHERE call_id = NEW.call_id AND NEW.sharing;

  UPDATE calls SET screenshare_user = NULL
  WHERE call_id = NEW.call_id AND NOT NEW.sharing AND screenshare_user = NEW.username;
END;

CREATE TRIGGER sharer_is_accepted_in_an_active_call
-- The state of the call comes first: in a call that is not active nobody may share.
BEFORE UPDATE OF screenshare_user ON calls
WHEN OLD.is_live AND NEW.screenshare_user IS NOT NULL AND NEW.screenshare_user IS NOT OLD.screenshare_user
BEGIN
  SELECT RAISE(ABORT, 'call_not_active')
  WHERE NEW.state IS NOT 'active';

  SELECT RAISE(ABORT, 'sharer_not_accepted')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = NEW.call_id AND username = NEW.screenshare_user AND state = 'accepted');
END;

CREATE TRIGGER changed_sharer_emits_event
-- Everybody on the call sees whose screen it is.
AFTER UPDATE OF screenshare_user ON calls
WHEN NEW.screenshare_user IS NOT OLD.screenshare_user AND NEW.state = 'active'
BEGIN
  INSERT INTO do_emit_event (emit, kind, call_id, username)
  VALUES (1, 'sharer_changed', NEW.call_id, NEW.screenshare_user);
END;

-- Outside a call

CREATE VIEW share_sharers (share_id, username, display_name) AS
-- The sharer of each share, unless removed. A later user of that name is not the sharer.
  SELECT share.share_id, person.username, person.display_name
  FROM screenshares AS share
  JOIN users AS person ON person.username = share.sharer AND person.number <= share.newest_number;

CREATE VIEW check_sharer (share_id, username) AS
-- Refuses a person who is not the sharer.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER only_sharer_controls_share
-- An unknown share comes first.
INSTEAD OF INSERT ON check_sharer
BEGIN
  SELECT RAISE(ABORT, 'share_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.share_id);

  SELECT RAISE(ABORT, 'not_the_sharer')
  WHERE NOT EXISTS (SELECT 1 FROM share_sharers
                    WHERE share_id = NEW.share_id AND username = NEW.username);
END;

CREATE VIEW start_screenshare (share_id, channel, sharer) AS
-- POST /screenshare/start: `share_id` is a new id, `channel` may be any spelling.
  SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER start_screenshare_stores_an_active_share
-- Members watch without an invitation.
INSTEAD OF INSERT ON start_screenshare
BEGIN
  INSERT INTO check_channel_name (channel) VALUES (NEW.channel);

  INSERT INTO screenshares (share_id, channel, sharer, state, started_ts)
  VALUES (NEW.share_id, (SELECT channel FROM named_channels WHERE spelling = json_array(NEW.channel, NEW.sharer)),
          NEW.sharer, 'active', (SELECT ts FROM now));
END;

CREATE VIEW stop_screenshare (share_id, username) AS
-- POST /screenshare/ID/stop: the sharer stops. An ended share stays as it is.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER only_sharer_stops_share
-- Stopping an ended share changes nothing.
INSTEAD OF INSERT ON stop_screenshare
BEGIN
  INSERT INTO check_sharer (share_id, username) VALUES (NEW.share_id, NEW.username);

  UPDATE screenshares SET state = 'ended' WHERE share_id = NEW.share_id AND state = 'active';
END;

CREATE TRIGGER share_starts_active_by_a_member
-- Access comes first: a stranger must not learn anything about the channel. INSERT OR REPLACE would restart an ended
-- share. Ids of calls and shares are distinct, because their signals share a table.
BEFORE INSERT ON screenshares
BEGIN
  INSERT INTO check_channel_access (channel, username) VALUES (NEW.channel, NEW.sharer);

  SELECT RAISE(ABORT, 'channel_names_nobody')
  WHERE EXISTS (SELECT 1 FROM unregistered_names WHERE spelling = json_quote(NEW.channel));

  SELECT RAISE(ABORT, 'share_exists')
  WHERE EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.share_id)
     OR EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.share_id);

  SELECT RAISE(ABORT, 'share_move_illegal')
  WHERE NEW.newest_number IS NOT NULL
     OR EXISTS (SELECT 1 FROM state_transitions WHERE subject = 'share' AND to_state = NEW.state)
    AND NOT EXISTS (SELECT 1 FROM state_transitions
                    WHERE subject = 'share' AND from_state = 'new' AND to_state = NEW.state);
END;

CREATE TRIGGER new_share_proves_presence
-- It lasts while its sharer is present.
AFTER INSERT ON screenshares
BEGIN
  UPDATE screenshares SET last_seen_ts = (SELECT ts FROM now), leaves_ts = NULL, seen_by = NULL
  WHERE share_id = NEW.share_id;
END;

CREATE TRIGGER new_share_ends_the_earlier
-- A person has one active share a channel.
AFTER INSERT ON screenshares
BEGIN
  UPDATE screenshares SET newest_number = coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'users'), 0)
  WHERE share_id = NEW.share_id;

  INSERT INTO do_add_dm (channel) VALUES (NEW.channel);

  UPDATE screenshares SET state = 'ended'
  WHERE channel = NEW.channel AND sharer = NEW.sharer AND state = 'active' AND share_id <> NEW.share_id;

  INSERT INTO do_emit_event (emit, kind, call_id, username) VALUES (1, 'share_started', NEW.share_id, NEW.sharer);
END;

CREATE TRIGGER share_identity_is_fixed
-- Id, channel and sharer never change. Neither does the number that tells whose the share is, once it is stamped.
BEFORE UPDATE ON screenshares
WHEN (NEW.share_id, NEW.channel, NEW.sharer) IS NOT (OLD.share_id, OLD.channel, OLD.sharer)
  OR (OLD.newest_number IS NOT NULL AND NEW.newest_number IS NOT OLD.newest_number)
BEGIN
  SELECT RAISE(ABORT, 'share_identity_is_fixed');
END;

CREATE TRIGGER share_presence_is_measured
-- As participant_times_are_needed and participant_time_has_come: a share ends with its sharer's presence.
BEFORE UPDATE ON screenshares
WHEN NEW.state = 'active'
  AND ((NEW.last_seen_ts IS NULL AND NEW.leaves_ts IS NULL AND OLD.last_seen_ts IS NOT NULL)
       OR (NEW.last_seen_ts IS NOT OLD.last_seen_ts AND NEW.last_seen_ts > (SELECT ts FROM now) + 1)
       OR (NEW.leaves_ts IS NOT OLD.leaves_ts AND NEW.leaves_ts > (SELECT ts FROM now) + 3601))
  AND (SELECT step_seconds FROM clock) IS NULL
BEGIN
  SELECT RAISE(ABORT, 'time_in_the_future');
END;

CREATE TRIGGER ended_share_is_final
-- A share that has just ended is not final before ended_share_is_settled has stamped it.
BEFORE UPDATE ON screenshares
WHEN OLD.state = 'ended' AND OLD.ended_ts IS NOT NULL
  AND (NEW.state, NEW.started_ts, NEW.ended_ts) IS NOT (OLD.state, OLD.started_ts, OLD.ended_ts)
BEGIN
  SELECT RAISE(ABORT, 'share_ended');
END;

CREATE TRIGGER ended_share_is_settled
-- An ended share has a time, and no signals or media.
AFTER UPDATE OF state ON screenshares
WHEN OLD.state = 'active' AND NEW.state = 'ended'
BEGIN
  UPDATE screenshares SET ended_ts = coalesce(ended_ts, (SELECT ts FROM now)), seen_by = NULL
  WHERE share_id = NEW.share_id;

  DELETE FROM call_signals WHERE call_id = NEW.share_id;

  DELETE FROM share_media WHERE share_id = NEW.share_id;

  INSERT INTO do_emit_event (emit, kind, call_id, username) VALUES (1, 'share_stopped', NEW.share_id, NEW.sharer);
END;

CREATE TRIGGER active_share_cannot_be_deleted
-- Its signals and media would stay behind.
BEFORE DELETE ON screenshares
WHEN OLD.state = 'active'
BEGIN
  SELECT RAISE(ABORT, 'share_is_active');
END;

CREATE VIEW share_channel_members (share_id, username) AS
-- The members of the channel of a share, as in call_channel_members.
  SELECT share.share_id, person.username
  FROM screenshares AS share
  JOIN channel_members AS member ON member.channel = share.channel
  JOIN users AS person ON person.username = member.username
  WHERE person.number <= share.newest_number OR share.channel NOT GLOB 'dm:*';

CREATE VIEW share_access (share_id, username, access) AS
-- Who may read the signals and media of a share: 'granted', or the code of the refusal. No row: there is no such share.
  SELECT share.share_id, person.username,
         CASE WHEN NOT EXISTS (SELECT 1 FROM share_channel_members
                               WHERE share_id = share.share_id AND username = person.username)
              THEN 'not_a_member' ELSE 'granted' END
  FROM screenshares AS share CROSS JOIN users AS person;

CREATE VIEW active_share_json AS
-- An active share as GET /screenshare/active lists it.
  SELECT channel, share_id, started_ts,
         json_object('share_id', share_id, 'channel', channel, 'sharer', sharer,
                     'sharer_display_name', coalesce((SELECT display_name FROM share_sharers AS named
                                                      WHERE named.share_id = screenshares.share_id), sharer),
                     'started_ts', started_ts) AS json
  FROM screenshares
  WHERE state = 'active';

CREATE VIEW share_json AS
-- A share as the event `share` and the snapshot of GET /events give it.
  SELECT share_id, channel, state, started_ts,
         json_object('share_id', share_id, 'channel', channel, 'sharer', sharer,
                     'sharer_display_name', coalesce((SELECT display_name FROM share_sharers AS named
                                                      WHERE named.share_id = screenshares.share_id), sharer),
                     'state', state, 'started_ts', started_ts, 'ended_ts', ended_ts) AS json
  FROM screenshares;
