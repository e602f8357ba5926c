-- What people do, one view an action: inserting a row does it, or refuses with a code, for the REST API as for a shell:
--   INSERT INTO end_call (call_id, username) VALUES ('...', 'alice');
-- The views never hold a row. Each trigger says in which order an action is refused, because a client is told one code; what
-- may be stored at all is decided by the rules of the tables, and what follows from it as well.

-- Somebody starts the server: what a run before it left live has lost its people. Whatever timed out meanwhile has timed out.
CREATE VIEW start_server (ts) AS
  SELECT CAST(NULL AS REAL) WHERE 0;

CREATE TRIGGER server_start_ends_what_was_live
INSTEAD OF INSERT ON start_server
BEGIN
  INSERT INTO sweep (ts) VALUES (NEW.ts);
  UPDATE calls SET state = 'ended', ended_reason = 'restart' WHERE state IN ('ringing', 'active');
  UPDATE screenshares SET state = 'ended' WHERE state = 'active';
END;

-- POST /calls/initiate: the initiator is on the call, everybody else in the channel is asked.
CREATE VIEW initiate_call (call_id, channel, initiator) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT) WHERE 0;

CREATE TRIGGER initiated_call_rings_every_member
INSTEAD OF INSERT ON initiate_call
BEGIN
  INSERT INTO calls (call_id, channel, initiator, state, started_ts)
  VALUES (NEW.call_id, NEW.channel, NEW.initiator, 'ringing', (SELECT ts FROM now));

  INSERT INTO call_participants (call_id, username, role, state, invited_ts)
  SELECT NEW.call_id, member.username,
         CASE WHEN member.username = NEW.initiator THEN 'initiator' ELSE 'participant' END,
         CASE WHEN member.username = NEW.initiator THEN 'accepted' ELSE 'pending' END,
         CASE WHEN member.username = NEW.initiator THEN NULL ELSE (SELECT ts FROM now) END
  FROM channel_members AS member
  WHERE member.channel = (SELECT channel FROM calls WHERE call_id = NEW.call_id)
  ORDER BY member.username;
END;

-- POST /calls/ID/accept: answer, join late, or come back. A second device that answers too finds it done. An initiator whose row
-- was deleted comes back as the initiator.
CREATE VIEW accept_call (call_id, username) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT) WHERE 0;

CREATE TRIGGER accepting_joins_the_call
INSTEAD OF INSERT ON accept_call
BEGIN
  UPDATE call_participants SET state = 'accepted'
  WHERE call_id = NEW.call_id AND username = NEW.username;

  INSERT INTO call_participants (call_id, username, role, state)
  SELECT NEW.call_id, NEW.username,
         CASE WHEN NEW.username = (SELECT initiator FROM calls WHERE call_id = NEW.call_id)
              THEN 'initiator' ELSE 'participant' END,
         'accepted'
  WHERE NOT EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND username = NEW.username);
END;

-- POST /calls/ID/reject: decline, which only somebody can who is asked.
CREATE VIEW reject_call (call_id, username) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT) WHERE 0;

CREATE TRIGGER rejecting_declines_the_invitation
INSTEAD OF INSERT ON reject_call
BEGIN
  SELECT RAISE(ABORT, 'call_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id);
  SELECT RAISE(ABORT, 'not_a_participant')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND username = NEW.username);
  SELECT RAISE(ABORT, 'not_pending')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = NEW.call_id AND username = NEW.username AND state = 'pending');

  UPDATE call_participants SET state = 'rejected'
  WHERE call_id = NEW.call_id AND username = NEW.username;
END;

-- POST /calls/ID/end: hang up for everyone. Whoever is only asked ends their own invitation, whoever is not on the call ends
-- nothing, and a finished call stays as it is.
CREATE VIEW end_call (call_id, username) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT) WHERE 0;

CREATE TRIGGER ending_hangs_up_for_everyone
INSTEAD OF INSERT ON end_call
BEGIN
  SELECT RAISE(ABORT, 'call_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id);
  SELECT RAISE(ABORT, 'not_a_participant')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND username = NEW.username);

  UPDATE calls SET state = 'ended', ended_reason = 'hangup'
  WHERE call_id = NEW.call_id AND state IN ('ringing', 'active')
    AND EXISTS (SELECT 1 FROM call_participants
                WHERE call_id = NEW.call_id AND username = NEW.username AND state = 'accepted');

  UPDATE call_participants SET state = 'left'
  WHERE call_id = NEW.call_id AND username = NEW.username AND state = 'pending';
