-- Limits of one person, of a pair of people, and of one call: nobody takes the room of all. A setting of 0 is no limit.
--
-- person_counts and ring_counts count for every writer. Refused requests count nothing. The bounds on signals and media
-- are in signals.sql and media.sql: there the oldest make way, and nothing is refused for its number.

-- People

CREATE TRIGGER new_user_has_counts
-- Calls and media of an earlier user of the same name may still be live. They end under this name.
AFTER INSERT ON users
BEGIN
  INSERT INTO person_counts (username, live_calls, live_shares, on_calls, media_bytes)
  VALUES (NEW.username,
          (SELECT count(*) FROM calls WHERE is_live AND initiator = NEW.username),
          (SELECT count(*) FROM screenshares WHERE state = 'active' AND sharer = NEW.username),
          (SELECT count(*) FROM call_participants WHERE in_call AND state = 'accepted' AND username = NEW.username),
          (SELECT coalesce(sum(length(data)), 0) FROM call_media
           WHERE call_id IN (SELECT call_id FROM calls WHERE is_live) AND sender = NEW.username));
END;

CREATE TRIGGER removed_user_has_no_counts
-- A new user of the same name has neither rung nor declined.
AFTER DELETE ON users
BEGIN
  DELETE FROM person_counts WHERE username = OLD.username;

  DELETE FROM ring_counts WHERE caller = OLD.username;

  DELETE FROM ring_counts WHERE callee = OLD.username;
END;

CREATE TRIGGER oldest_session_ends_for_a_new_one
-- A script that logs in at each run must not fill the file. Expired sessions, which no sweep has reached yet, go first.
-- The event of the ended session closes its streams.
AFTER INSERT ON sessions
BEGIN
  DELETE FROM sessions
  WHERE token_hash IN (SELECT token_hash FROM sessions
                       WHERE username = NEW.username AND token_hash <> NEW.token_hash
                       ORDER BY expires_ts > (SELECT ts FROM now) DESC, created_ts DESC, token_hash
                       LIMIT -1 OFFSET (SELECT CASE WHEN value > 0 THEN CAST(value AS INTEGER) - 1 ELSE 1000000000 END
                                        FROM settings WHERE name = 'sessions_per_person'));
END;

-- Calls and shares of a person

CREATE VIEW callers_near_a_limit (username) AS
-- People with as many live calls as they may start, or as many requests as they may make if these are of one minute.
  SELECT username FROM person_counts
  WHERE live_calls >= (SELECT value FROM settings WHERE name = 'live_calls_per_person' AND value > 0)
     OR rings >= (SELECT value FROM settings WHERE name = 'rings_per_person' AND value > 0);

CREATE VIEW check_caller (username) AS
-- Refuses one more call of a person at a limit.
  SELECT NULL WHERE 0;

CREATE TRIGGER calls_of_a_person_are_limited
-- A call needs one of the places of its caller until it ends, and is one request that rings.
INSTEAD OF INSERT ON check_caller
WHEN EXISTS (SELECT 1 FROM callers_near_a_limit WHERE username = NEW.username)
BEGIN
  SELECT RAISE(ABORT, 'too_many_rings')
  WHERE EXISTS (SELECT 1 FROM too_many_rings WHERE caller = NEW.username);

  SELECT RAISE(ABORT, 'too_many_calls')
  WHERE (SELECT live_calls FROM person_counts WHERE username = NEW.username)
    >= (SELECT value FROM settings WHERE name = 'live_calls_per_person' AND value > 0);
END;

CREATE TRIGGER started_call_is_counted
-- It is also one request that rings. One UPDATE for both, because this is in the way of every call.
AFTER INSERT ON calls
BEGIN
  UPDATE person_counts
  SET live_calls = live_calls + 1,
      rings = CASE WHEN (SELECT ts FROM now) - rings_from_ts BETWEEN 0 AND 59.9999 THEN rings + 1 ELSE 1 END,
      rings_from_ts = CASE WHEN (SELECT ts FROM now) - rings_from_ts BETWEEN 0 AND 59.9999
                           THEN rings_from_ts ELSE (SELECT ts FROM now) END
  WHERE username = NEW.initiator;
END;

CREATE TRIGGER ended_call_is_not_counted
-- Its initiator may start another.
AFTER UPDATE OF state ON calls
WHEN OLD.is_live AND NOT NEW.is_live
BEGIN
  UPDATE person_counts SET live_calls = live_calls - 1 WHERE username = NEW.initiator;
END;

