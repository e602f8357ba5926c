-- Participants: how people join a call, how they leave, and what that makes of the call.
--
--   pending            becomes accepted, rejected or left
--   accepted           becomes left
--   rejected or left   becomes pending (invited again) or accepted (rejoins)

CREATE VIEW ring_cutoff (ts, timeout) AS
-- Invitations made up to this time have stopped ringing; `timeout` is the setting behind it, in seconds.
  SELECT (SELECT ts FROM now) - value, value FROM settings WHERE name = 'ringing_timeout';

-- Guards

CREATE VIEW check_participant (call_id, username) AS
-- Refuses a person who was never invited to the call. A removed user's row is nothing of a later user of that name.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER only_participants_act_in_a_call
-- An unknown call comes first.
INSTEAD OF INSERT ON check_participant
BEGIN
  SELECT RAISE(ABORT, 'call_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id);

  SELECT RAISE(ABORT, 'not_a_participant')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants AS own
                    JOIN users AS person ON person.username = own.username AND person.number = own.number
                    WHERE own.call_id = NEW.call_id AND own.username = NEW.username);
END;

CREATE VIEW check_may_join (call_id, username) AS
-- Refuses a person who may not join the call without an invitation. A stranger learns nothing about the call's state.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER removed_people_and_strangers_stay_out
-- An unknown call comes first.
INSTEAD OF INSERT ON check_may_join
BEGIN
  SELECT RAISE(ABORT, 'call_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id);

  SELECT RAISE(ABORT, 'user_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM users WHERE username = NEW.username);

  SELECT CASE role WHEN 'removed' THEN RAISE(ABORT, 'removed_from_call')
                   WHEN 'stranger' THEN RAISE(ABORT, 'not_a_member')
                   WHEN 'expelled' THEN RAISE(ABORT, 'not_a_member') END
  FROM call_roles WHERE call_id = NEW.call_id AND username = NEW.username;
END;

CREATE VIEW check_on_call (call_id, username) AS
-- Refuses a person who is not on the call, and a finished call. A stranger learns nothing about the call's state.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER only_accepted_participants_are_on_a_call
-- The order of the refusals is the same for every action.
INSTEAD OF INSERT ON check_on_call
BEGIN
  INSERT INTO check_participant (call_id, username) VALUES (NEW.call_id, NEW.username);

  SELECT RAISE(ABORT, 'call_finished')
  WHERE EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND NOT is_live);

  SELECT RAISE(ABORT, 'not_accepted')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = NEW.call_id AND username = NEW.username AND state = 'accepted');
END;

-- Actions

CREATE VIEW accept_call (call_id, username) AS
-- POST /calls/ID/accept: answers, joins late, or rejoins. A second device that answers finds it done, and proves
-- presence.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER accept_call_joins
-- The row changes, or is added for a member who was not called.
INSTEAD OF INSERT ON accept_call
BEGIN
  INSERT INTO check_may_join (call_id, username) VALUES (NEW.call_id, NEW.username);

  INSERT INTO do_clear_earlier_row (call_id, username) VALUES (NEW.call_id, NEW.username);

  UPDATE call_participants
  SET state = 'accepted', last_seen_ts = (SELECT ts FROM now), leaves_ts = NULL, seen_by = NULL
  WHERE call_id = NEW.call_id AND username = NEW.username;

  INSERT INTO do_add_participant (call_id, username, state) VALUES (NEW.call_id, NEW.username, 'accepted');
END;

CREATE VIEW reject_call (call_id, username) AS
-- POST /calls/ID/reject: declines a pending invitation.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER reject_call_declines_the_invitation
-- Only a pending person can decline.
INSTEAD OF INSERT ON reject_call
BEGIN
  INSERT INTO check_participant (call_id, username) VALUES (NEW.call_id, NEW.username);

  SELECT RAISE(ABORT, 'not_pending')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = NEW.call_id AND username = NEW.username AND state = 'pending');

  UPDATE call_participants SET state = 'rejected'
  WHERE call_id = NEW.call_id AND username = NEW.username;
END;

CREATE VIEW leave_call (call_id, username) AS
-- POST /calls/ID/leave: leaves; the others stay while there are two.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER leave_call_removes_one_person
-- Leaving a finished call changes nothing.
INSTEAD OF INSERT ON leave_call
BEGIN
  INSERT INTO check_participant (call_id, username) VALUES (NEW.call_id, NEW.username);

  UPDATE call_participants SET state = 'left'
  WHERE call_id = NEW.call_id AND username = NEW.username AND in_call;
