-- The rules of participants: how people come on a call, how they go, and what the call makes of it.

-- Who can be put on a call: a person who exists, on a call that goes on, once. While it rings only members of the channel are
-- asked; an active call may also ask others in; but nobody gets on it unasked who is not a member. The order matters: an
-- unknown call has no members to speak of, and a finished one takes nobody.
CREATE TRIGGER participant_enters_a_live_call
BEFORE INSERT ON call_participants
BEGIN
  SELECT RAISE(ABORT, 'call_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id);
  SELECT RAISE(ABORT, 'not_a_member')
  WHERE NEW.state = 'accepted'
    AND NOT EXISTS (SELECT 1 FROM channel_members
                    WHERE channel = (SELECT channel FROM calls WHERE call_id = NEW.call_id)
                      AND username = NEW.username);
  SELECT RAISE(ABORT, 'call_finished')
  WHERE EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state IN ('ended', 'rejected'));
  SELECT RAISE(ABORT, 'user_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM users WHERE username = NEW.username);
  SELECT RAISE(ABORT, 'already_in_call')
  WHERE EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND username = NEW.username);
  SELECT RAISE(ABORT, 'call_not_active')
  WHERE EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state = 'ringing')
    AND NOT EXISTS (SELECT 1 FROM channel_members
                    WHERE channel = (SELECT channel FROM calls WHERE call_id = NEW.call_id)
                      AND username = NEW.username);
  SELECT RAISE(ABORT, 'role_is_wrong')
  WHERE (NEW.role = 'initiator')
    IS NOT (NEW.username = (SELECT initiator FROM calls WHERE call_id = NEW.call_id));
  SELECT RAISE(ABORT, 'participant_move_illegal')
  WHERE (NEW.state = 'pending' OR NEW.state = 'accepted' OR NEW.state = 'rejected' OR NEW.state = 'left')
    AND NOT EXISTS (SELECT 1 FROM legal_moves
                    WHERE subject = 'participant' AND from_state = 'new' AND to_state = NEW.state);
END;

-- Who somebody is in a call never changes.
CREATE TRIGGER participant_identity_is_fixed
BEFORE UPDATE ON call_participants
WHEN (NEW.call_id, NEW.username, NEW.role) IS NOT (OLD.call_id, OLD.username, OLD.role)
BEGIN
  SELECT RAISE(ABORT, 'participant_identity_is_fixed');
END;

-- Who took part in a finished call is history. Being settled by its end (see ended_call_settles_participants) is the last
-- move, and only a row that is still pending or accepted can make it.
CREATE TRIGGER participant_of_finished_call_is_final
BEFORE UPDATE ON call_participants
WHEN (NEW.state, NEW.joined_ts, NEW.left_ts, NEW.invited_ts, NEW.invited_by, NEW.missed_ts)
    IS NOT (OLD.state, OLD.joined_ts, OLD.left_ts, OLD.invited_ts, OLD.invited_by, OLD.missed_ts)
  AND NOT (OLD.state IN ('pending', 'accepted') AND NEW.state = 'left')
  AND EXISTS (SELECT 1 FROM calls WHERE call_id = OLD.call_id AND state IN ('ended', 'rejected'))
BEGIN
  SELECT RAISE(ABORT, 'call_finished');
END;

-- The moves of a participant are rows of legal_moves. In a finished call the rule above has its say first.
CREATE TRIGGER participant_move_is_legal
BEFORE UPDATE OF state ON call_participants
WHEN NEW.state IS NOT OLD.state
  AND (NEW.state = 'pending' OR NEW.state = 'accepted' OR NEW.state = 'rejected' OR NEW.state = 'left')
  AND NOT EXISTS (SELECT 1 FROM legal_moves
                  WHERE subject = 'participant' AND from_state = OLD.state AND to_state = NEW.state)
  AND EXISTS (SELECT 1 FROM calls WHERE call_id = OLD.call_id AND state IN ('ringing', 'active'))
BEGIN
  SELECT RAISE(ABORT, 'participant_move_illegal');
END;

-- The last instant has passed, even if nobody has swept yet. Somebody who is late for a call that goes on may still join it.
CREATE TRIGGER timed_out_invitation_cannot_be_answered
BEFORE UPDATE OF state ON call_participants
WHEN OLD.state = 'pending' AND NEW.state = 'accepted'
  AND OLD.invited_ts <= (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'ringing_timeout')
  AND EXISTS (SELECT 1 FROM calls WHERE call_id = OLD.call_id AND state = 'ringing')