CREATE TRIGGER shares_of_a_person_are_limited
-- A new share in a channel replaces the earlier one there, so it takes no more room.
BEFORE INSERT ON screenshares
BEGIN
  SELECT RAISE(ABORT, 'too_many_rings')
  WHERE EXISTS (SELECT 1 FROM too_many_rings WHERE caller = NEW.sharer);

  SELECT RAISE(ABORT, 'too_many_shares')
  WHERE (SELECT live_shares FROM person_counts WHERE username = NEW.sharer)
      >= (SELECT value FROM settings WHERE name = 'live_shares_per_person' AND value > 0)
    AND NOT EXISTS (SELECT 1 FROM screenshares
                    WHERE channel = NEW.channel AND sharer = NEW.sharer AND state = 'active');
END;

CREATE TRIGGER started_share_is_counted
-- A share does not ring, but its event goes to all members of the channel, and its row stays.
AFTER INSERT ON screenshares
BEGIN
  UPDATE person_counts SET live_shares = live_shares + 1 WHERE username = NEW.sharer;

  INSERT INTO do_count_request (username) VALUES (NEW.sharer);
END;

CREATE TRIGGER ended_share_is_not_counted
-- Its sharer may start another.
AFTER UPDATE OF state ON screenshares
WHEN OLD.state = 'active' AND NEW.state = 'ended'
BEGIN
  UPDATE person_counts SET live_shares = live_shares - 1 WHERE username = NEW.sharer;
END;

-- People on a call

CREATE VIEW full_calls (call_id) AS
-- Calls with as many accepted participants as a call may have.
  SELECT call_id FROM calls
  WHERE (SELECT count(*) FROM call_participants WHERE call_id = calls.call_id AND state = 'accepted')
    >= (SELECT value FROM settings WHERE name = 'call_people_max' AND value > 0);

CREATE TRIGGER full_call_takes_no_more_people
-- In a mesh each person sends to all others, so one more is a burden for all. The invitation stays pending: somebody
-- may leave. Initiating and inviting are never refused for it.
BEFORE UPDATE OF state ON call_participants
WHEN NEW.state = 'accepted' AND OLD.state IS NOT 'accepted'
  AND EXISTS (SELECT 1 FROM full_calls WHERE call_id = NEW.call_id)
BEGIN
  SELECT RAISE(ABORT, 'call_full');
END;

CREATE TRIGGER full_call_takes_no_late_joiner
-- As full_call_takes_no_more_people, for a member who was not called.
BEFORE INSERT ON call_participants
WHEN NEW.state = 'accepted' AND EXISTS (SELECT 1 FROM full_calls WHERE call_id = NEW.call_id)
BEGIN
  SELECT RAISE(ABORT, 'call_full');
END;

CREATE TRIGGER person_on_a_call_is_counted
-- Somebody starts a call, or joins one to which they were not invited.
AFTER INSERT ON call_participants
WHEN NEW.state = 'accepted'
BEGIN
  UPDATE person_counts SET on_calls = on_calls + 1 WHERE username = NEW.username;
END;

CREATE TRIGGER person_who_joins_or_leaves_is_counted
-- However somebody leaves: by hand, removed, unseen, or with the end of the call.
AFTER UPDATE OF state ON call_participants
WHEN (NEW.state = 'accepted') IS NOT (OLD.state = 'accepted')
BEGIN
  UPDATE person_counts SET on_calls = on_calls + CASE NEW.state WHEN 'accepted' THEN 1 ELSE -1 END
  WHERE username = NEW.username;
END;

CREATE TRIGGER person_deleted_from_a_call_is_not_counted
-- A shell may delete the row of a live call.
AFTER DELETE ON call_participants
WHEN OLD.state = 'accepted'
BEGIN
  UPDATE person_counts SET on_calls = on_calls - 1 WHERE username = OLD.username;
END;

-- Rings

CREATE VIEW ring_window (from_ts, ts) AS
-- Rings count for a minute from the first one. A window from the future, which a clock that was set back leaves, is over.
  SELECT ts - 60, ts FROM now;

CREATE VIEW too_many_rings (caller, seconds) AS
-- People who may not ring anybody for so many seconds: they made rings_per_person requests within a minute.
  SELECT username, rings_from_ts - from_ts
  FROM person_counts, ring_window
  WHERE rings >= (SELECT value FROM settings WHERE name = 'rings_per_person' AND value > 0)
    AND rings_from_ts > from_ts AND rings_from_ts <= ts;

CREATE VIEW too_many_rings_for_person (caller, callee, seconds) AS
-- Pairs in which the first may not ring the second for so many seconds: they did so rings_per_pair times within a minute.
  SELECT caller, callee, rings_from_ts - from_ts
  FROM ring_counts, ring_window
  WHERE rings >= (SELECT value FROM settings WHERE name = 'rings_per_pair' AND value > 0)
    AND rings_from_ts > from_ts AND rings_from_ts <= ts;