END;

CREATE VIEW invite_to_call (call_id, username, invited_by) AS
-- POST /calls/ID/invite: a person on the call invites another, or invites again. While it rings, that is the caller.
  SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER invite_to_call_rings_another_person
-- Pending stays pending. Rejected or left become pending again, unless the person is unavailable.
INSTEAD OF INSERT ON invite_to_call
BEGIN
  INSERT INTO do_sweep_before_a_call (is_needed) SELECT is_busy FROM busy_policy;

  SELECT RAISE(ABORT, 'cannot_invite_oneself')
  WHERE NEW.username = NEW.invited_by;

  INSERT INTO check_on_call (call_id, username) VALUES (NEW.call_id, NEW.invited_by);

  SELECT RAISE(ABORT, 'user_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM users WHERE username = NEW.username);

  SELECT RAISE(ABORT, 'already_in_call')
  WHERE EXISTS (SELECT 1 FROM call_participants
                WHERE call_id = NEW.call_id AND username = NEW.username AND state = 'accepted');

  INSERT INTO do_clear_earlier_row (call_id, username) VALUES (NEW.call_id, NEW.username);

  INSERT INTO do_miss_invitation (call_id, username, invited_by, reason)
  SELECT NEW.call_id, NEW.username, NEW.invited_by, reason FROM unavailable_people WHERE username = NEW.username;

  UPDATE call_participants SET state = 'pending', invited_by = NEW.invited_by
  WHERE call_id = NEW.call_id AND username = NEW.username AND NOT in_call
    AND NOT EXISTS (SELECT 1 FROM unavailable_people WHERE username = NEW.username);

  INSERT INTO do_add_participant (call_id, username, state, invited_by)
  SELECT NEW.call_id, NEW.username, 'pending', NEW.invited_by
  WHERE NOT EXISTS (SELECT 1 FROM unavailable_people WHERE username = NEW.username);
END;

-- People who are not rung

CREATE VIEW busy_policy (is_busy) AS
-- Whether people on a call are not rung for another one.
  SELECT value = 'busy' FROM settings WHERE name = 'busy_policy';

CREATE VIEW unavailable_people (username, reason) AS
-- Who is not rung now, and why: quiet (do not disturb), or busy (on a call, where busy_policy says so). No call is read:
-- the row of the person says it.
  SELECT username, CASE WHEN quiet_until > (SELECT ts FROM now) THEN 'quiet' ELSE 'busy' END
  FROM users AS person
  WHERE quiet_until > (SELECT ts FROM now)
     OR ((SELECT is_busy FROM busy_policy)
         AND (SELECT on_calls FROM person_counts WHERE username = person.username) > 0);

CREATE VIEW do_miss_invitation (call_id, username, invited_by, reason) AS
-- Stores an invitation to a live call that does not ring, for a person who is not in the call.
  SELECT NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER unavailable_person_misses_the_invitation
-- What remains is that of an invitation that timed out at once: it is missed, and who was removed is no longer out. A
-- person who was on the call keeps the state and the time of leaving. It counts as a ring, so that nobody learns by
-- calling again and again when somebody is free.
INSTEAD OF INSERT ON do_miss_invitation
WHEN NOT EXISTS (SELECT 1 FROM call_participants
                 WHERE call_id = NEW.call_id AND username = NEW.username AND in_call)
BEGIN
  INSERT INTO check_ring (call_id, caller, callee, invited_by)
  VALUES (NEW.call_id, NEW.invited_by, NEW.username, NEW.invited_by);

  UPDATE call_participants
  SET invited_ts = (SELECT ts FROM now), invited_by = NEW.invited_by, removed_from = NULL,
      missed_ts = (SELECT ts FROM now), missed_seen_ts = NULL, missed_reason = NEW.reason,
      visible_after = CASE WHEN EXISTS (SELECT 1 FROM call_channel_members
                                        WHERE call_id = NEW.call_id AND username = NEW.username)
                           THEN visible_after
                           ELSE coalesce(visible_after, (SELECT newest_event FROM clock)) END
  WHERE call_id = NEW.call_id AND username = NEW.username;

  INSERT INTO do_count_ring (caller, callee, invited_by)
  SELECT NEW.invited_by, NEW.username, NEW.invited_by
  WHERE EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND username = NEW.username);

  INSERT INTO do_emit_event (emit, kind, call_id, username, detail)
  VALUES (EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND username = NEW.username),
          'busy', NEW.call_id, NEW.username, json_object('by', NEW.invited_by));

  INSERT INTO do_add_participant (call_id, username, state, invited_by, missed_reason)
  VALUES (NEW.call_id, NEW.username, 'rejected', NEW.invited_by, NEW.reason);