BEGIN
  SELECT RAISE(ABORT, 'invitation_timed_out');
END;

-- A removed person is on no call, so nobody of that name can be called back on one while it is not taken.
CREATE TRIGGER participant_who_rejoins_exists
BEFORE UPDATE OF state ON call_participants
WHEN OLD.state IN ('rejected', 'left') AND NEW.state IN ('pending', 'accepted')
  AND NOT EXISTS (SELECT 1 FROM users WHERE username = NEW.username)
  AND EXISTS (SELECT 1 FROM calls WHERE call_id = OLD.call_id AND state IN ('ringing', 'active'))
BEGIN
  SELECT RAISE(ABORT, 'user_not_found');
END;

-- Whoever was taken off the channel does not walk back onto its call. Being asked in again is another matter, and so is
-- coming back for somebody from outside who was asked in before.
CREATE TRIGGER participant_who_rejoins_is_member_or_invited
BEFORE UPDATE OF state ON call_participants
WHEN OLD.state IN ('rejected', 'left') AND NEW.state = 'accepted' AND NEW.invited_by IS NULL
  AND EXISTS (SELECT 1 FROM users WHERE username = NEW.username)
  AND NOT EXISTS (SELECT 1 FROM channel_members
                  WHERE channel = (SELECT channel FROM calls WHERE call_id = NEW.call_id)
                    AND username = NEW.username)
  AND EXISTS (SELECT 1 FROM calls WHERE call_id = OLD.call_id AND state IN ('ringing', 'active'))
BEGIN
  SELECT RAISE(ABORT, 'not_a_member');
END;

-- History again.
CREATE TRIGGER participant_of_finished_call_stays
BEFORE DELETE ON call_participants
WHEN EXISTS (SELECT 1 FROM calls WHERE call_id = OLD.call_id AND state IN ('ended', 'rejected'))
BEGIN
  SELECT RAISE(ABORT, 'call_finished');
END;

-- Times that the writer left out of a new row; somebody from outside the channel sees what happens from here on. Then it is
-- announced: it rings for whoever is asked, and everybody hears of who comes to a call that goes on already.
CREATE TRIGGER participant_entry_is_stamped_and_announced
AFTER INSERT ON call_participants
BEGIN
  UPDATE call_participants
  SET invited_ts = CASE WHEN state = 'pending' THEN coalesce(invited_ts, (SELECT ts FROM now)) ELSE invited_ts END,
      joined_ts = CASE WHEN state = 'accepted' THEN coalesce(joined_ts, (SELECT ts FROM now)) ELSE joined_ts END,
      last_seen_ts = CASE WHEN state = 'accepted' THEN (SELECT ts FROM now) END,
      events_after = CASE WHEN NOT EXISTS (SELECT 1 FROM channel_members
                                           WHERE channel = (SELECT channel FROM calls WHERE call_id = NEW.call_id)
                                             AND username = NEW.username)
                          THEN coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0) END
  WHERE call_id = NEW.call_id AND username = NEW.username;

  INSERT INTO announce (kind, call_id, username)
  VALUES (CASE WHEN NEW.state = 'pending' THEN 'ringing' END, NEW.call_id, NEW.username);

  INSERT INTO announce (kind, call_id, username, detail)
  VALUES (CASE WHEN NEW.state = 'pending' AND EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state = 'active')
               THEN 'invited' END,
          NEW.call_id, NEW.username, json_object('by', NEW.invited_by));

  INSERT INTO announce (kind, call_id, username)
  VALUES (CASE WHEN NEW.state = 'accepted' AND NEW.role = 'participant' THEN 'accepted' END, NEW.call_id, NEW.username);
END;

-- A callee's answer makes the call active.
CREATE TRIGGER answer_makes_call_active
AFTER UPDATE OF state ON call_participants
WHEN NEW.state = 'accepted' AND NEW.role = 'participant'
BEGIN
  UPDATE calls SET state = 'active' WHERE call_id = NEW.call_id AND state = 'ringing';
END;

-- So does a member of the channel who was not asked, having joined the channel since, and answers for the others.
CREATE TRIGGER late_joiner_makes_call_active
AFTER INSERT ON call_participants
WHEN NEW.state = 'accepted' AND NEW.role = 'participant'
BEGIN
  UPDATE calls SET state = 'active' WHERE call_id = NEW.call_id AND state = 'ringing';
