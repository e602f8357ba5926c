-- The sweep: every rule with a time limit, and the rows that are due.
--
-- Readers do not wait for it: current_calls, current_participants, incoming_calls and live_sessions show what a sweep
-- would store.

CREATE VIEW due_absences AS
-- Accepted participants of active calls who are absent: the last proof of presence is too old, or a departure that began
-- was not stopped.
  SELECT participant.call_id, participant.username
  FROM call_participants AS participant
  JOIN calls AS call ON call.call_id = participant.call_id
  WHERE participant.state = 'accepted' AND participant.last_seen_ts <= (SELECT ts FROM presence_cutoff)
    AND call.state = 'active'
  UNION ALL
  SELECT participant.call_id, participant.username
  FROM call_participants AS participant
  JOIN calls AS call ON call.call_id = participant.call_id
  WHERE participant.state = 'accepted' AND participant.leaves_ts <= (SELECT ts FROM now)
    AND call.state = 'active';

CREATE VIEW due_shares AS
-- Active shares whose sharer is absent.
  SELECT share_id FROM screenshares
  WHERE state = 'active' AND last_seen_ts <= (SELECT ts FROM presence_cutoff)
  UNION ALL
  SELECT share_id FROM screenshares
  WHERE state = 'active' AND leaves_ts <= (SELECT ts FROM now);

CREATE VIEW due_invitations AS
-- Pending invitations that have timed out, and when.
  SELECT call_id, username, role, invited_by, round(invited_ts + (SELECT timeout FROM ring_cutoff), 3) AS missed_ts
  FROM call_participants
  WHERE state = 'pending' AND invited_ts <= (SELECT ts FROM ring_cutoff);

CREATE VIEW due_unanswered_calls AS
-- Ringing calls without a callee to ring, such as those that a shell made without participants. With callees, the last
-- invitation that times out rejects the call.
  SELECT call_id FROM calls
  WHERE state = 'ringing' AND started_ts <= (SELECT ts FROM ring_cutoff)
    AND NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = calls.call_id AND role = 'participant' AND in_call);

CREATE VIEW due_overlong_calls AS
-- Active calls that have lasted call_max_seconds.
  SELECT call_id FROM calls
  WHERE state = 'active' AND answered_ts <= (SELECT ts FROM duration_cutoff);

CREATE VIEW due_call_media AS
-- Chunks that are too old. Init segments stay: a late viewer needs them.
  SELECT id FROM call_media WHERE is_init = 0 AND ts <= (SELECT ts FROM media_cutoff);

CREATE VIEW due_share_media AS
-- The same for shares.
  SELECT id FROM share_media WHERE is_init = 0 AND ts <= (SELECT ts FROM media_cutoff);

CREATE VIEW due_sessions AS
-- Expired sessions.
  SELECT token_hash FROM sessions WHERE expires_ts <= (SELECT ts FROM now);

CREATE VIEW due_login_attempts AS
-- Failed logins that no longer count.
  SELECT id FROM login_attempts WHERE ts <= (SELECT ts FROM login_cutoff);

CREATE VIEW due_events AS
-- By number and by age. Counting a hundred thousand rows would take long, but ids have no gaps except those in event_gaps.
-- Signals count, and so do deleted ones. The log is in the order of time, so that the oldest event decides whether there
-- are any that are too old. At most 1,000 at a time keep a sweep short.
  SELECT id FROM (
    SELECT id FROM events
    WHERE id <= (SELECT newest_event - value FROM clock JOIN settings ON name = 'events_max_count')
                - (SELECT coalesce(sum(next_id - after_id), 0) FROM event_gaps)
    ORDER BY id LIMIT 1000)
  UNION ALL
  SELECT id FROM (
    SELECT id, ts FROM events
    WHERE id >= (SELECT CASE WHEN ts <= (SELECT ts FROM event_cutoff) THEN id END
                 FROM events WHERE id = (SELECT min(id) FROM events))
    ORDER BY id LIMIT 1000)
  WHERE ts <= (SELECT ts FROM event_cutoff);