CREATE VIEW declined_too_often (caller, callee, seconds) AS
-- Pairs in which the first may not ring the second alone for so many seconds: the second declined three times in a row or
-- more. The pause begins with the last refusal, and doubles with each one, up to an hour.
  SELECT caller, callee, until_ts - ts
  FROM (SELECT caller, callee, refused_ts,
               refused_ts + min((SELECT value FROM settings WHERE name = 'refusal_pause')
                                * (1 << min(refusals - 3, 12)), 3600) AS until_ts
        FROM ring_counts
        WHERE refusals >= 3), now
  WHERE until_ts > ts AND refused_ts <= ts;

CREATE VIEW ring_waits (code, caller, callee, seconds) AS
-- Who has to wait before the next ring, and the code of the refusal. `callee` is NULL if it is the same for all.
  SELECT 'too_many_rings', caller, NULL, seconds FROM too_many_rings
  UNION ALL
  SELECT 'too_many_rings_for_person', caller, callee, seconds FROM too_many_rings_for_person
  UNION ALL
  SELECT 'declined_too_often', caller, callee, seconds FROM declined_too_often;

CREATE VIEW calls_of_two (call_id) AS
-- Calls in a channel with two members.
  SELECT call_id FROM calls
  WHERE (SELECT count(*) FROM (SELECT 1 FROM channel_members WHERE channel = calls.channel LIMIT 3)) < 3;

CREATE VIEW do_count_request (username) AS
-- Counts a call, an invitation or a share of a person. NULL is nobody: a call is one request, however many it rings for.
  SELECT NULL WHERE 0;

CREATE TRIGGER request_is_counted
-- The first request after a minute begins a new window.
INSTEAD OF INSERT ON do_count_request
WHEN NEW.username IS NOT NULL
BEGIN
  UPDATE person_counts
  SET rings = CASE WHEN (SELECT ts FROM now) - rings_from_ts BETWEEN 0 AND 59.9999 THEN rings + 1 ELSE 1 END,
      rings_from_ts = CASE WHEN (SELECT ts FROM now) - rings_from_ts BETWEEN 0 AND 59.9999
                           THEN rings_from_ts ELSE (SELECT ts FROM now) END
  WHERE username = NEW.username;
END;

CREATE VIEW rings_near_a_limit (caller, callee) AS
-- Pairs whose next ring may come too soon. One search decides that for most rings.
  SELECT caller, callee FROM ring_counts
  WHERE refusals >= 3 OR rings >= (SELECT value FROM settings WHERE name = 'rings_per_pair' AND value > 0);

CREATE VIEW check_ring (call_id, caller, callee, invited_by) AS
-- Refuses a ring for `callee` that comes too soon. `invited_by` is NULL for those who are called at the start.
  SELECT NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER ring_comes_not_too_soon
-- A call to several people rings for all of them, however often some of them declined: otherwise one member could make a
-- channel uncallable by refusing. It is bounded by rings_per_pair. So a pause concerns calls of two, and invitations. A
-- guest has asked to come in.
INSTEAD OF INSERT ON check_ring
WHEN NEW.invited_by IS NULL
  OR NOT EXISTS (SELECT 1 FROM users WHERE username = NEW.callee AND guest_of IS NOT NULL)
BEGIN
  SELECT RAISE(ABORT, 'too_many_rings')
  WHERE EXISTS (SELECT 1 FROM too_many_rings WHERE caller = NEW.invited_by);

  SELECT RAISE(ABORT, 'too_many_rings_for_person')
  WHERE EXISTS (SELECT 1 FROM too_many_rings_for_person WHERE caller = NEW.caller AND callee = NEW.callee);

  SELECT RAISE(ABORT, 'declined_too_often')
  WHERE CASE WHEN EXISTS (SELECT 1 FROM declined_too_often WHERE caller = NEW.caller AND callee = NEW.callee)
             THEN NEW.invited_by IS NOT NULL OR EXISTS (SELECT 1 FROM calls_of_two WHERE call_id = NEW.call_id)
             ELSE 0 END;
END;

CREATE TRIGGER new_ring_comes_not_too_soon
-- A person is called or invited, whether it rings or they are busy.
BEFORE INSERT ON call_participants
WHEN (NEW.state = 'pending' OR NEW.missed_reason IS NOT NULL)
  AND (NEW.invited_by IS NOT NULL
       OR EXISTS (SELECT 1 FROM rings_near_a_limit
                  WHERE caller = (SELECT initiator FROM calls WHERE call_id = NEW.call_id) AND callee = NEW.username))
