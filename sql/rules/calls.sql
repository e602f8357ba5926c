-- Calls: how they start, which states they go through, how they end, and what clients see of them.
--
--   ringing --> active --> ended
--      |
--      +------> rejected or ended
--
-- What the actions do, and what follows:
--   initiate_call  INSERT calls, then INSERT call_participants for each member
--   accept_call    UPDATE call_participants to accepted; the first callee makes the call active
--   reject_call    UPDATE call_participants to rejected, then do_depart; the last callee rejects the call
--   leave_call     UPDATE call_participants to left, then do_depart; fewer than two end the call
--   end_call       UPDATE calls to ended, or as leave_call
--   do_sweep       makes the same UPDATEs when a time limit is over
-- At any end, ended_call_is_settled stamps it and clears participants, signals and media.

CREATE VIEW state_transitions (subject, from_state, to_state, meaning) AS
-- Every legal state transition of a call, a participant and a screen share. 'new' is the state before the INSERT.
-- Triggers refuse all others.
  VALUES
    ('call', 'new', 'ringing', 'somebody calls the channel'),
    ('call', 'ringing', 'active', 'the first callee answers'),
    ('call', 'ringing', 'rejected', 'every callee declines or is busy, or none answers in time'),
    ('call', 'ringing', 'ended', 'the caller hangs up before an answer'),
    ('call', 'active', 'ended', 'somebody hangs up'),
    ('participant', 'new', 'pending', 'invited'),
    ('participant', 'new', 'accepted', 'the initiator, or a member who joins late'),
    ('participant', 'new', 'rejected', 'does not ring: busy on another call, or not to be disturbed'),
    ('participant', 'pending', 'accepted', 'answers'),
    ('participant', 'pending', 'rejected', 'declines, or does not answer in time'),
    ('participant', 'pending', 'left', 'withdraws, or the call ends'),
    ('participant', 'accepted', 'left', 'hangs up, or the call ends'),
    ('participant', 'rejected', 'pending', 'invited again'),
    ('participant', 'rejected', 'accepted', 'joins after all'),
    ('participant', 'left', 'pending', 'invited again'),
    ('participant', 'left', 'accepted', 'rejoins'),
    ('share', 'new', 'active', 'somebody shares a screen'),
    ('share', 'active', 'ended', 'the sharer stops, or starts another share');

-- Starting

CREATE VIEW initiate_call (call_id, channel, initiator) AS
-- POST /calls/initiate: calls everybody else in a channel. `call_id` is a new id, `channel` may be any spelling.
  SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER initiated_call_rings_every_member
-- The caller is accepted, all other members are pending, or have missed the call because they are unavailable. Their
-- rows are complete: stamping each of them afterwards would cost as much again. If it rings for nobody, nobody waits.
INSTEAD OF INSERT ON initiate_call
BEGIN
  INSERT INTO check_channel_name (channel) VALUES (NEW.channel);

  INSERT INTO calls (call_id, channel, initiator, state, started_ts, newest_number)
  VALUES (NEW.call_id, (SELECT channel FROM named_channels WHERE spelling = json_array(NEW.channel, NEW.initiator)),
          NEW.initiator, 'ringing', (SELECT ts FROM now), (SELECT number FROM newest_user));

  INSERT INTO call_participants (call_id, username, role, state, number, joined_ts, last_seen_ts, invited_ts,
                                 left_ts, missed_ts, missed_reason)
  SELECT call_id, username,
         CASE WHEN is_caller THEN 'initiator' ELSE 'participant' END,
         CASE WHEN is_caller THEN 'accepted' WHEN reason IS NULL THEN 'pending' ELSE 'rejected' END,
         number,
         CASE WHEN is_caller THEN started_ts END,
         CASE WHEN is_caller THEN started_ts END,
         CASE WHEN NOT is_caller THEN started_ts END,
         CASE WHEN reason IS NOT NULL THEN started_ts END,
         CASE WHEN reason IS NOT NULL THEN started_ts END,
         reason
  FROM (SELECT call.call_id, call.started_ts, person.username, person.number,
               person.username = call.initiator AS is_caller,
               CASE WHEN person.username <> call.initiator
                    THEN (SELECT reason FROM unavailable_people WHERE username = person.username) END AS reason
        FROM calls AS call
        JOIN channel_members AS member ON member.channel = call.channel
        JOIN users AS person ON person.username = member.username
        WHERE call.call_id = NEW.call_id)
  ORDER BY username;

  UPDATE calls SET state = 'rejected', ended_reason = 'busy'
  WHERE call_id = NEW.call_id
    AND NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = NEW.call_id AND role = 'participant' AND in_call);
