-- Presence: no ghost calls. And history: what people ask such systems for.

-- Whom nobody has seen for long is not there. If that is everyone on an active call, it was abandoned; otherwise the silent
-- leave it to the others. In this order: whoever leaves last but one would end the call with a hang-up.
CREATE TRIGGER unseen_participants_leave
INSTEAD OF INSERT ON sweep
BEGIN
  UPDATE calls SET state = 'ended', ended_reason = 'abandoned'
  WHERE state = 'active'
    AND call_id IN (SELECT call_id FROM call_participants
                    WHERE state = 'accepted'
                      AND last_seen_ts <= NEW.ts - (SELECT value FROM settings WHERE name = 'presence_timeout'))
    AND NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = calls.call_id AND state = 'accepted'
                      AND last_seen_ts > NEW.ts - (SELECT value FROM settings WHERE name = 'presence_timeout'));

  UPDATE call_participants SET state = 'left'
  WHERE state = 'accepted'
    AND last_seen_ts <= NEW.ts - (SELECT value FROM settings WHERE name = 'presence_timeout')
    AND EXISTS (SELECT 1 FROM calls WHERE call_id = call_participants.call_id AND state = 'active');
END;

-- `INSERT INTO seen (username, call_id)` notes that somebody is there: on one call, or with call_id NULL on all of theirs. It
-- is noted at most every presence_interval, so that polling does not become writing. It never holds a row.
CREATE VIEW seen (username, call_id) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT) WHERE 0;

CREATE TRIGGER seeing_a_participant_is_noted
INSTEAD OF INSERT ON seen
BEGIN
  UPDATE call_participants SET last_seen_ts = (SELECT ts FROM now)
  WHERE username = NEW.username
    AND state IN ('pending', 'accepted') AND state = 'accepted' -- the first is what the index of live rows is for
    AND (NEW.call_id IS NULL OR call_id = NEW.call_id)
    AND last_seen_ts <= (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'presence_interval');
END;

-- Who could be noted as seen now: on a call, and not noted for presence_interval.
CREATE VIEW unnoted_participants AS
  SELECT username, call_id
  FROM call_participants
  WHERE state = 'accepted'
    AND last_seen_ts <= (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'presence_interval');

-- The finished calls that somebody may see in a channel, from their side:
--   SELECT * FROM personal_history WHERE username = 'bob' AND channel = 'dm:alice:bob'
-- answered if they took part; missed if it rang in vain for them or nobody answered their own call; declined by them, or by
-- all the others; cancelled if they hung up their own call before an answer.
CREATE VIEW personal_history AS
  SELECT member.username, call.call_id, call.channel, call.initiator, call.started_ts, call.answered_ts, call.ended_ts,
         call.ended_reason,
         CASE WHEN call.answered_ts IS NOT NULL THEN round(max(call.ended_ts - call.answered_ts, 0), 3) END AS duration,
         CASE WHEN call.initiator = member.username THEN
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
          FROM (SELECT username, joined_ts, left_ts FROM call_participants
                WHERE call_id = call.call_id AND joined_ts IS NOT NULL ORDER BY joined_ts, username)) AS took_part
  FROM calls AS call
  CROSS JOIN users AS member
  LEFT JOIN call_participants AS mine ON mine.call_id = call.call_id AND mine.username = member.username
  WHERE call.state IN ('ended', 'rejected')
    AND EXISTS (SELECT 1 FROM call_readers AS reader
                WHERE reader.call_id = call.call_id AND reader.username = member.username);

-- The calls that go on now in the channels of a person, or to which they were asked; most stand here twice.
CREATE VIEW live_calls_of AS
  SELECT member.username, call.call_id
  FROM channel_members AS member
  JOIN calls AS call ON call.channel = member.channel AND call.state IN ('ringing', 'active')
  UNION ALL
  SELECT participant.username, participant.call_id
  FROM call_participants AS participant
  WHERE participant.state IN ('pending', 'accepted');