END;

-- An invitation that nobody answered stops ringing. It was missed when its time was over, whenever that is noticed. An
-- initiator who went and is asked comes first: the last callee's time ends the call, which settles whoever is left, and a row
-- that one UPDATE has found and another has settled meanwhile would be refused as final, and with it every sweep.
CREATE TRIGGER unanswered_invitation_times_out
INSTEAD OF INSERT ON sweep
BEGIN
  UPDATE call_participants
  SET missed_ts = round(invited_ts + (SELECT value FROM settings WHERE name = 'ringing_timeout'), 3),
      state = 'rejected'
  WHERE state = 'pending' AND role = 'initiator'
    AND invited_ts <= NEW.ts - (SELECT value FROM settings WHERE name = 'ringing_timeout');

  UPDATE call_participants
  SET missed_ts = round(invited_ts + (SELECT value FROM settings WHERE name = 'ringing_timeout'), 3),
      state = 'rejected'
  WHERE state = 'pending'
    AND invited_ts <= NEW.ts - (SELECT value FROM settings WHERE name = 'ringing_timeout');
END;

-- Departures: whoever stops being asked to a call, or being on it, for whatever reason, passes through this view once. The
-- rules about leaving hang on it; it never holds a row.
CREATE VIEW departures (call_id, username, state, missed_ts) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS REAL) WHERE 0;

-- A move gets its times: now, unless the writer gave another with the move. Whoever is invited anew has missed nothing yet.
-- Then it is announced. Leaving, declining and timing out are departures, and come last: a departure may end the call, and
-- nothing can be written into a finished one, nor is there more to say of it than its end.
CREATE TRIGGER participant_move_is_stamped_announced_and_departs
AFTER UPDATE OF state ON call_participants
WHEN NEW.state IS NOT OLD.state
BEGIN
  UPDATE call_participants
  SET joined_ts = CASE WHEN NEW.state = 'accepted' AND NEW.joined_ts IS OLD.joined_ts
                       THEN (SELECT ts FROM now) ELSE joined_ts END,
      left_ts = CASE WHEN NEW.state = 'accepted' THEN NULL
                     WHEN NEW.state = 'left' AND OLD.state = 'accepted' AND NEW.left_ts IS OLD.left_ts
                       THEN (SELECT ts FROM now) ELSE left_ts END,
      invited_ts = CASE WHEN NEW.state = 'pending' AND NEW.invited_ts IS OLD.invited_ts
                        THEN (SELECT ts FROM now) ELSE invited_ts END,
      missed_ts = CASE WHEN NEW.state IN ('pending', 'accepted') THEN NULL ELSE missed_ts END,
      missed_seen_ts = CASE WHEN NEW.state IN ('pending', 'accepted') THEN NULL ELSE missed_seen_ts END,
      last_seen_ts = CASE WHEN NEW.state = 'accepted' THEN (SELECT ts FROM now) ELSE last_seen_ts END,
      events_after = CASE WHEN NEW.state = 'pending'
                            AND NOT EXISTS (SELECT 1 FROM channel_members
                                            WHERE channel = (SELECT channel FROM calls WHERE call_id = NEW.call_id)
                                              AND username = NEW.username)
                          THEN coalesce(events_after, (SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)
                          ELSE events_after END
  WHERE call_id = NEW.call_id AND username = NEW.username
    AND EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state IN ('ringing', 'active'));

  INSERT INTO announce (kind, call_id, username, detail)
  VALUES (CASE WHEN NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state IN ('ringing', 'active')) THEN NULL
               WHEN NEW.state = 'pending' THEN 'invited'
               WHEN NEW.state = 'rejected' AND NEW.missed_ts IS NOT NULL THEN 'timed_out'
               ELSE NEW.state END,
          NEW.call_id, NEW.username,
          CASE WHEN NEW.state = 'pending' THEN json_object('by', NEW.invited_by) END);

  INSERT INTO announce (kind, call_id, username)
  VALUES (CASE WHEN NEW.state = 'pending' THEN 'ringing' END, NEW.call_id, NEW.username);

  INSERT INTO departures (call_id, username, state, missed_ts)
  SELECT NEW.call_id, NEW.username, NEW.state, NEW.missed_ts
  WHERE OLD.state IN ('pending', 'accepted') AND NEW.state IN ('rejected', 'left');
END;