END;

CREATE TRIGGER call_starts_ringing_in_a_free_channel
-- Only a member calls a channel, only where there is somebody to ring, and only one call at a time. Access comes first:
-- a stranger must not learn anything about the channel. INSERT OR REPLACE would restart a finished call. Ids of calls
-- and shares are distinct, because their signals share a table. A timed-out call that no sweep has reached yet must not
-- block the channel or its caller, so a sweep runs first. The limits of the caller come last: a person at a limit may
-- still learn of the call that they can join.
BEFORE INSERT ON calls
BEGIN
  INSERT INTO check_channel_access (channel, username) VALUES (NEW.channel, NEW.initiator);

  -- Counting is cheaper than reading the names in the name.
  SELECT RAISE(ABORT, 'user_not_found')
  WHERE (SELECT count(*) FROM dm_members JOIN users ON users.username = dm_members.username
         WHERE channel = NEW.channel) < length(NEW.channel) - length(replace(NEW.channel, ':', ''))
    AND EXISTS (SELECT 1 FROM unregistered_names WHERE spelling = json_quote(NEW.channel));

  SELECT RAISE(ABORT, 'nobody_to_call')
  WHERE CASE WHEN NEW.channel GLOB 'dm:*'
             THEN NEW.channel = 'dm:' || NEW.initiator
             ELSE NOT EXISTS (SELECT 1 FROM private_channel_members
                              WHERE channel = NEW.channel AND username <> NEW.initiator) END;

  SELECT RAISE(ABORT, 'call_exists')
  WHERE EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id)
     OR EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.call_id);

  SELECT RAISE(ABORT, 'call_move_illegal')
  WHERE NEW.answered_ts IS NOT NULL OR NEW.screenshare_user IS NOT NULL
     OR (NEW.newest_number IS NOT NULL AND NEW.newest_number IS NOT (SELECT number FROM newest_user))
     OR (NOT EXISTS (SELECT 1 FROM state_transitions
                     WHERE subject = 'call' AND from_state = 'new' AND to_state = NEW.state)
         AND EXISTS (SELECT 1 FROM state_transitions WHERE subject = 'call' AND to_state = NEW.state));

  INSERT INTO do_sweep_before_a_call (is_needed)
  VALUES (EXISTS (SELECT 1 FROM calls WHERE channel = NEW.channel AND is_live)
          OR EXISTS (SELECT 1 FROM callers_near_a_limit WHERE username = NEW.initiator)
          OR (SELECT is_busy FROM busy_policy));

  SELECT RAISE(ABORT, 'channel_has_live_call')
  WHERE EXISTS (SELECT 1 FROM calls WHERE channel = NEW.channel AND is_live);

  INSERT INTO check_caller (username) VALUES (NEW.initiator);
END;

CREATE VIEW do_sweep_before_a_call (is_needed) AS
-- Sweeps if that may make room for a call. A column is cheaper than a condition of INSERT ... SELECT.
  SELECT NULL WHERE 0;