END;

-- POST /calls/ID/leave: go, and let the others talk on while there are two.
CREATE VIEW leave_call (call_id, username) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT) WHERE 0;

CREATE TRIGGER leaving_lets_the_others_talk_on
INSTEAD OF INSERT ON leave_call
BEGIN
  SELECT RAISE(ABORT, 'call_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id);
  SELECT RAISE(ABORT, 'not_a_participant')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND username = NEW.username);

  UPDATE call_participants SET state = 'left'
  WHERE call_id = NEW.call_id AND username = NEW.username AND state IN ('pending', 'accepted');
END;

-- POST /calls/ID/invite: somebody on an active call asks another person in, or asks again.
CREATE VIEW invite_to_call (call_id, username, invited_by) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT) WHERE 0;

CREATE TRIGGER inviting_rings_another_person
INSTEAD OF INSERT ON invite_to_call
BEGIN
  SELECT RAISE(ABORT, 'cannot_invite_oneself')
  WHERE NEW.username = NEW.invited_by;
  SELECT RAISE(ABORT, 'call_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id);
  SELECT RAISE(ABORT, 'not_a_participant')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND username = NEW.invited_by);
  SELECT RAISE(ABORT, 'call_finished')
  WHERE EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state IN ('ended', 'rejected'));
  SELECT RAISE(ABORT, 'not_accepted')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = NEW.call_id AND username = NEW.invited_by AND state = 'accepted');
  SELECT RAISE(ABORT, 'call_not_active')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state = 'active');
  SELECT RAISE(ABORT, 'user_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM users WHERE username = NEW.username);
  SELECT RAISE(ABORT, 'already_in_call')
  WHERE EXISTS (SELECT 1 FROM call_participants
                WHERE call_id = NEW.call_id AND username = NEW.username AND state = 'accepted');

  UPDATE call_participants SET state = 'pending', invited_by = NEW.invited_by
  WHERE call_id = NEW.call_id AND username = NEW.username AND state IN ('rejected', 'left');

  INSERT INTO call_participants (call_id, username, role, state, invited_by)
  SELECT NEW.call_id, NEW.username,
         CASE WHEN NEW.username = (SELECT initiator FROM calls WHERE call_id = NEW.call_id)
              THEN 'initiator' ELSE 'participant' END,
         'pending', NEW.invited_by
  WHERE NOT EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND username = NEW.username);
END;

-- POST /calls/ID/remove: the initiator takes somebody off the call, or takes an invitation back.
CREATE VIEW remove_from_call (call_id, username, removed_by) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT) WHERE 0;

CREATE TRIGGER removing_is_the_initiators
INSTEAD OF INSERT ON remove_from_call
BEGIN
  SELECT RAISE(ABORT, 'call_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id);
  SELECT RAISE(ABORT, 'not_a_participant')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND username = NEW.removed_by);
  SELECT RAISE(ABORT, 'not_the_initiator')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND initiator = NEW.removed_by);
  SELECT RAISE(ABORT, 'call_finished')
  WHERE EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state IN ('ended', 'rejected'));
  SELECT RAISE(ABORT, 'not_in_call')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = NEW.call_id AND username = NEW.username AND state IN ('pending', 'accepted'));

  UPDATE call_participants SET state = 'left'
  WHERE call_id = NEW.call_id AND username = NEW.username;
END;

-- POST /calls/ID/gone: somebody on the call says that the connection to another broke. Only if the server has not seen that
-- person either for some time do they leave; otherwise the report changes nothing.
CREATE VIEW report_gone (call_id, username, reported_by) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT) WHERE 0;

CREATE TRIGGER reported_participant_leaves_if_unseen
INSTEAD OF INSERT ON report_gone
BEGIN
  SELECT RAISE(ABORT, 'call_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id);
  SELECT RAISE(ABORT, 'not_a_participant')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND username = NEW.reported_by);
  SELECT RAISE(ABORT, 'call_finished')
  WHERE EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state IN ('ended', 'rejected'));
  SELECT RAISE(ABORT, 'not_accepted')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = NEW.call_id AND username = NEW.reported_by AND state = 'accepted');

  UPDATE call_participants SET state = 'left'
  WHERE call_id = NEW.call_id AND username = NEW.username AND username <> NEW.reported_by AND state = 'accepted'
    AND last_seen_ts <= (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'gone_after');
END;