-- Being taken off the list in a shell.
CREATE TRIGGER deleted_participant_departs
AFTER DELETE ON call_participants
WHEN OLD.state IN ('pending', 'accepted')
BEGIN
  INSERT INTO departures (call_id, username, state, missed_ts) VALUES (OLD.call_id, OLD.username, 'left', NULL);
END;

-- Nobody shares a screen in a call that they are not on.
CREATE TRIGGER sharer_who_departs_stops_sharing
INSTEAD OF INSERT ON departures
BEGIN
  UPDATE calls SET screenshare_user = NULL
  WHERE call_id = NEW.call_id AND screenshare_user = NEW.username AND state IN ('ringing', 'active');
END;

-- Who leaves takes the signals to and from them along: whoever comes back negotiates anew, and stale ICE candidates would
-- only confuse the other side.
CREATE TRIGGER departing_participant_takes_signals_along
INSTEAD OF INSERT ON departures
BEGIN
  DELETE FROM call_signals WHERE call_id = NEW.call_id AND to_user = NEW.username;
  DELETE FROM call_signals WHERE call_id = NEW.call_id AND from_user = NEW.username;
END;

-- A ringing call in which no callee is asked or talks any more has been rejected: by their time running out if one of them
-- let it, by their will otherwise. A rejection never ends an active call.
CREATE TRIGGER call_rejected_when_all_reject
INSTEAD OF INSERT ON departures
WHEN EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state = 'ringing')
  AND NOT EXISTS (SELECT 1 FROM call_participants
                  WHERE call_id = NEW.call_id AND role = 'participant' AND state IN ('pending', 'accepted'))
BEGIN
  UPDATE calls
  SET ended_reason = CASE WHEN EXISTS (SELECT 1 FROM call_participants
                                       WHERE call_id = NEW.call_id AND missed_ts IS NOT NULL)
                          THEN 'timeout' ELSE 'rejected' END,
      ended_ts = NEW.missed_ts,
      state = 'rejected'
  WHERE call_id = NEW.call_id;
END;

-- A call goes on while two people are on it or still asked. Fewer than two after somebody left, and there is nobody to talk
-- to. A ringing call that has lost its last callee belongs to the rule above.
CREATE TRIGGER call_ends_when_fewer_than_two_remain
INSTEAD OF INSERT ON departures
WHEN NEW.state = 'left'
  AND EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id
              AND (state = 'active'
                   OR (state = 'ringing'
                       AND EXISTS (SELECT 1 FROM call_participants
                                   WHERE call_id = NEW.call_id AND role = 'participant'
                                     AND state IN ('pending', 'accepted')))))
  AND (SELECT count(*) FROM call_participants
       WHERE call_id = NEW.call_id AND state IN ('pending', 'accepted')) < 2
BEGIN
  UPDATE calls SET state = 'ended', ended_reason = 'hangup' WHERE call_id = NEW.call_id;
END;

-- A rejection never ends an active call that somebody is on. One that nobody is on, nor asked to any more, because the others
-- went before the last who was asked declined or let it ring, has nobody to hang up, and would be in the channel's way for ever.
CREATE TRIGGER call_without_anybody_is_abandoned
INSTEAD OF INSERT ON departures
WHEN NEW.state = 'rejected'
  AND EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state = 'active')
  AND NOT EXISTS (SELECT 1 FROM call_participants
                  WHERE call_id = NEW.call_id AND state IN ('pending', 'accepted'))
BEGIN
  UPDATE calls SET state = 'ended', ended_reason = 'abandoned' WHERE call_id = NEW.call_id;
END;

-- A removed person leaves calls first, so that no call waits for somebody who can never hang up.
CREATE TRIGGER removed_user_leaves_calls
AFTER DELETE ON users
BEGIN
  UPDATE call_participants SET state = 'left'
  WHERE username = OLD.username AND state IN ('pending', 'accepted');
END;

-- Whoever is taken off a private channel is no longer on its call, and an invitation from before does not outlast that.
CREATE TRIGGER removed_member_leaves_the_channels_call
AFTER DELETE ON private_channel_members
BEGIN
  UPDATE call_participants
  SET state = CASE WHEN state IN ('pending', 'accepted') THEN 'left' ELSE state END,
      invited_by = NULL, events_after = NULL
  WHERE username = OLD.username
    AND call_id IN (SELECT call_id FROM calls WHERE channel = OLD.channel AND state IN ('ringing', 'active'));
END;