END;

CREATE TRIGGER unavailable_person_is_not_rung
-- The actions store such an invitation as missed. Only an unavailable person misses it without a ring.
BEFORE INSERT ON call_participants
WHEN NEW.state = 'pending' OR NEW.state = 'rejected' OR NEW.missed_reason IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'person_unavailable')
  WHERE NEW.state = 'pending' AND EXISTS (SELECT 1 FROM unavailable_people WHERE username = NEW.username);

  SELECT RAISE(ABORT, 'participant_move_illegal')
  WHERE (NEW.state = 'rejected') IS NOT (NEW.missed_reason IS NOT NULL)
     OR (NEW.state = 'rejected'
         AND NEW.missed_reason IS NOT (SELECT reason FROM unavailable_people WHERE username = NEW.username));
END;

CREATE TRIGGER unavailable_person_is_not_rung_again
-- As unavailable_person_is_not_rung.
BEFORE UPDATE OF state ON call_participants
WHEN NEW.state = 'pending' AND OLD.state IS NOT 'pending'
  AND EXISTS (SELECT 1 FROM unavailable_people WHERE username = NEW.username)
BEGIN
  SELECT RAISE(ABORT, 'person_unavailable');
END;

-- Removing

CREATE VIEW remove_from_call (call_id, username, removed_by) AS
-- POST /calls/ID/remove: the initiator takes a person off the call, or takes an invitation back.
  SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER only_initiator_removes
-- The initiator removes people while on the call. A removed person is out until invited again, or a member again; an
-- initiator who removes themself just leaves. The removed person gets a separate event if the call goes on.
INSTEAD OF INSERT ON remove_from_call
BEGIN
  INSERT INTO check_participant (call_id, username) VALUES (NEW.call_id, NEW.removed_by);

  SELECT RAISE(ABORT, 'not_the_initiator')
  WHERE NOT EXISTS (SELECT 1 FROM call_initiators WHERE call_id = NEW.call_id AND username = NEW.removed_by);

  INSERT INTO check_on_call (call_id, username) VALUES (NEW.call_id, NEW.removed_by);

  SELECT RAISE(ABORT, 'not_in_call')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = NEW.call_id AND username = NEW.username AND in_call);

  UPDATE call_participants SET state = 'left', removed_from = CASE WHEN NEW.username IS NOT NEW.removed_by THEN 'call' END
  WHERE call_id = NEW.call_id AND username = NEW.username;

  INSERT INTO do_emit_event (emit, kind, call_id, username)
  SELECT is_live AND NEW.username IS NOT NEW.removed_by, 'removed', NEW.call_id, NEW.username
  FROM calls WHERE call_id = NEW.call_id;
END;

-- Joining

CREATE VIEW do_clear_earlier_row (call_id, username) AS
-- Makes way for a user who has the name of a removed one.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER row_of_a_removed_user_makes_way
-- A call has one row a name. The new row has nothing of the earlier person, such as the role of initiator.
INSTEAD OF INSERT ON do_clear_earlier_row
BEGIN
  DELETE FROM call_participants
  WHERE call_id = NEW.call_id AND username = NEW.username
    AND number IS NOT (SELECT number FROM users WHERE username = NEW.username);
END;

CREATE VIEW do_add_participant (call_id, username, state, invited_by, missed_reason) AS
-- Adds a person who has no row in the call, in the role that the call gives them.
  SELECT NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER role_comes_from_the_call
-- An initiator whose row was deleted returns as the initiator.
INSTEAD OF INSERT ON do_add_participant
WHEN NOT EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND username = NEW.username)
BEGIN
  INSERT INTO call_participants (call_id, username, role, state, invited_by, missed_reason)
  VALUES (NEW.call_id, NEW.username,
          CASE WHEN EXISTS (SELECT 1 FROM call_initiators WHERE call_id = NEW.call_id AND username = NEW.username)
               THEN 'initiator' ELSE 'participant' END,
          NEW.state, NEW.invited_by, NEW.missed_reason);
END;

