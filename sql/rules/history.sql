-- History: finished and missed calls.

CREATE VIEW personal_history AS
-- The finished calls that a person may see, from their side:
--   SELECT * FROM personal_history WHERE username = 'bob' AND channel = 'dm:alice:bob'
-- answered: the person took part. missed: it rang unanswered, or nobody answered their own call. declined: by the
-- person, or by all callees. cancelled: they hung up their own call before an answer.
  SELECT person.username, call.call_id, call.channel, call.initiator,
         coalesce((SELECT display_name FROM call_initiators AS named WHERE named.call_id = call.call_id),
                  call.initiator) AS initiator_display_name,
         call.started_ts, call.answered_ts, call.ended_ts,
         call.ended_reason,
         CASE WHEN call.answered_ts IS NOT NULL THEN round(max(call.ended_ts - call.answered_ts, 0), 3) END AS duration,
         CASE WHEN call.initiator = person.username AND person.number <= call.newest_number THEN
                CASE WHEN call.answered_ts IS NOT NULL THEN 'answered'
                     WHEN call.ended_reason = 'rejected' THEN 'declined'
                     WHEN call.ended_reason = 'timeout' OR call.ended_reason = 'busy' THEN 'missed'
                     ELSE 'cancelled' END
              WHEN mine.joined_ts IS NOT NULL THEN 'answered'
              WHEN mine.missed_ts IS NOT NULL THEN 'missed'
              WHEN mine.state IS NOT NULL THEN 'declined'
              WHEN call.answered_ts IS NOT NULL THEN 'answered'
              ELSE 'missed' END AS outcome,
         CASE WHEN mine.missed_ts IS NOT NULL THEN coalesce(mine.missed_reason, 'unanswered') END AS missed_reason,
         (SELECT json_group_array(json_object('username', username, 'display_name', display_name,
                                              'joined_ts', joined_ts, 'left_ts', left_ts,
                                              -- Of the last visit, and not of the ringing before an answer.
                                              'seconds', round(max(left_ts - max(joined_ts, call.answered_ts), 0), 3)))
          FROM (SELECT username, display_name, joined_ts, left_ts FROM current_participants
                WHERE call_id = call.call_id AND joined_ts IS NOT NULL ORDER BY joined_ts, username)) AS took_part,
         (SELECT json_group_array(json_object('username', username, 'display_name', display_name,
                                              'outcome', CASE WHEN missed_ts IS NULL THEN 'declined' ELSE 'missed' END))
          FROM (SELECT username, display_name, missed_ts FROM current_participants
                WHERE call_id = call.call_id AND joined_ts IS NULL ORDER BY username)) AS absent
  FROM current_calls AS call
  CROSS JOIN users AS person
  LEFT JOIN current_participants AS mine ON mine.call_id = call.call_id AND mine.username = person.username
    AND mine.number = person.number
  WHERE NOT call.is_live
    AND EXISTS (SELECT 1 FROM call_access AS access
                WHERE access.call_id = call.call_id AND access.username = person.username
                  AND access.state_access = 'granted');

CREATE VIEW history_json AS
-- A finished call as GET /calls/history gives it to a person.
  SELECT username, call_id, channel, started_ts,
         json_object('call_id', call_id, 'channel', channel, 'initiator', initiator,
                     'initiator_display_name', initiator_display_name, 'outcome', outcome,
                     'reason', ended_reason, 'missed_reason', missed_reason, 'duration', duration,
                     'started_ts', started_ts, 'answered_ts', answered_ts, 'ended_ts', ended_ts,
                     'participants', json(took_part), 'absent', json(absent)) AS json, outcome
  FROM personal_history;

CREATE VIEW missed_calls AS
-- Who missed which call, and why: it was unanswered, rang out or ended first, or did not ring, because they were busy on
-- another call or quiet. A removed user misses nothing.
  SELECT participant.username, call.call_id, call.channel, call.initiator,
         coalesce(participant.invited_by, call.initiator) AS called_by,
         coalesce((SELECT display_name FROM call_initiators AS named WHERE named.call_id = call.call_id),
                  call.initiator) AS initiator_display_name,
         coalesce(CASE WHEN participant.invited_by IS NULL
                       THEN (SELECT display_name FROM call_initiators AS named WHERE named.call_id = call.call_id)
                       ELSE (SELECT display_name FROM current_participants AS inviter
                             WHERE inviter.call_id = call.call_id AND inviter.username = participant.invited_by) END,
                  participant.invited_by, call.initiator) AS called_by_display_name,
         datetime(participant.missed_ts, 'unixepoch') AS missed_utc,
         participant.missed_ts, participant.missed_seen_ts IS NOT NULL AS seen,
         coalesce(participant.missed_reason, 'unanswered') AS reason
  FROM (SELECT stored.username, call_id, invited_by, missed_ts, missed_seen_ts, missed_reason
        FROM call_participants AS stored
        JOIN users AS person ON person.username = stored.username AND person.number = stored.number
        WHERE missed_ts IS NOT NULL
        UNION ALL
        SELECT username, call_id, invited_by, missed_ts, NULL, NULL FROM due_invitations) AS participant
  JOIN calls AS call ON call.call_id = participant.call_id;