CREATE TRIGGER sweep_makes_room_for_a_call
-- Most channels are free, and most people start one call at a time. Where people on a call are busy, a call that has
-- timed out must not keep them so.
INSTEAD OF INSERT ON do_sweep_before_a_call
WHEN NEW.is_needed
BEGIN
  INSERT INTO do_sweep (unused) VALUES (NULL);
END;

CREATE TRIGGER started_call_stores_its_dm_and_emits
-- The members of a DM are stored first, because they are the recipients of the event.
AFTER INSERT ON calls
BEGIN
  UPDATE calls SET newest_number = (SELECT number FROM newest_user)
  WHERE call_id = NEW.call_id AND newest_number IS NULL;

  INSERT INTO do_add_dm (channel) VALUES (NEW.channel);

  INSERT INTO do_emit_event (emit, kind, call_id, username) VALUES (1, 'started', NEW.call_id, NEW.initiator);
END;

-- Changing

CREATE TRIGGER call_identity_is_fixed
-- Id, channel and caller never change. Neither does the number that tells whose the call is, once it is stamped.
BEFORE UPDATE ON calls
WHEN (NEW.call_id, NEW.channel, NEW.initiator) IS NOT (OLD.call_id, OLD.channel, OLD.initiator)
  OR (OLD.newest_number IS NOT NULL AND NEW.newest_number IS NOT OLD.newest_number)
BEGIN
  SELECT RAISE(ABORT, 'call_identity_is_fixed');
END;

CREATE TRIGGER finished_call_is_final
-- History does not change. A call that has just ended is not final before ended_call_is_settled has stamped it, which
-- also clears screenshare_user.
BEFORE UPDATE ON calls
WHEN NOT OLD.is_live
  AND OLD.ended_ts IS NOT NULL AND OLD.ended_reason IS NOT NULL AND OLD.screenshare_user IS NULL
  AND (NEW.state, NEW.started_ts, NEW.answered_ts, NEW.ended_ts, NEW.screenshare_user, NEW.ended_reason)
    IS NOT (OLD.state, OLD.started_ts, OLD.answered_ts, OLD.ended_ts, OLD.screenshare_user, OLD.ended_reason)
BEGIN
  SELECT RAISE(ABORT, 'call_finished');
END;

CREATE TRIGGER call_transition_is_legal
-- The view state_transitions has the legal ones. A state that does not exist is left to the CHECK, which names it.
BEFORE UPDATE OF state ON calls
WHEN (OLD.is_live OR OLD.ended_ts IS NULL) AND NEW.state IS NOT OLD.state
  AND NOT EXISTS (SELECT 1 FROM state_transitions
                  WHERE subject = 'call' AND from_state = OLD.state AND to_state = NEW.state)
  AND EXISTS (SELECT 1 FROM state_transitions WHERE subject = 'call' AND to_state = NEW.state)
BEGIN
  SELECT RAISE(ABORT, 'call_move_illegal');
END;

CREATE TRIGGER active_call_needs_an_answer
-- A callee's answer makes a call active, not an UPDATE alone.
BEFORE UPDATE OF state ON calls
WHEN OLD.state = 'ringing' AND NEW.state = 'active'
  AND NOT EXISTS (SELECT 1 FROM call_participants
                  WHERE call_id = NEW.call_id AND role = 'participant' AND state = 'accepted')
BEGIN
  SELECT RAISE(ABORT, 'call_not_answered');
END;

CREATE TRIGGER rejected_call_has_no_open_invitation
-- A call is rejected once every callee has declined or timed out.
BEFORE UPDATE OF state ON calls
WHEN OLD.state = 'ringing' AND NEW.state = 'rejected'
  AND EXISTS (SELECT 1 FROM call_participants
              WHERE call_id = NEW.call_id AND role = 'participant' AND in_call)
BEGIN
  SELECT RAISE(ABORT, 'call_still_ringing');
END;