CREATE TRIGGER participant_joins_a_live_call
-- A registered person joins a live call once. Anybody may be invited; only members join without an invitation. An
-- unknown call is refused first, then a stranger, who must not learn the call's state.
BEFORE INSERT ON call_participants
BEGIN
  SELECT CASE
    WHEN call.call_id IS NULL THEN RAISE(ABORT, 'call_not_found')
    WHEN NEW.state = 'accepted' AND NOT is_member THEN RAISE(ABORT, 'not_a_member')
    WHEN NOT call.is_live THEN RAISE(ABORT, 'call_finished')
    WHEN person.number IS NULL THEN RAISE(ABORT, 'user_not_found')
    WHEN EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND username = NEW.username)
      THEN RAISE(ABORT, 'already_in_call')
    WHEN (NEW.role = 'initiator') IS NOT (call.initiator = NEW.username AND person.number <= call.newest_number)
      THEN RAISE(ABORT, 'role_is_wrong')
    -- A number comes with a row of initiate_call, which is not stamped.
    WHEN NEW.number IS NOT NULL
      AND (NEW.number, call.state, NEW.state, NEW.leaves_ts, NEW.seen_by, NEW.visible_after,
           NEW.joined_ts, NEW.last_seen_ts, NEW.invited_ts)
        IS NOT (person.number, 'ringing',
                CASE WHEN NEW.role = 'initiator' THEN 'accepted'
                     WHEN NEW.missed_reason IS NULL THEN 'pending' ELSE 'rejected' END,
                NULL, NULL, NULL,
                CASE NEW.role WHEN 'initiator' THEN call.started_ts END,
                CASE NEW.role WHEN 'initiator' THEN call.started_ts END,
                CASE NEW.role WHEN 'participant' THEN call.started_ts END)
      THEN RAISE(ABORT, 'participant_identity_is_fixed')
  END
  FROM (SELECT EXISTS (SELECT 1 FROM call_channel_members
                       WHERE call_id = NEW.call_id AND username = NEW.username) AS is_member)
  LEFT JOIN calls AS call ON call.call_id = NEW.call_id
  LEFT JOIN users AS person ON person.username = NEW.username;

  SELECT RAISE(ABORT, 'participant_move_illegal')
  WHERE NOT EXISTS (SELECT 1 FROM state_transitions
                    WHERE subject = 'participant' AND from_state = 'new' AND to_state = NEW.state)
    AND EXISTS (SELECT 1 FROM state_transitions WHERE subject = 'participant' AND to_state = NEW.state);
END;

CREATE TRIGGER new_participant_is_stamped_and_emits
-- Fills in the times that the writer left out. A guest sees what happens from here on. The others see who is invited and
-- who joins. The start of a call shows its initiator, unless a shell made the call without them.
AFTER INSERT ON call_participants
WHEN NEW.number IS NULL
BEGIN
  UPDATE call_participants
  SET number = (SELECT number FROM users WHERE username = NEW.username),
      invited_ts = CASE WHEN state <> 'accepted' THEN coalesce(invited_ts, (SELECT ts FROM now)) ELSE invited_ts END,
      joined_ts = CASE WHEN state = 'accepted' THEN coalesce(joined_ts, (SELECT ts FROM now)) ELSE joined_ts END,
      left_ts = CASE WHEN state = 'rejected' THEN (SELECT ts FROM now) ELSE left_ts END,
      missed_ts = CASE WHEN state = 'rejected' THEN (SELECT ts FROM now) ELSE missed_ts END,
      last_seen_ts = CASE WHEN state = 'accepted' THEN (SELECT ts FROM now) END,
      leaves_ts = NULL,
      seen_by = NULL,
      guest_name = (SELECT display_name FROM users WHERE username = NEW.username AND guest_of IS NOT NULL),
      visible_after = CASE WHEN NOT EXISTS (SELECT 1 FROM call_channel_members
                                            WHERE call_id = NEW.call_id AND username = NEW.username)
                           THEN (SELECT newest_event FROM clock) END
  WHERE call_id = NEW.call_id AND username = NEW.username;

  INSERT INTO do_emit_event (emit, kind, call_id, username, detail)
  VALUES (NEW.state <> 'accepted' OR NEW.role = 'participant'
            OR (SELECT started_ts FROM calls WHERE call_id = NEW.call_id) < (SELECT ts FROM now),
          CASE NEW.state WHEN 'pending' THEN 'ringing' WHEN 'rejected' THEN 'busy' ELSE 'accepted' END,
          NEW.call_id, NEW.username, CASE NEW.state WHEN 'rejected' THEN json_object('by', NEW.invited_by) END);

  INSERT INTO do_emit_event (emit, kind, call_id, username, detail)
  VALUES (NEW.state = 'pending'
            AND (NEW.invited_by IS NOT NULL
                 OR EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state = 'active')),
          'invited', NEW.call_id, NEW.username, json_object('by', NEW.invited_by));