-- POST /calls/ID/screenshare: the last to claim is the one sharer; releasing touches only one's own claim.
CREATE VIEW share_screen_in_call (call_id, username, sharing) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS INTEGER) WHERE 0;

CREATE TRIGGER claiming_the_screen_takes_it_over
INSTEAD OF INSERT ON share_screen_in_call
BEGIN
  SELECT RAISE(ABORT, 'call_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id);
  SELECT RAISE(ABORT, 'not_a_participant')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND username = NEW.username);
  SELECT RAISE(ABORT, 'call_finished')
  WHERE EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state IN ('ended', 'rejected'));
  SELECT RAISE(ABORT, 'not_accepted')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = NEW.call_id AND username = NEW.username AND state = 'accepted');
  SELECT RAISE(ABORT, 'call_not_active')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state = 'active');

  UPDATE calls SET screenshare_user = NEW.username
  WHERE call_id = NEW.call_id AND NEW.sharing;

  UPDATE calls SET screenshare_user = NULL
  WHERE call_id = NEW.call_id AND NOT NEW.sharing AND screenshare_user = NEW.username;
END;

-- POST /calls/ID/signal.
CREATE VIEW send_call_signal (call_id, from_user, to_user, signal_type, payload) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT) WHERE 0;

CREATE TRIGGER call_signal_is_stored
INSTEAD OF INSERT ON send_call_signal
BEGIN
  SELECT RAISE(ABORT, 'call_not_found')
  WHERE EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.call_id);

  INSERT INTO call_signals (call_id, from_user, to_user, signal_type, payload, ts)
  VALUES (NEW.call_id, NEW.from_user, NEW.to_user, NEW.signal_type, NEW.payload, (SELECT ts FROM now));
END;

-- POST /screenshare/ID/signal.
CREATE VIEW send_share_signal (share_id, from_user, to_user, signal_type, payload) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT) WHERE 0;

CREATE TRIGGER share_signal_is_stored
INSTEAD OF INSERT ON send_share_signal
BEGIN
  SELECT RAISE(ABORT, 'share_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.share_id);

  INSERT INTO call_signals (call_id, from_user, to_user, signal_type, payload, ts)
  VALUES (NEW.share_id, NEW.from_user, NEW.to_user, NEW.signal_type, NEW.payload, (SELECT ts FROM now));
END;

-- POST /screenshare/start.
CREATE VIEW start_screenshare (share_id, channel, sharer) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT) WHERE 0;

CREATE TRIGGER starting_a_share_needs_no_answer
INSTEAD OF INSERT ON start_screenshare
BEGIN
  INSERT INTO screenshares (share_id, channel, sharer, state, started_ts)
  SELECT NEW.share_id, NEW.channel, NEW.sharer, 'active', ts FROM now;
END;

-- POST /screenshare/ID/stop: the sharer's to do. Of a share that has ended, nothing changes.
CREATE VIEW stop_screenshare (share_id, username) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT) WHERE 0;

CREATE TRIGGER stopping_a_share_is_the_sharers
INSTEAD OF INSERT ON stop_screenshare
BEGIN
  SELECT RAISE(ABORT, 'share_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.share_id);
  SELECT RAISE(ABORT, 'not_the_sharer')
  WHERE NOT EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.share_id AND sharer = NEW.username);

  UPDATE screenshares SET state = 'ended' WHERE share_id = NEW.share_id AND state = 'active';
END;

-- POST /screenshare/ID/media: the sharer's to do.
CREATE VIEW upload_share_media (share_id, username, is_init, mime_type, data) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS INTEGER), CAST(NULL AS TEXT), CAST(NULL AS BLOB) WHERE 0;

CREATE TRIGGER uploading_share_media_is_the_sharers
INSTEAD OF INSERT ON upload_share_media
BEGIN
  SELECT RAISE(ABORT, 'share_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.share_id);
  SELECT RAISE(ABORT, 'not_the_sharer')
  WHERE NOT EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.share_id AND sharer = NEW.username);

  INSERT INTO share_media (share_id, is_init, mime_type, ts, stream_start, data)
  SELECT NEW.share_id, NEW.is_init, NEW.mime_type, ts,
         CASE WHEN NEW.is_init = 0
              THEN coalesce((SELECT stream_start + length(data) FROM share_media
                             WHERE share_id = NEW.share_id AND is_init = 0
                             ORDER BY id DESC LIMIT 1), 0) END,
         NEW.data
  FROM now;
END;