CREATE VIEW missed_call_json AS
-- A missed call as GET /calls/missed gives it.
  SELECT username, call_id, missed_ts,
         json_object('call_id', call_id, 'channel', channel, 'initiator', initiator,
                     'initiator_display_name', initiator_display_name, 'called_by', called_by,
                     'called_by_display_name', called_by_display_name, 'missed_ts', missed_ts, 'reason', reason,
                     'seen', json(CASE WHEN seen THEN 'true' ELSE 'false' END)) AS json
  FROM missed_calls;

-- Pruning

CREATE VIEW history_cutoff (ts) AS
-- Calls and shares that ended up to this time are too old. NULL if all are kept.
  SELECT (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'history_max_age' AND value > 0);

CREATE VIEW history_due (is_due) AS
-- Whether a step of pruning would find anything. The server asks once a second.
  SELECT EXISTS (SELECT 1 FROM calls WHERE NOT is_live AND ended_ts <= (SELECT ts FROM history_cutoff))
      OR EXISTS (SELECT 1 FROM screenshares WHERE state = 'ended' AND ended_ts <= (SELECT ts FROM history_cutoff));

CREATE VIEW prune_history (older_than_seconds) AS
-- Deletes the oldest calls and shares that ended so many seconds ago, at most 25 of each. One long statement would block
-- all writes, so this is repeated until nothing is left:
--   INSERT INTO prune_history (older_than_seconds) VALUES (365 * 86400)
  SELECT NULL WHERE 0;

CREATE TRIGGER prune_history_deletes_a_step
-- A call whose events are still in the log stays: a client that resumes would not learn that it has ended.
INSTEAD OF INSERT ON prune_history
BEGIN
  SELECT RAISE(ABORT, 'history_max_age_too_short')
  WHERE NEW.older_than_seconds IS NULL
     OR NEW.older_than_seconds < (SELECT value FROM settings WHERE name = 'events_max_age');

  DELETE FROM calls
  WHERE call_id IN (SELECT call_id FROM calls
                    WHERE NOT is_live AND ended_ts <= (SELECT ts FROM now) - NEW.older_than_seconds
                    ORDER BY ended_ts, call_id LIMIT 25);

  DELETE FROM screenshares
  WHERE share_id IN (SELECT share_id FROM screenshares
                     WHERE state = 'ended' AND ended_ts <= (SELECT ts FROM now) - NEW.older_than_seconds
                     ORDER BY ended_ts, share_id LIMIT 25);
END;

CREATE VIEW do_forget_dm (channel) AS
-- Deletes the members of a DM without calls and shares. Its name has them, if it is used again.
  SELECT NULL WHERE 0;

CREATE TRIGGER unused_dm_has_no_members
-- Rows of DMs that were used once would stay for ever.
INSTEAD OF INSERT ON do_forget_dm
WHEN NEW.channel GLOB 'dm:*'
  AND NOT EXISTS (SELECT 1 FROM calls WHERE channel = NEW.channel)
  AND NOT EXISTS (SELECT 1 FROM screenshares WHERE channel = NEW.channel)
BEGIN
  DELETE FROM dm_members WHERE channel = NEW.channel;
END;

CREATE TRIGGER deleted_share_may_be_the_last_of_its_dm
-- As for calls in deleted_call_takes_its_participants.
AFTER DELETE ON screenshares
BEGIN
  INSERT INTO do_forget_dm (channel) VALUES (OLD.channel);
END;

CREATE TRIGGER used_dm_keeps_its_members
-- They read its history. A removed user reads none.
BEFORE DELETE ON dm_members
WHEN EXISTS (SELECT 1 FROM users WHERE username = OLD.username)
  AND (EXISTS (SELECT 1 FROM calls WHERE channel = OLD.channel)
       OR EXISTS (SELECT 1 FROM screenshares WHERE channel = OLD.channel))
BEGIN
  SELECT RAISE(ABORT, 'membership_is_fixed');
END;