END;

CREATE TRIGGER called_member_gets_event
-- As new_participant_is_stamped_and_emits, for a row of initiate_call. The event of the call's start shows its initiator.
AFTER INSERT ON call_participants
WHEN NEW.number IS NOT NULL AND NEW.state <> 'accepted'
BEGIN
  INSERT INTO do_emit_event (emit, kind, call_id, username)
  VALUES (1, CASE NEW.state WHEN 'pending' THEN 'ringing' ELSE 'busy' END, NEW.call_id, NEW.username);
END;

CREATE TRIGGER late_joiner_makes_call_active
-- A member who joined the channel after the call began may answer it.
AFTER INSERT ON call_participants
WHEN NEW.state = 'accepted' AND NEW.role = 'participant'
BEGIN
  UPDATE calls SET state = 'active', answered_ts = (SELECT ts FROM now)
  WHERE call_id = NEW.call_id AND state = 'ringing';
END;

-- Changing state

CREATE TRIGGER participant_identity_is_fixed
-- Call, person and role never change. The number is stamped once. The row of a removed user never brings a later user of
-- that name into the call.
BEFORE UPDATE ON call_participants
WHEN (NEW.call_id, NEW.username, NEW.role) IS NOT (OLD.call_id, OLD.username, OLD.role)
  OR (OLD.number IS NOT NULL AND NEW.number IS NOT OLD.number)
  OR (NEW.in_call AND NOT OLD.in_call
      AND OLD.number IS NOT (SELECT number FROM users WHERE username = NEW.username)
      AND EXISTS (SELECT 1 FROM users WHERE username = NEW.username))
BEGIN
  SELECT RAISE(ABORT, 'participant_identity_is_fixed');
END;

CREATE TRIGGER participant_times_are_needed
-- A pending person without the time of the invitation would ring for ever, and one on the call who was never seen would
-- stay for ever. Only a person who is off the call has left it.
BEFORE UPDATE ON call_participants
WHEN NEW.in_call
  AND ((NEW.state = 'pending' AND NEW.invited_ts IS NULL AND OLD.invited_ts IS NOT NULL)
       OR (NEW.state = 'accepted' AND NEW.joined_ts IS NULL AND OLD.joined_ts IS NOT NULL)
       OR (NEW.state = 'accepted' AND NEW.last_seen_ts IS NULL AND OLD.last_seen_ts IS NOT NULL
           AND NEW.leaves_ts IS NULL)
       OR (NEW.state IS OLD.state AND NEW.left_ts IS NOT NULL AND OLD.left_ts IS NULL))
BEGIN
  SELECT RAISE(ABORT, 'participant_time_is_needed');
END;

CREATE TRIGGER new_participant_time_has_come
-- An invitation of the future would ring until then.
BEFORE INSERT ON call_participants
WHEN coalesce(NEW.invited_ts, NEW.joined_ts) IS NOT NULL AND NEW.number IS NULL
  AND (NEW.invited_ts > (SELECT ts FROM now) + 1 OR NEW.joined_ts > (SELECT ts FROM now) + 1)
BEGIN
  SELECT RAISE(ABORT, 'time_in_the_future');
END;

CREATE TRIGGER participant_time_has_come
-- As new_participant_time_has_come. A person seen in the future would be present until then.
BEFORE UPDATE ON call_participants
WHEN NEW.in_call
  AND ((NEW.invited_ts IS NOT OLD.invited_ts AND NEW.invited_ts > (SELECT ts FROM now) + 1)
       OR (NEW.joined_ts IS NOT OLD.joined_ts AND NEW.joined_ts > (SELECT ts FROM now) + 1)
       OR (NEW.last_seen_ts IS NOT OLD.last_seen_ts AND NEW.last_seen_ts > (SELECT ts FROM now) + 1)
       OR (NEW.leaves_ts IS NOT OLD.leaves_ts AND NEW.leaves_ts > (SELECT ts FROM now) + 3601))
  AND (SELECT step_seconds FROM clock) IS NULL
BEGIN
  SELECT RAISE(ABORT, 'time_in_the_future');
END;

