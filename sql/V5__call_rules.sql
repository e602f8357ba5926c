-- The rules of calls. One trigger a rule, named for it; BEFORE refuses, AFTER reacts.
-- They hold with recursive triggers and foreign keys on or off, which is a matter of who opened the file.

-- A call begins by ringing. Replacing a row would begin a finished call anew, past all the rules about ending.
CREATE TRIGGER call_starts_ringing
BEFORE INSERT ON calls
BEGIN
  SELECT RAISE(ABORT, 'call_exists')
  WHERE EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id);
  SELECT RAISE(ABORT, 'call_move_illegal')
  WHERE NEW.state = 'active' OR NEW.state = 'ended' OR NEW.state = 'rejected'
    OR NEW.answered_ts IS NOT NULL OR NEW.screenshare_user IS NOT NULL;
END;

-- Only members call a channel, and only where there is somebody to ring. What channel_use refuses comes first: a stranger
-- must not learn how many members there are.
CREATE TRIGGER call_needs_a_channel_with_somebody_else
BEFORE INSERT ON calls
BEGIN
  INSERT INTO channel_use (channel, username) VALUES (NEW.channel, NEW.initiator);
  SELECT RAISE(ABORT, 'nobody_to_call')
  WHERE CASE WHEN NEW.channel GLOB 'dm:*'
             THEN replace(':' || replace(substr(NEW.channel, 4), ':', '::') || ':', ':' || NEW.initiator || ':', '') = ''
             ELSE NOT EXISTS (SELECT 1 FROM private_channel_members
                              WHERE channel = NEW.channel AND username <> NEW.initiator) END;
END;

-- One live call a channel. dm:bob:alice and dm:alice:bob are one channel, so the name is sorted first; a call that has timed
-- out but is still stored as ringing, because nobody has swept yet, must not block a new one, so it is swept.
CREATE TRIGGER one_live_call_a_channel
AFTER INSERT ON calls
BEGIN
  UPDATE calls
  SET channel = (SELECT 'dm:' || group_concat(username, ':')
                 FROM (SELECT DISTINCT value AS username
                       FROM json_each('[' || replace(json_quote(substr(NEW.channel, 4)), ':', '","') || ']')
                       ORDER BY value))
  WHERE call_id = NEW.call_id AND channel GLOB 'dm:*';

  INSERT INTO dm_channel (channel) VALUES ((SELECT channel FROM calls WHERE call_id = NEW.call_id));

  INSERT INTO sweep (ts) SELECT ts FROM now
  WHERE EXISTS (SELECT 1 FROM calls
                WHERE channel = (SELECT channel FROM calls WHERE call_id = NEW.call_id)
                  AND state IN ('ringing', 'active') AND call_id <> NEW.call_id);

  SELECT RAISE(ABORT, 'channel_has_live_call')
  WHERE EXISTS (SELECT 1 FROM calls
                WHERE channel = (SELECT channel FROM calls WHERE call_id = NEW.call_id)
                  AND state IN ('ringing', 'active') AND call_id <> NEW.call_id);

  INSERT INTO announce (kind, call_id, username) VALUES ('started', NEW.call_id, NEW.initiator);
END;

-- Which call it is, whose and where never changes. Sorting a DM's name, above, happens before anybody is noted as a member
-- of the channel under that name.
CREATE TRIGGER call_identity_is_fixed
BEFORE UPDATE ON calls
WHEN (NEW.call_id, NEW.initiator) IS NOT (OLD.call_id, OLD.initiator)
  OR (NEW.channel IS NOT OLD.channel
      AND (OLD.channel NOT GLOB 'dm:*' OR EXISTS (SELECT 1 FROM dm_members WHERE channel = OLD.channel)))
BEGIN
  SELECT RAISE(ABORT, 'call_identity_is_fixed');
END;

-- History does not change. Until its end is stamped (see ended_call_is_stamped_and_announced) a finished call is still being finished.
CREATE TRIGGER finished_call_is_final
BEFORE UPDATE ON calls
WHEN OLD.state IN ('ended', 'rejected')
  AND OLD.ended_ts IS NOT NULL AND OLD.ended_reason IS NOT NULL AND OLD.screenshare_user IS NULL
  AND (NEW.state, NEW.started_ts, NEW.answered_ts, NEW.ended_ts, NEW.screenshare_user, NEW.ended_reason)
    IS NOT (OLD.state, OLD.started_ts, OLD.answered_ts, OLD.ended_ts, OLD.screenshare_user, OLD.ended_reason)