CREATE TRIGGER first_answer_time_is_final
-- answered_ts is the first answer's. It moves only when the clock is set.
BEFORE UPDATE OF answered_ts ON calls
WHEN OLD.is_live AND OLD.answered_ts IS NOT NULL AND NEW.answered_ts IS NOT OLD.answered_ts
  AND (SELECT step_seconds FROM clock) IS NULL
BEGIN
  SELECT RAISE(ABORT, 'answered_ts_is_final');
END;

CREATE TRIGGER answer_time_comes_with_the_answer
-- A call that is not active has no answer.
BEFORE UPDATE OF answered_ts ON calls
WHEN OLD.is_live AND OLD.answered_ts IS NULL AND NEW.answered_ts IS NOT NULL AND NEW.state IS NOT 'active'
BEGIN
  SELECT RAISE(ABORT, 'call_not_answered');
END;

CREATE TRIGGER new_call_has_begun
-- A call that begins in the future would ring until then. A version comes with an event.
BEFORE INSERT ON calls
WHEN NEW.started_ts > (SELECT ts FROM now) + 1 OR NEW.version IS NOT 0
BEGIN
  SELECT RAISE(ABORT, 'time_in_the_future')
  WHERE NEW.started_ts > (SELECT ts FROM now) + 1;

  SELECT RAISE(ABORT, 'call_version_is_fixed');
END;

CREATE TRIGGER live_call_has_begun
-- As new_call_has_begun. The longest call counts from the answer.
BEFORE UPDATE ON calls
WHEN NEW.is_live
  AND ((NEW.started_ts IS NOT OLD.started_ts AND NEW.started_ts > (SELECT ts FROM now) + 1)
       OR (NEW.answered_ts IS NOT OLD.answered_ts AND NEW.answered_ts > (SELECT ts FROM now) + 1))
  AND (SELECT step_seconds FROM clock) IS NULL
BEGIN
  SELECT RAISE(ABORT, 'time_in_the_future');
END;

CREATE TRIGGER call_version_is_its_newest_event
-- Clients ignore a state with a lower version than the one they have.
BEFORE UPDATE OF version ON calls
WHEN NEW.version IS NOT OLD.version AND NEW.version IS NOT (SELECT max(id) FROM events)
BEGIN
  SELECT RAISE(ABORT, 'call_version_is_fixed');
END;

CREATE TRIGGER first_answer_is_stamped
-- The time may come with the transition; otherwise it is now.
AFTER UPDATE OF state ON calls
WHEN OLD.state = 'ringing' AND NEW.state = 'active' AND NEW.answered_ts IS NULL
BEGIN
  UPDATE calls SET answered_ts = (SELECT ts FROM now) WHERE call_id = NEW.call_id;
END;

-- Ending

CREATE VIEW end_call (call_id, username) AS
-- POST /calls/ID/end: hangs up for everyone, or as leave_call if the setting end_for_everyone is 0. A pending person
-- ends only their own invitation. A finished call stays as it is.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER end_call_hangs_up_for_everyone
-- Only a person on the call ends it for the others, and no guest who came by a link. A ringing call has only its caller
-- on it, and ends with either setting.
INSTEAD OF INSERT ON end_call
BEGIN
  INSERT INTO check_participant (call_id, username) VALUES (NEW.call_id, NEW.username);

  UPDATE calls SET state = 'ended', ended_reason = 'hangup', ended_ts = (SELECT ts FROM now)
  WHERE call_id = NEW.call_id AND is_live
    AND (state = 'ringing' OR (SELECT value FROM settings WHERE name = 'end_for_everyone') = 1)
    AND EXISTS (SELECT 1 FROM call_participants
                WHERE call_id = NEW.call_id AND username = NEW.username AND state = 'accepted')
    AND NOT EXISTS (SELECT 1 FROM users WHERE username = NEW.username AND guest_of IS NOT NULL);

  UPDATE call_participants SET state = 'left'
  WHERE call_id = NEW.call_id AND username = NEW.username AND in_call;
END;