CREATE TRIGGER participant_of_finished_call_is_final
-- History does not change. The last change is that of ended_call_is_settled, to a row that is still pending or
-- accepted.
BEFORE UPDATE ON call_participants
WHEN (NEW.state, NEW.joined_ts, NEW.left_ts, NEW.invited_ts, NEW.invited_by, NEW.missed_ts, NEW.missed_reason,
      NEW.removed_from)
    IS NOT (OLD.state, OLD.joined_ts, OLD.left_ts, OLD.invited_ts, OLD.invited_by, OLD.missed_ts, OLD.missed_reason,
            OLD.removed_from)
  AND NOT (OLD.in_call AND NEW.state = 'left')
  AND EXISTS (SELECT 1 FROM calls WHERE call_id = OLD.call_id AND NOT is_live)
BEGIN
  SELECT RAISE(ABORT, 'call_finished');
END;

CREATE TRIGGER participant_transition_is_legal
-- The view state_transitions has the legal ones. In a finished call participant_of_finished_call_is_final answers.
BEFORE UPDATE OF state ON call_participants
WHEN NEW.state IS NOT OLD.state
  AND EXISTS (SELECT 1 FROM calls WHERE call_id = OLD.call_id AND is_live)
  AND NOT EXISTS (SELECT 1 FROM state_transitions
                  WHERE subject = 'participant' AND from_state = OLD.state AND to_state = NEW.state)
  AND EXISTS (SELECT 1 FROM state_transitions WHERE subject = 'participant' AND to_state = NEW.state)
BEGIN
  SELECT RAISE(ABORT, 'participant_move_illegal');
END;

CREATE TRIGGER timed_out_invitation_cannot_be_answered
-- This holds before the sweep, too. A late answer to an active call joins it.
BEFORE UPDATE OF state ON call_participants
WHEN OLD.state = 'pending' AND NEW.state = 'accepted'
  AND OLD.invited_ts <= (SELECT ts FROM ring_cutoff)
  AND EXISTS (SELECT 1 FROM calls WHERE call_id = OLD.call_id AND state = 'ringing')
BEGIN
  SELECT RAISE(ABORT, 'invitation_timed_out');
END;

CREATE TRIGGER participant_who_rejoins_is_member_or_guest
-- A deleted user cannot rejoin. Neither can a removed person, unless invited again. A guest can.
BEFORE UPDATE OF state ON call_participants
WHEN NOT OLD.in_call AND NEW.in_call
  AND EXISTS (SELECT 1 FROM calls WHERE call_id = OLD.call_id AND is_live)
BEGIN
  SELECT RAISE(ABORT, 'user_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM users WHERE username = NEW.username);

  INSERT INTO check_may_join (call_id, username) SELECT NEW.call_id, NEW.username WHERE NEW.state = 'accepted';
END;

CREATE TRIGGER answer_makes_call_active
-- The first callee who answers makes the call active.
AFTER UPDATE OF state ON call_participants
WHEN NEW.state = 'accepted' AND NEW.role = 'participant'
BEGIN
  UPDATE calls SET state = 'active', answered_ts = (SELECT ts FROM now)
  WHERE call_id = NEW.call_id AND state = 'ringing';
END;

CREATE TRIGGER participant_transition_is_stamped_and_emits
-- A transition has its times: now, unless the writer gives another. A new invitation is not missed yet. The departure
-- comes last: it may end the call, after which nothing can be written. The end of a call stamps its rows in
-- ended_call_is_settled, so they are skipped here.
AFTER UPDATE OF state ON call_participants
WHEN NEW.state IS NOT OLD.state
  AND EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND is_live)