BEGIN
  INSERT INTO check_ring (call_id, caller, callee, invited_by)
  VALUES (NEW.call_id, coalesce(NEW.invited_by, (SELECT initiator FROM calls WHERE call_id = NEW.call_id)), NEW.username,
          NEW.invited_by);
END;

CREATE TRIGGER repeated_ring_comes_not_too_soon
-- A person is invited again. Pending stays pending, which does not ring again.
BEFORE UPDATE OF state ON call_participants
WHEN NEW.state = 'pending' AND OLD.state IS NOT 'pending'
BEGIN
  INSERT INTO check_ring (call_id, caller, callee, invited_by)
  VALUES (NEW.call_id, coalesce(NEW.invited_by, (SELECT initiator FROM calls WHERE call_id = NEW.call_id)), NEW.username,
          NEW.invited_by);
END;

CREATE VIEW do_count_ring (caller, callee, invited_by) AS
-- Counts a ring. `invited_by` is NULL for those who are called at the start: the call itself is counted as a request.
  SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER ring_is_counted
-- The first ring after a minute begins a new window. A guest has asked to come in.
INSTEAD OF INSERT ON do_count_ring
WHEN NEW.invited_by IS NULL
  OR NOT EXISTS (SELECT 1 FROM users WHERE username = NEW.callee AND guest_of IS NOT NULL)
BEGIN
  INSERT INTO ring_counts (caller, callee, rings, rings_from_ts)
  VALUES (NEW.caller, NEW.callee, 1, (SELECT ts FROM now))
  ON CONFLICT (caller, callee) DO UPDATE
  SET rings = CASE WHEN excluded.rings_from_ts - rings_from_ts BETWEEN 0 AND 59.9999 THEN rings + 1 ELSE 1 END,
      rings_from_ts = CASE WHEN excluded.rings_from_ts - rings_from_ts BETWEEN 0 AND 59.9999
                           THEN rings_from_ts ELSE excluded.rings_from_ts END;

  INSERT INTO do_count_request (username) VALUES (NEW.invited_by);
END;

CREATE TRIGGER new_ring_is_counted
-- A person is called or invited, whether it rings or they are busy.
AFTER INSERT ON call_participants
WHEN NEW.state = 'pending' OR NEW.missed_reason IS NOT NULL
BEGIN
  INSERT INTO do_count_ring (caller, callee, invited_by)
  VALUES (coalesce(NEW.invited_by, (SELECT initiator FROM calls WHERE call_id = NEW.call_id)), NEW.username,
          NEW.invited_by);
END;

CREATE TRIGGER repeated_ring_is_counted
-- A person is invited again.
AFTER UPDATE OF state ON call_participants
WHEN NEW.state = 'pending' AND OLD.state IS NOT 'pending'
BEGIN
  INSERT INTO do_count_ring (caller, callee, invited_by)
  VALUES (coalesce(NEW.invited_by, (SELECT initiator FROM calls WHERE call_id = NEW.call_id)), NEW.username,
          NEW.invited_by);
END;

CREATE TRIGGER refusal_is_counted
-- A timed-out ring, which has missed_ts, is no refusal. Neither is declining a call to several people.
AFTER UPDATE OF state ON call_participants
WHEN OLD.state = 'pending' AND NEW.state = 'rejected' AND NEW.missed_ts IS NULL
BEGIN
  UPDATE ring_counts SET refusals = refusals + 1, refused_ts = (SELECT ts FROM now)
  WHERE caller = coalesce(NEW.invited_by, (SELECT initiator FROM calls WHERE call_id = NEW.call_id))
    AND callee = NEW.username
    AND (NEW.invited_by IS NOT NULL OR EXISTS (SELECT 1 FROM calls_of_two WHERE call_id = NEW.call_id));
END;

CREATE TRIGGER answer_resets_refusals
-- An answer to any call counts, also one to several people.
AFTER UPDATE OF state ON call_participants
WHEN NEW.state = 'accepted' AND OLD.state IS NOT 'accepted'
  AND EXISTS (SELECT 1 FROM ring_counts
              WHERE caller = coalesce(NEW.invited_by, (SELECT initiator FROM calls WHERE call_id = NEW.call_id))
                AND callee = NEW.username AND refusals > 0)
BEGIN
  UPDATE ring_counts SET refusals = 0, refused_ts = NULL
  WHERE caller = coalesce(NEW.invited_by, (SELECT initiator FROM calls WHERE call_id = NEW.call_id))
    AND callee = NEW.username;
END;