CREATE VIEW end_call_as_admin (call_id) AS
-- Ends a live call for everyone: INSERT INTO end_call_as_admin (call_id) VALUES ('...'). The reason is admin.
  SELECT NULL WHERE 0;

CREATE TRIGGER end_call_as_admin_ends_a_live_call
-- An admin who is too late should notice, so a finished call is refused here, unlike in end_call.
INSTEAD OF INSERT ON end_call_as_admin
BEGIN
  SELECT RAISE(ABORT, 'call_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id);

  SELECT RAISE(ABORT, 'call_finished')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND is_live);

  UPDATE calls SET state = 'ended', ended_reason = 'admin' WHERE call_id = NEW.call_id;
END;

CREATE TRIGGER ended_call_is_settled
-- A finished call has a time and a reason; without them in the UPDATE, an admin ended it now. It has no signals, no
-- media and nobody pending or accepted. A pending person has missed it.
AFTER UPDATE OF state ON calls
WHEN OLD.is_live AND NOT NEW.is_live
BEGIN
  UPDATE calls
  SET ended_ts = coalesce(ended_ts, (SELECT ts FROM now)),
      ended_reason = coalesce(ended_reason, CASE NEW.state WHEN 'ended' THEN 'admin' ELSE 'rejected' END),
      screenshare_user = NULL
  WHERE call_id = NEW.call_id AND (ended_ts IS NULL OR ended_reason IS NULL OR screenshare_user IS NOT NULL);

  DELETE FROM call_signals WHERE call_id = NEW.call_id;

  DELETE FROM call_media WHERE call_id = NEW.call_id;

  UPDATE call_participants
  SET left_ts = coalesce(NEW.ended_ts, (SELECT ts FROM now)),
      missed_ts = CASE state WHEN 'pending' THEN coalesce(NEW.ended_ts, (SELECT ts FROM now)) ELSE missed_ts END,
      seen_by = NULL,
      state = 'left'
  WHERE call_id = NEW.call_id AND in_call;

  INSERT INTO do_emit_event (emit, kind, call_id, detail)
  VALUES (1, 'ended', NEW.call_id,
          (SELECT json_object('state', state, 'reason', ended_reason) FROM calls WHERE call_id = NEW.call_id));
END;

CREATE VIEW duration_cutoff (ts) AS
-- Calls answered up to this time have lasted too long. NULL without a limit.
  SELECT (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'call_max_seconds' AND value > 0);

CREATE TRIGGER live_call_cannot_be_deleted
-- Its participants could not hang up.
BEFORE DELETE ON calls
WHEN OLD.is_live
BEGIN
  SELECT RAISE(ABORT, 'call_is_live');
END;

CREATE TRIGGER deleted_call_takes_its_participants
-- History can be pruned, with prune_history or by hand.
AFTER DELETE ON calls
BEGIN
  DELETE FROM call_participants WHERE call_id = OLD.call_id;

  INSERT INTO do_forget_dm (channel) VALUES (OLD.channel);
END;

-- What clients see

CREATE VIEW current_calls AS
-- Calls as they are now, swept or not: a ringing call whose last invitation has timed out is rejected, and an active one
-- with nobody on it is abandoned.
  SELECT call_id, channel, initiator,
         CASE timed_out WHEN 'timeout' THEN 'rejected' WHEN 'abandoned' THEN 'ended' ELSE state END AS state,
         started_ts, answered_ts,
         CASE WHEN timed_out IS NOT NULL
              THEN round((SELECT coalesce(max(invited_ts), started_ts) FROM call_participants
                          WHERE call_id = stored.call_id AND state = 'pending')
                         + (SELECT timeout FROM ring_cutoff), 3)
              ELSE ended_ts END AS ended_ts,
         screenshare_user, coalesce(timed_out, ended_reason) AS ended_reason, version, newest_number,
         is_live AND timed_out IS NULL AS is_live
  FROM (SELECT *,
               -- CASE stops at the first test that decides; AND would evaluate all of them.
               CASE WHEN NOT is_live THEN NULL
                    WHEN state = 'active' AND EXISTS (SELECT 1 FROM call_participants
                                                      WHERE call_id = calls.call_id AND state = 'accepted') THEN NULL
                    WHEN started_ts > (SELECT ts FROM ring_cutoff) THEN NULL
                    WHEN EXISTS (SELECT 1 FROM call_participants
                                 WHERE call_id = calls.call_id
                                   AND ((state = 'pending' AND invited_ts > (SELECT ts FROM ring_cutoff)
                                         AND (role = 'participant' OR calls.state = 'active'))
                                        OR (state = 'accepted' AND role = 'participant'))) THEN NULL
                    ELSE CASE state WHEN 'ringing' THEN 'timeout' ELSE 'abandoned' END
               END AS timed_out
        FROM calls) AS stored;