BEGIN
  UPDATE call_participants
  SET removed_from = CASE WHEN NOT NEW.in_call THEN removed_from END,
      joined_ts = CASE WHEN NEW.state = 'accepted' AND NEW.joined_ts IS OLD.joined_ts
                       THEN (SELECT ts FROM now) ELSE joined_ts END,
      left_ts = CASE WHEN NEW.in_call THEN NULL
                     WHEN NEW.left_ts IS OLD.left_ts THEN coalesce(NEW.missed_ts, (SELECT ts FROM now))
                     ELSE left_ts END,
      invited_ts = CASE WHEN NEW.state = 'pending' AND NEW.invited_ts IS OLD.invited_ts
                        THEN (SELECT ts FROM now) ELSE invited_ts END,
      missed_ts = CASE WHEN NEW.in_call THEN NULL ELSE missed_ts END,
      missed_seen_ts = CASE WHEN NEW.in_call THEN NULL ELSE missed_seen_ts END,
      missed_reason = CASE WHEN NEW.in_call THEN NULL ELSE missed_reason END,
      last_seen_ts = CASE WHEN NEW.state = 'accepted' THEN (SELECT ts FROM now) ELSE last_seen_ts END,
      leaves_ts = CASE WHEN NEW.state = 'left' AND leaves_ts <= (SELECT ts FROM now) THEN leaves_ts END,
      seen_by = NULL,
      visible_after = CASE WHEN NEW.state = 'pending'
                             AND NOT EXISTS (SELECT 1 FROM call_channel_members
                                             WHERE call_id = NEW.call_id AND username = NEW.username)
                           THEN coalesce(visible_after, (SELECT newest_event FROM clock))
                           ELSE visible_after END
  WHERE call_id = NEW.call_id AND username = NEW.username;

  INSERT INTO do_emit_event (emit, kind, call_id, username, detail)
  VALUES (1,
          CASE WHEN NEW.state = 'pending' THEN 'invited'
               WHEN NEW.state = 'rejected' AND NEW.missed_ts IS NOT NULL THEN 'timed_out'
               ELSE NEW.state END,
          NEW.call_id, NEW.username,
          CASE WHEN NEW.state = 'pending' THEN json_object('by', NEW.invited_by) END);

  INSERT INTO do_emit_event (emit, kind, call_id, username)
  VALUES (NEW.state = 'pending', 'ringing', NEW.call_id, NEW.username);

  INSERT INTO do_depart (departs, call_id, username, state, missed_ts)
  VALUES (OLD.in_call AND NOT NEW.in_call, NEW.call_id, NEW.username, NEW.state, NEW.missed_ts);
END;

-- Leaving

CREATE VIEW do_depart (departs, call_id, username, state, missed_ts) AS
-- A person departs if `departs` is true: declines, times out, leaves, or is deleted from the call. Every departure from a
-- live call passes here once, with the new state.
  SELECT NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER deleted_participant_departs
-- A shell may delete the row of a live call.
AFTER DELETE ON call_participants
WHEN OLD.in_call
BEGIN
  INSERT INTO do_depart (departs, call_id, username, state) VALUES (1, OLD.call_id, OLD.username, 'left');
END;

CREATE TRIGGER participant_of_finished_call_stays
-- History does not change.
BEFORE DELETE ON call_participants
WHEN EXISTS (SELECT 1 FROM calls WHERE call_id = OLD.call_id AND NOT is_live)
BEGIN
  SELECT RAISE(ABORT, 'call_finished');
END;

CREATE TRIGGER departing_participant_loses_signals_and_screen
-- A person who rejoins negotiates again; stale ICE candidates would confuse the other side. Only a person on the call
-- shares a screen in it. The end of the call comes first: it clears both without further events.
INSTEAD OF INSERT ON do_depart
WHEN NEW.departs
BEGIN
  INSERT INTO do_end_deserted_call (call_id, state, missed_ts) VALUES (NEW.call_id, NEW.state, NEW.missed_ts);

  DELETE FROM call_signals WHERE call_id = NEW.call_id AND to_user = NEW.username;
  DELETE FROM call_signals WHERE call_id = NEW.call_id AND from_user = NEW.username;

  UPDATE calls SET screenshare_user = NULL
  WHERE call_id = NEW.call_id AND screenshare_user = NEW.username AND is_live;
END;

CREATE VIEW do_end_deserted_call (call_id, state, missed_ts) AS
-- Ends a call that has too few people after a departure to `state`. Once one of the rules has ended it, no other applies.
  SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER call_rejected_when_all_reject
-- A ringing call without a pending or accepted callee is rejected. The reason is a timeout if any callee let it ring:
-- not if it did not ring for them. A rejection never ends an active call.
INSTEAD OF INSERT ON do_end_deserted_call
WHEN EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state = 'ringing')
  AND NOT EXISTS (SELECT 1 FROM call_participants
                  WHERE call_id = NEW.call_id AND role = 'participant' AND in_call)
BEGIN
  UPDATE calls
  SET ended_reason = CASE WHEN EXISTS (SELECT 1 FROM call_participants
                                       WHERE call_id = NEW.call_id AND missed_ts IS NOT NULL
                                         AND missed_reason IS NULL)
                          THEN 'timeout' ELSE 'rejected' END,
      ended_ts = CASE WHEN NEW.missed_ts IS NOT NULL
                      THEN (SELECT max(missed_ts) FROM call_participants WHERE call_id = NEW.call_id) END,
      state = 'rejected'
  WHERE call_id = NEW.call_id;