CREATE VIEW durable_sweep_due (is_due) AS
-- Whether a sweep would change calls, shares, sessions or logins. Every part is a search in an index.
  SELECT EXISTS (SELECT 1 FROM due_absences)
      OR EXISTS (SELECT 1 FROM due_shares)
      OR EXISTS (SELECT 1 FROM due_invitations)
      OR EXISTS (SELECT 1 FROM due_unanswered_calls)
      OR EXISTS (SELECT 1 FROM due_overlong_calls)
      OR EXISTS (SELECT 1 FROM due_sessions)
      OR EXISTS (SELECT 1 FROM due_guests)
      OR EXISTS (SELECT 1 FROM due_links)
      OR EXISTS (SELECT 1 FROM due_login_attempts);

CREATE VIEW buffer_sweep_due (is_due) AS
-- Whether a sweep would delete old media, events and idempotency keys, and deliveries that are of no use. A power loss may
-- undo that: the next sweep repeats it.
  SELECT EXISTS (SELECT 1 FROM due_call_media)
      OR EXISTS (SELECT 1 FROM due_share_media)
      OR EXISTS (SELECT 1 FROM due_webhook_failures)
      OR EXISTS (SELECT 1 FROM due_push_deliveries)
      OR EXISTS (SELECT 1 FROM due_idempotency_keys)
      OR EXISTS (SELECT 1 FROM due_events);

CREATE VIEW sweep_due (is_due) AS
-- Whether a sweep would find anything. The server asks twice a second.
  SELECT (SELECT is_due FROM durable_sweep_due) OR (SELECT is_due FROM buffer_sweep_due);

CREATE VIEW sync_due (is_due) AS
-- Whether even a commit of signals, media and presence has to be on the disk before it is acknowledged.
  SELECT (SELECT value FROM settings WHERE name = 'sync_all') OR (SELECT is_due FROM durable_sweep_due);

CREATE VIEW do_sweep (unused) AS
-- Applies every time limit: INSERT INTO do_sweep DEFAULT VALUES.
  SELECT NULL WHERE 0;

CREATE TRIGGER sweep_applies_time_limits
-- The order decides the reason of a call for which two limits are over.
INSTEAD OF INSERT ON do_sweep
WHEN (SELECT sweeps FROM clock WHERE id = 1)
BEGIN
  -- Absent participants leave. If all are absent, the call ends as abandoned first; otherwise the last departure but
  -- one would record a hang-up. If none of them was seen since a restart, the restart is the reason.
  UPDATE calls
  SET state = 'ended',
      ended_reason = CASE WHEN EXISTS (SELECT 1 FROM call_participants
                                       WHERE call_id = calls.call_id AND state = 'accepted'
                                         AND last_seen_ts IS NOT NULL)
                          THEN 'abandoned' ELSE 'restart' END
  WHERE call_id IN (SELECT call_id FROM due_absences)
    AND NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = calls.call_id AND state = 'accepted'
                      AND (call_id, username) NOT IN (SELECT call_id, username FROM due_absences));

  UPDATE call_participants SET leaves_ts = (SELECT ts FROM now), state = 'left'
  WHERE state = 'accepted' AND (call_id, username) IN (SELECT call_id, username FROM due_absences);

  UPDATE screenshares SET state = 'ended' WHERE share_id IN (SELECT share_id FROM due_shares);

  -- Unanswered invitations time out. A late sweep still stores the time of the timeout, unless the call was just
  -- abandoned. A re-invited initiator comes first: timing out the last callee ends the call and settles the remaining
  -- rows. If the same UPDATE then reached the initiator's row, it would be refused, and the whole sweep with it.
  UPDATE call_participants
  SET missed_ts = round(invited_ts + (SELECT timeout FROM ring_cutoff), 3), state = 'rejected'
  WHERE (call_id, username) IN (SELECT call_id, username FROM due_invitations WHERE role = 'initiator');

  UPDATE call_participants
  SET missed_ts = round(invited_ts + (SELECT timeout FROM ring_cutoff), 3), state = 'rejected'
  WHERE (call_id, username) IN (SELECT call_id, username FROM due_invitations);

  -- A ringing call without callees would block its channel permanently.
  UPDATE calls
  SET ended_ts = (SELECT ended_ts FROM current_calls AS call WHERE call.call_id = calls.call_id),
      state = 'rejected', ended_reason = 'timeout'
  WHERE call_id IN (SELECT call_id FROM due_unanswered_calls);

  -- A forgotten call ends, where an admin has set a limit.
  UPDATE calls SET state = 'ended', ended_reason = 'max_duration'
  WHERE call_id IN (SELECT call_id FROM due_overlong_calls);

  DELETE FROM call_media WHERE id IN (SELECT id FROM due_call_media);

  DELETE FROM share_media WHERE id IN (SELECT id FROM due_share_media);

  -- This only tidies up: live_sessions hides an expired session at once.
  DELETE FROM sessions WHERE token_hash IN (SELECT token_hash FROM due_sessions);

  DELETE FROM users WHERE number IN (SELECT number FROM due_guests);

  DELETE FROM links WHERE token_hash IN (SELECT token_hash FROM due_links);

  DELETE FROM login_attempts WHERE id IN (SELECT id FROM due_login_attempts);

  DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM due_webhook_failures);

  -- After the invitations: the end of a ring makes another delivery of its row.
  DELETE FROM push_deliveries
  WHERE (subscription, call_id) IN (SELECT subscription, call_id FROM due_push_deliveries);

  DELETE FROM idempotency_keys WHERE (username, key) IN (SELECT username, key FROM due_idempotency_keys);

  -- Last, because the other steps write events.
  DELETE FROM events WHERE id IN (SELECT id FROM due_events);

  DELETE FROM event_gaps WHERE next_id < (SELECT min(id) FROM events);