CREATE VIEW call_channel_members (call_id, username) AS
-- The members of the channel of a call. A DM's earlier calls are not those of a later user of a removed user's name: DMs
-- have no membership that a removal could end.
  SELECT call.call_id, person.username
  FROM calls AS call
  JOIN channel_members AS member ON member.channel = call.channel
  JOIN users AS person ON person.username = member.username
  WHERE person.number <= call.newest_number OR call.channel NOT GLOB 'dm:*';

CREATE VIEW call_initiators (call_id, username, display_name) AS
-- The initiator of each call, unless removed. A later user of that name is not the initiator.
  SELECT call.call_id, person.username, person.display_name
  FROM calls AS call
  JOIN users AS person ON person.username = call.initiator AND person.number <= call.newest_number;

CREATE VIEW call_roles (call_id, username, role) AS
-- What a person is to a call: accepted, pending, rejected, left, removed (by the initiator), expelled (from the channel),
-- member (of the channel, not called) or stranger. Removed and expelled people are out of a live call until invited or a
-- member again. The row of a removed user is nothing of a later user of that name. No row: there is no such call, or no
-- such user.
  SELECT call.call_id, person.username,
         CASE WHEN own.in_call THEN own.state
              WHEN own.removed_from IS NOT NULL
                AND (SELECT is_live FROM current_calls AS present WHERE present.call_id = call.call_id)
                THEN CASE own.removed_from WHEN 'call' THEN 'removed' ELSE 'expelled' END
              WHEN own.state IS NOT NULL THEN own.state
              WHEN EXISTS (SELECT 1 FROM call_channel_members
                           WHERE call_id = call.call_id AND username = person.username) THEN 'member'
              ELSE 'stranger' END
  FROM calls AS call
  CROSS JOIN users AS person
  LEFT JOIN call_participants AS own
    ON own.call_id = call.call_id AND own.username = person.username AND own.number = person.number;

CREATE VIEW call_access (call_id, username, role, state_access, signals_access, media_access) AS
-- Who may read what of a call: 'granted', or the code of the refusal. Members of the channel see its state. Participants
-- also read their signals, and while they are on the call, the media. No row: as in call_roles.
  SELECT call_id, username, role,
         CASE role WHEN 'stranger' THEN 'not_a_member'
                   WHEN 'expelled' THEN 'not_a_member'
                   WHEN 'removed' THEN 'removed_from_call'
                   ELSE 'granted' END,
         CASE role WHEN 'stranger' THEN 'not_a_participant'
                   WHEN 'member' THEN 'not_a_participant'
                   WHEN 'expelled' THEN 'not_a_member'
                   WHEN 'removed' THEN 'removed_from_call'
                   ELSE 'granted' END,
         CASE role WHEN 'accepted' THEN 'granted'
                   WHEN 'stranger' THEN 'not_a_participant'
                   WHEN 'member' THEN 'not_a_participant'
                   WHEN 'expelled' THEN 'not_a_member'
                   WHEN 'removed' THEN 'removed_from_call'
                   ELSE 'not_accepted' END
  FROM call_roles;