BEGIN
  SELECT RAISE(ABORT, 'call_finished');
END;

-- The moves of a call are rows of legal_moves; a state that is not known at all is left to the CHECK, which names it.
CREATE TRIGGER call_move_is_legal
BEFORE UPDATE OF state ON calls
WHEN NEW.state IS NOT OLD.state
  AND (NEW.state = 'ringing' OR NEW.state = 'active' OR NEW.state = 'ended' OR NEW.state = 'rejected')
  AND NOT (OLD.state IN ('ended', 'rejected') AND OLD.ended_ts IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM legal_moves WHERE subject = 'call' AND from_state = OLD.state AND to_state = NEW.state)
BEGIN
  SELECT RAISE(ABORT, 'call_move_illegal');
END;

-- A call is active because somebody answered, not because somebody says so.
CREATE TRIGGER active_call_needs_an_answer
BEFORE UPDATE OF state ON calls
WHEN OLD.state = 'ringing' AND NEW.state = 'active'
  AND NOT EXISTS (SELECT 1 FROM call_participants
                  WHERE call_id = NEW.call_id AND role = 'participant' AND state = 'accepted')
BEGIN
  SELECT RAISE(ABORT, 'call_not_answered');
END;

-- A call in which a callee is still asked or already talks has not been rejected by all.
CREATE TRIGGER rejected_call_has_no_callee_left
BEFORE UPDATE OF state ON calls
WHEN OLD.state = 'ringing' AND NEW.state = 'rejected'
  AND EXISTS (SELECT 1 FROM call_participants
              WHERE call_id = NEW.call_id AND role = 'participant' AND state IN ('pending', 'accepted'))
BEGIN
  SELECT RAISE(ABORT, 'call_still_ringing');
END;

-- answered_ts is the first answer's.
CREATE TRIGGER first_answer_time_is_final
BEFORE UPDATE OF answered_ts ON calls
WHEN OLD.answered_ts IS NOT NULL AND NEW.answered_ts IS NOT OLD.answered_ts
  AND OLD.state IN ('ringing', 'active')
BEGIN
  SELECT RAISE(ABORT, 'answered_ts_is_final');
END;

-- There is no answer in a call that nobody has answered.
CREATE TRIGGER answer_time_comes_with_the_answer
BEFORE UPDATE OF answered_ts ON calls
WHEN OLD.answered_ts IS NULL AND NEW.answered_ts IS NOT NULL AND NEW.state IS NOT 'active'
  AND OLD.state IN ('ringing', 'active')
BEGIN
  SELECT RAISE(ABORT, 'call_not_answered');
END;

-- Only somebody on an active call shares a screen in it. Not active comes first: nobody may share in such a call.
CREATE TRIGGER sharer_is_accepted_in_an_active_call
BEFORE UPDATE OF screenshare_user ON calls
WHEN NEW.screenshare_user IS NOT NULL AND NEW.screenshare_user IS NOT OLD.screenshare_user
  AND OLD.state IN ('ringing', 'active')
BEGIN
  SELECT RAISE(ABORT, 'call_not_active')
  WHERE NEW.state IS NOT 'active';
  SELECT RAISE(ABORT, 'sharer_not_accepted')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = NEW.call_id AND username = NEW.screenshare_user AND state = 'accepted');
END;

-- The first answer makes a call active; whoever made it so need not give the time.
CREATE TRIGGER first_answer_is_stamped
AFTER UPDATE OF state ON calls
WHEN OLD.state = 'ringing' AND NEW.state = 'active' AND NEW.answered_ts IS NULL
BEGIN
  UPDATE calls SET answered_ts = (SELECT ts FROM now) WHERE call_id = NEW.call_id;
END;

-- Nobody is on a call that is over, nor asked to it. Whoever was still asked has missed it.
CREATE TRIGGER ended_call_settles_participants
AFTER UPDATE OF state ON calls
WHEN OLD.state IN ('ringing', 'active') AND NEW.state IN ('ended', 'rejected')
BEGIN
  UPDATE call_participants
  SET left_ts = CASE state WHEN 'accepted' THEN coalesce(NEW.ended_ts, (SELECT ts FROM now)) ELSE left_ts END,
      missed_ts = CASE state WHEN 'pending' THEN coalesce(NEW.ended_ts, (SELECT ts FROM now)) ELSE missed_ts END,
      state = 'left'
  WHERE call_id = NEW.call_id AND state IN ('pending', 'accepted');
