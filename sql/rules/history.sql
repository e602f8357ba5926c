-- History: finished and missed calls.

CREATE VIEW personal_history AS
-- The finished calls that a person may see, from their side:
--   SELECT * FROM personal_history WHERE username = 'bob' AND channel = 'dm:alice:bob'
-- answered: the person took part. missed: it rang unanswered, or nobody answered their own call. declined: by the
-- person, or by all callees. cancelled: they hung up their own call before an answer.
  SELECT person.username, call.call_id, call.channel, call.initiator, call.started_ts, call.answered_ts, call.ended_ts,
         call.ended_reason,
         CASE WHEN call.answered_ts IS NOT NULL THEN round(max(call.ended_ts - call.answered_ts, 0), 3) END AS duration,
         CASE WHEN call.initiator = person.username THEN
                CASE WHEN call.answered_ts IS NOT NULL THEN 'answered'
                     WHEN call.ended_reason = 'rejected' THEN 'declined'
                     WHEN call.ended_reason = 'timeout' THEN 'missed'
                     ELSE 'cancelled' END
              WHEN mine.joined_ts IS NOT NULL THEN 'answered'
              WHEN mine.missed_ts IS NOT NULL THEN 'missed'
              WHEN mine.state IS NOT NULL THEN 'declined'
              WHEN call.answered_ts IS NOT NULL THEN 'answered'
              ELSE 'missed' END AS outcome,
         (SELECT json_group_array(json_object('username', username, 'joined_ts', joined_ts, 'left_ts', left_ts))
          FROM (SELECT username, joined_ts, left_ts FROM current_participants
                WHERE call_id = call.call_id AND joined_ts IS NOT NULL ORDER BY joined_ts, username)) AS took_part
  FROM current_calls AS call
  CROSS JOIN users AS person
  LEFT JOIN current_participants AS mine ON mine.call_id = call.call_id AND mine.username = person.username
  WHERE NOT call.is_live
    AND EXISTS (SELECT 1 FROM call_access AS access
                WHERE access.call_id = call.call_id AND access.username = person.username
                  AND access.state_access = 'granted');

CREATE VIEW history_json AS
-- A finished call as GET /calls/history gives it to a person.
  SELECT username, call_id, channel, started_ts,
         json_object('call_id', call_id, 'channel', channel, 'initiator', initiator, 'outcome', outcome,
                     'reason', ended_reason, 'duration', duration, 'started_ts', started_ts, 'answered_ts', answered_ts,
                     'ended_ts', ended_ts, 'participants', json(took_part)) AS json
  FROM personal_history;

CREATE VIEW missed_calls AS
-- Who missed which call: it rang unanswered, or ended before they answered.
  SELECT participant.username, call.call_id, call.channel, call.initiator,
         coalesce(participant.invited_by, call.initiator) AS called_by,
         datetime(participant.missed_ts, 'unixepoch') AS missed_utc,
         participant.missed_ts, participant.missed_seen_ts IS NOT NULL AS seen
  FROM (SELECT username, call_id, invited_by, missed_ts, missed_seen_ts FROM call_participants
        WHERE missed_ts IS NOT NULL
        UNION ALL
        SELECT username, call_id, invited_by, missed_ts, NULL FROM due_invitations) AS participant
  JOIN calls AS call ON call.call_id = participant.call_id;

CREATE VIEW missed_call_json AS
-- A missed call as GET /calls/missed gives it.
  SELECT username, call_id, missed_ts,
         json_object('call_id', call_id, 'channel', channel, 'initiator', initiator, 'called_by', called_by,
                     'missed_ts', missed_ts, 'seen', json(CASE WHEN seen THEN 'true' ELSE 'false' END)) AS json
  FROM missed_calls;