END;

CREATE TRIGGER call_ends_when_fewer_than_two_remain
-- A call needs two people who are on it or pending. call_rejected_when_all_reject
-- handles a ringing call without callees.
INSTEAD OF INSERT ON do_end_deserted_call
WHEN NEW.state = 'left'
  AND EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id
              AND (state = 'active'
                   OR (state = 'ringing'
                       AND EXISTS (SELECT 1 FROM call_participants
                                   WHERE call_id = NEW.call_id AND role = 'participant' AND in_call))))
  AND (SELECT count(*) FROM call_participants WHERE call_id = NEW.call_id AND in_call) < 2
BEGIN
  UPDATE calls SET state = 'ended', ended_reason = 'hangup' WHERE call_id = NEW.call_id;
END;

CREATE TRIGGER call_without_anybody_is_abandoned
-- An active call with nobody accepted or pending would block its channel permanently.
INSTEAD OF INSERT ON do_end_deserted_call
WHEN NEW.state = 'rejected'
  AND EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state = 'active')
  AND NOT EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND in_call)
BEGIN
  UPDATE calls
  SET ended_ts = CASE WHEN NEW.missed_ts IS NOT NULL
                      THEN (SELECT max(missed_ts) FROM call_participants WHERE call_id = NEW.call_id) END,
      state = 'ended', ended_reason = 'abandoned'
  WHERE call_id = NEW.call_id;
END;

-- What clients see

CREATE VIEW current_participants AS
-- Participants as they are now, swept or not. An invitation that is too old is rejected and missed. The caller has left
-- a ringing call that nobody answered in time. `absence`: why a person whose phone rang, or did not, is not on the call.
  SELECT *, CASE WHEN state <> 'rejected' THEN NULL
                 WHEN missed_ts IS NULL THEN 'declined'
                 ELSE coalesce(missed_reason, 'unanswered') END AS absence
  FROM (SELECT call_id, username, role,
               CASE WHEN timed_out_ts IS NOT NULL THEN 'rejected'
                    WHEN call_ended_ts IS NOT NULL THEN 'left'
                    ELSE state END AS state,
               joined_ts, coalesce(timed_out_ts, call_ended_ts, left_ts) AS left_ts, invited_ts, invited_by,
               coalesce(timed_out_ts, missed_ts) AS missed_ts, missed_seen_ts, missed_reason, number,
               coalesce((SELECT display_name FROM users WHERE username = stored.username AND number = stored.number),
                        guest_name, username) AS display_name
        FROM (SELECT *,
                     CASE WHEN state = 'pending' AND invited_ts <= (SELECT ts FROM ring_cutoff)
                          THEN round(invited_ts + (SELECT timeout FROM ring_cutoff), 3) END AS timed_out_ts,
                     -- Only the caller is on a call that still rings. The first search decides for most calls.
                     CASE WHEN role = 'initiator' AND state = 'accepted'
                           AND (SELECT state FROM calls WHERE call_id = call_participants.call_id) = 'ringing'
                          THEN (SELECT ended_ts FROM current_calls AS call
                                WHERE call.call_id = call_participants.call_id AND NOT call.is_live) END AS call_ended_ts
              FROM call_participants) AS stored);

CREATE VIEW incoming_calls AS
-- The invitations that ring now: SELECT * FROM incoming_calls WHERE username = 'bob'. The condition in_call is for its index.
  SELECT participant.username, call.call_id, call.channel, call.initiator, call.started_ts, participant.invited_ts,
         participant.invited_by,
         coalesce((SELECT display_name FROM call_initiators AS named WHERE named.call_id = call.call_id),
                  call.initiator) AS initiator_display_name,
         round(participant.invited_ts - (SELECT ts FROM ring_cutoff), 3) AS seconds_left
  FROM call_participants AS participant
  JOIN calls AS call ON call.call_id = participant.call_id
  WHERE participant.in_call AND participant.state = 'pending' AND participant.invited_ts > (SELECT ts FROM ring_cutoff)
    AND call.is_live;

CREATE VIEW incoming_call_json AS
-- A ringing call as GET /calls/incoming and the event `incoming` give it.
  SELECT username, call_id, started_ts,
         json_object('call_id', call_id, 'channel', channel, 'initiator', initiator,
                     'initiator_display_name', initiator_display_name, 'started_ts', started_ts) AS json
  FROM incoming_calls;