CREATE VIEW user_live_calls AS
-- The live calls in the channels of a person, and those they are invited to. Most are here twice.
  SELECT member.username, call.call_id
  FROM channel_members AS member
  JOIN calls AS call ON call.channel = member.channel AND call.is_live
  JOIN call_access AS access ON access.call_id = call.call_id AND access.username = member.username
  WHERE access.state_access = 'granted'
  UNION ALL
  SELECT username, call_id
  FROM call_participants
  WHERE in_call;

CREATE VIEW call_state_json AS
-- One call as GET /calls/ID/state and the event `call` give it. The list is concatenated as text: json() would parse it
-- again. The last member of the object is a number, so rtrim removes one brace.
  SELECT call_id, channel, version,
         rtrim(json_object(
           'call_id', call_id, 'channel', channel, 'initiator', initiator, 'state', state, 'started_ts', started_ts,
           'answered_ts', answered_ts, 'ended_ts', ended_ts, 'screenshare_user', screenshare_user,
           'ended_reason', ended_reason, 'version', version), '}')
         || ',"participants":['
         || coalesce((SELECT group_concat(json_object('username', username, 'display_name', display_name,
                                                      'role', role, 'state', state,
                                                      'joined_ts', joined_ts, 'left_ts', left_ts,
                                                      'absence', absence))
                      FROM (SELECT * FROM current_participants
                            WHERE call_id = call.call_id ORDER BY role, username)), '')
         || '],"waiting":['
         || coalesce((SELECT group_concat(json_object('username', username, 'display_name', display_name))
                      FROM (SELECT * FROM waiting_guests WHERE call_id = call.call_id ORDER BY username)), '')
         || ']}' AS json
  FROM current_calls AS call;

CREATE VIEW removed_from_call_json AS
-- A live call as the event `call` gives it to a person who was removed from it: that it is live, and their own row alone.
-- Clients learn from it that they are off the call.
  SELECT call.call_id, access.username,
         json_object(
           'call_id', call.call_id, 'channel', call.channel, 'initiator', call.initiator, 'state', call.state,
           'started_ts', call.started_ts, 'answered_ts', call.answered_ts, 'ended_ts', NULL,
           'screenshare_user', NULL, 'ended_reason', NULL, 'version', call.version, 'removed', json('true'),
           'waiting', json('[]'),
           'participants', json((SELECT json_group_array(json_object(
                                          'username', username, 'display_name', display_name, 'role', role,
                                          'state', state, 'joined_ts', joined_ts, 'left_ts', left_ts,
                                          'absence', absence))
                                 FROM current_participants
                                 WHERE call_id = call.call_id AND username = access.username))) AS json
  FROM current_calls AS call
  JOIN call_access AS access ON access.call_id = call.call_id
  WHERE call.is_live AND access.state_access <> 'granted';

CREATE VIEW active_call_json AS
-- The live call of a channel as GET /calls/active gives it to a person: `access` is 'granted', or the code of the refusal.
  SELECT live.channel, person.username,
         (SELECT state_access FROM call_access
          WHERE call_id = call.call_id AND username = person.username) AS access,
         json_object(
           'call_id', call.call_id, 'initiator', call.initiator, 'state', call.state, 'started_ts', call.started_ts,
           'participants', json((SELECT json_group_array(username)
                                 FROM (SELECT username FROM call_participants
                                       WHERE call_id = call.call_id AND state = 'accepted' ORDER BY username))),
           'joined', json(CASE WHEN EXISTS (SELECT 1 FROM call_participants
                                            WHERE call_id = call.call_id AND username = person.username
                                              AND state = 'accepted')
                               THEN 'true' ELSE 'false' END)) AS json
  FROM calls AS live
  CROSS JOIN current_calls AS call ON call.call_id = live.call_id
  CROSS JOIN users AS person
  WHERE live.is_live AND call.is_live;