END;

CREATE TRIGGER pinning_the_clock_sweeps
-- A transaction that pins the clock sees no timed-out call, no expired session and no stale media. Every commit of the
-- server pins it, so that nothing is due is the usual case.
AFTER UPDATE OF pinned_ts ON clock
WHEN NEW.pinned_ts IS NOT NULL AND NEW.sweeps AND (SELECT is_due FROM sweep_due)
BEGIN
  INSERT INTO do_sweep (unused) VALUES (NULL);
END;

CREATE VIEW return_deadline (ts) AS
-- At a start: when the people on a call have to be back. No row without a restart_grace.
  SELECT (SELECT ts FROM now) + value FROM settings WHERE name = 'restart_grace' AND value > 0;

CREATE VIEW start_server (machine_ts) AS
-- The server starts: INSERT INTO start_server (machine_ts) SELECT ts FROM now.
  SELECT NULL WHERE 0;

CREATE TRIGGER server_start_ends_what_was_live
-- The clients of an earlier run have lost their connections. With restart_grace they have time to return. What timed out
-- in between has timed out. Signals and media were for connections that no longer exist. A machine without a battery may
-- start decades early: what was live then ends at the newest time in the file, and the times that remain move back to
-- the machine's time. Otherwise they would stay in the future once the machine's clock is right.
INSTEAD OF INSERT ON start_server
BEGIN
  -- Without a sweep, because presence was renewed at the machine's time.
  UPDATE clock SET pinned_ts = (SELECT ts FROM newest_time), sweeps = 0
  WHERE id = 1 AND pinned_ts < (SELECT ts FROM newest_time) AND NEW.machine_ts IS NOT NULL;

  INSERT INTO clock_pause (unused) VALUES (NULL);

  UPDATE clock SET sweeps = 1 WHERE id = 1 AND pinned_ts > NEW.machine_ts;

  INSERT INTO do_sweep (unused) VALUES (NULL);

  UPDATE calls SET state = 'ended', ended_reason = 'restart'
  WHERE is_live AND NOT EXISTS (SELECT 1 FROM return_deadline);

  UPDATE screenshares SET state = 'ended'
  WHERE state = 'active' AND NOT EXISTS (SELECT 1 FROM return_deadline);

  UPDATE call_participants SET last_seen_ts = NULL, leaves_ts = (SELECT ts FROM return_deadline)
  WHERE state = 'accepted';

  UPDATE screenshares SET last_seen_ts = NULL, leaves_ts = (SELECT ts FROM return_deadline)
  WHERE state = 'active';

  DELETE FROM call_signals;

  DELETE FROM call_media;

  DELETE FROM share_media;

  UPDATE clock SET step_seconds = NEW.machine_ts - pinned_ts WHERE id = 1 AND pinned_ts > NEW.machine_ts;
END;