END;

-- What ends takes its signals with it.
CREATE TRIGGER ended_call_drops_signals
AFTER UPDATE OF state ON calls
WHEN OLD.state IN ('ringing', 'active') AND NEW.state IN ('ended', 'rejected')
BEGIN
  DELETE FROM call_signals WHERE call_id = NEW.call_id;
END;

-- What ends takes its media with it.
CREATE TRIGGER ended_call_drops_media
AFTER UPDATE OF state ON calls
WHEN OLD.state IN ('ringing', 'active') AND NEW.state IN ('ended', 'rejected')
BEGIN
  DELETE FROM call_media WHERE call_id = NEW.call_id;
END;

-- Every finished call says when and why. Whoever ends one by hand need not: then it was an admin, now. It is announced when
-- that is known.
CREATE TRIGGER ended_call_is_stamped_and_announced
AFTER UPDATE OF state ON calls
WHEN OLD.state IN ('ringing', 'active') AND NEW.state IN ('ended', 'rejected')
BEGIN
  UPDATE calls
  SET ended_ts = coalesce(ended_ts, (SELECT ts FROM now)),
      ended_reason = coalesce(ended_reason, CASE NEW.state WHEN 'ended' THEN 'admin' ELSE 'rejected' END),
      screenshare_user = NULL
  WHERE call_id = NEW.call_id;

  INSERT INTO announce (kind, call_id, detail)
  VALUES ('ended', NEW.call_id,
          (SELECT json_object('state', state, 'reason', ended_reason) FROM calls WHERE call_id = NEW.call_id));
END;

-- Everybody on a call sees whose screen it is.
CREATE TRIGGER changed_sharer_is_announced
AFTER UPDATE OF screenshare_user ON calls
WHEN NEW.screenshare_user IS NOT OLD.screenshare_user AND NEW.state = 'active'
BEGIN
  INSERT INTO announce (kind, call_id, username) VALUES ('sharer_changed', NEW.call_id, NEW.screenshare_user);
END;

-- Nobody forgets a call for days: where an admin sets a limit, it ends there.
CREATE TRIGGER call_ends_at_its_longest
INSTEAD OF INSERT ON sweep
WHEN (SELECT value FROM settings WHERE name = 'call_max_seconds') > 0
BEGIN
  UPDATE calls SET state = 'ended', ended_reason = 'max_duration'
  WHERE state = 'active'
    AND answered_ts <= NEW.ts - (SELECT value FROM settings WHERE name = 'call_max_seconds');
END;

-- Deleting a live call would leave its people with nothing to hang up.
CREATE TRIGGER live_call_cannot_be_deleted
BEFORE DELETE ON calls
WHEN OLD.state IN ('ringing', 'active')
BEGIN
  SELECT RAISE(ABORT, 'call_is_live');
END;

-- History can be pruned: DELETE FROM calls takes the participants along.
CREATE TRIGGER deleted_call_takes_its_participants
AFTER DELETE ON calls
BEGIN
  DELETE FROM call_participants WHERE call_id = OLD.call_id;
END;

-- A call of a channel that is no more has nowhere to be joined from. It ends before the members go, whose leaving would look
-- like a hang-up.
CREATE TRIGGER deleted_channel_ends_its_call_and_loses_its_members
AFTER DELETE ON private_channels
BEGIN
  UPDATE calls SET state = 'ended', ended_reason = 'admin'
  WHERE channel = 'private:' || OLD.id AND state IN ('ringing', 'active');
  DELETE FROM private_channel_members WHERE channel_id = OLD.id;
END;

-- A ringing call without anybody to ring, such as one that a shell made and gave no participants, goes when its time is over.
CREATE TRIGGER ringing_call_without_callees_times_out
INSTEAD OF INSERT ON sweep
BEGIN
  UPDATE calls SET state = 'rejected', ended_reason = 'timeout'
  WHERE state = 'ringing'
    AND started_ts <= NEW.ts - (SELECT value FROM settings WHERE name = 'ringing_timeout')
    AND NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = calls.call_id AND role = 'participant' AND state IN ('pending', 'accepted'));
END;
