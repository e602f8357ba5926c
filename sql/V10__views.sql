-- What handlers and admins read. Views of the first kind show calls as they are now, even if a timeout has not been swept
-- into the rows yet; those of the second kind are for people at a shell.

-- Participants as they are now: an invitation that is too old has stopped ringing.
CREATE VIEW current_participants AS
  SELECT call_id, username, role,
         CASE WHEN state = 'pending'
                AND invited_ts <= (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'ringing_timeout')
              THEN 'rejected' ELSE state END AS state,
         joined_ts, left_ts, invited_ts
  FROM call_participants;

-- Calls as they are now: a ringing call with nobody left to ring has been rejected.
CREATE VIEW current_calls AS
  SELECT call_id, channel, initiator,
         CASE WHEN timed_out THEN 'rejected' ELSE state END AS state,
         started_ts, answered_ts,
         CASE WHEN timed_out
              THEN round((SELECT coalesce(max(invited_ts), started_ts) FROM call_participants
                          WHERE call_id = stored.call_id AND state = 'pending')
                         + (SELECT value FROM settings WHERE name = 'ringing_timeout'), 3)
              ELSE ended_ts END AS ended_ts,
         screenshare_user,
         CASE WHEN timed_out THEN 'timeout' ELSE ended_reason END AS ended_reason, version
  FROM (SELECT *, state = 'ringing'
               AND started_ts <= (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'ringing_timeout')
               AND NOT EXISTS (SELECT 1 FROM call_participants
                               WHERE call_id = calls.call_id AND role = 'participant'
                                 AND (state = 'accepted'
                                      OR (state = 'pending'
                                          AND invited_ts > (SELECT ts FROM now)
                                            - (SELECT value FROM settings WHERE name = 'ringing_timeout')))) AS timed_out
        FROM calls) AS stored;

-- What rings now, for whom: SELECT * FROM incoming_calls WHERE username = 'bob'.
CREATE VIEW incoming_calls AS
  SELECT participant.username, call.call_id, call.channel, call.initiator, call.started_ts, participant.invited_ts,
         participant.invited_by,
         round(participant.invited_ts + (SELECT value FROM settings WHERE name = 'ringing_timeout')
               - (SELECT ts FROM now), 3) AS seconds_left
  FROM call_participants AS participant
  JOIN calls AS call ON call.call_id = participant.call_id
  WHERE participant.state = 'pending'
    AND participant.invited_ts > (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'ringing_timeout')
    AND call.state IN ('ringing', 'active');

-- One call as GET /calls/ID/state gives it, as JSON. The list is put together as text: as JSON inside JSON it would be read and
-- written once more at every look.
CREATE VIEW call_state_json AS
  SELECT call_id, channel, version,
         rtrim(json_object(
           'call_id', call_id, 'channel', channel, 'initiator', initiator, 'state', state, 'started_ts', started_ts,
           'answered_ts', answered_ts, 'ended_ts', ended_ts, 'screenshare_user', screenshare_user,
           'ended_reason', ended_reason, 'version', version), '}')
         || ',"participants":['
         || (SELECT coalesce(group_concat(json_object('username', username, 'role', role, 'state', state,
                                                      'joined_ts', joined_ts, 'left_ts', left_ts)), '')
             FROM (SELECT * FROM current_participants WHERE call_id = call.call_id ORDER BY role, username))
         || ']}' AS json
  FROM current_calls AS call;

-- Who may look at a call: its participants and the members of its channel. Most are both, and stand here twice.
CREATE VIEW call_readers AS
  SELECT call_id, username FROM call_participants
  UNION ALL
  SELECT call.call_id, member.username
  FROM calls AS call JOIN channel_members AS member ON member.channel = call.channel;

-- For admins: the calls that go on now.
CREATE VIEW live_calls AS
  SELECT call_id, channel, state, initiator,
         datetime(started_ts, 'unixepoch') AS started_utc,
         CAST((SELECT ts FROM now) - started_ts AS INTEGER) AS seconds,
         (SELECT group_concat(username, ', ')
          FROM (SELECT username FROM current_participants
                WHERE call_id = call.call_id AND state = 'accepted' ORDER BY username)) AS on_the_call,
         (SELECT group_concat(username, ', ')
          FROM (SELECT username FROM current_participants
                WHERE call_id = call.call_id AND state = 'pending' ORDER BY username)) AS still_ringing,
         screenshare_user AS sharing_a_screen
  FROM current_calls AS call
  WHERE call_id IN (SELECT call_id FROM calls WHERE state IN ('ringing', 'active'))
    AND state IN ('ringing', 'active');

-- For admins: the calls that are over, one row each.
--   SELECT * FROM call_history WHERE channel = 'dm:alice:bob' ORDER BY started_ts DESC LIMIT 20;
CREATE VIEW call_history AS
  SELECT call_id, channel, initiator,
         CASE WHEN answered_ts IS NOT NULL THEN 'answered'
              WHEN ended_reason = 'rejected' THEN 'declined'
              WHEN ended_reason = 'timeout' THEN 'missed'
              WHEN ended_reason = 'hangup' THEN 'cancelled'
              ELSE 'interrupted' END AS outcome,
         ended_reason,
         datetime(started_ts, 'unixepoch') AS started_utc,
         CASE WHEN answered_ts IS NOT NULL THEN round(max(ended_ts - answered_ts, 0), 3) END AS duration,
         (SELECT group_concat(username, ', ')
          FROM (SELECT username FROM call_participants
                WHERE call_id = call.call_id AND joined_ts IS NOT NULL ORDER BY joined_ts, username)) AS took_part,
         started_ts, answered_ts, ended_ts
  FROM current_calls AS call
  WHERE state IN ('ended', 'rejected');

-- For admins: who missed which call, because it rang in vain or was over before they answered.
CREATE VIEW missed_calls AS
  SELECT participant.username, call.call_id, call.channel, call.initiator,
         coalesce(participant.invited_by, call.initiator) AS called_by,
         datetime(participant.missed_ts, 'unixepoch') AS missed_utc,
         participant.missed_ts, participant.missed_seen_ts IS NOT NULL AS seen
  FROM call_participants AS participant
  JOIN calls AS call ON call.call_id = participant.call_id
  WHERE participant.missed_ts IS NOT NULL;

-- For admins: everything that should be impossible. Empty, always; a row says what is wrong in words. It reads whole tables,
-- so it takes a while on a large file.
CREATE VIEW integrity_violations (violation) AS
  SELECT 'the clock has lost its row' WHERE NOT EXISTS (SELECT 1 FROM clock)
  UNION ALL
  SELECT 'the live calls ' || group_concat(call_id, ' and ') || ' are in one channel, ' || channel
  FROM calls WHERE state IN ('ringing', 'active') GROUP BY channel HAVING count(*) > 1
  UNION ALL
  SELECT 'call ' || call_id || ' is in a direct-message channel with an unsorted name, ' || channel
  FROM calls AS call
  WHERE channel GLOB 'dm:*'
    AND channel IS NOT (SELECT 'dm:' || group_concat(username, ':')
                        FROM (SELECT DISTINCT value AS username
                              FROM json_each('[' || replace(json_quote(substr(call.channel, 4)), ':', '","') || ']')
                              ORDER BY value))
  UNION ALL
  SELECT 'call ' || call_id || ' is ' || state || ' but does not say when or why it ended'
  FROM calls WHERE state IN ('ended', 'rejected') AND (ended_ts IS NULL OR ended_reason IS NULL)
  UNION ALL
  SELECT 'call ' || call_id || ' is active but was never answered'
  FROM calls WHERE state = 'active' AND answered_ts IS NULL
  UNION ALL
  SELECT 'call ' || call_id || ' is ringing although ' || username || ' has answered'
  FROM calls JOIN call_participants USING (call_id)
  WHERE calls.state = 'ringing' AND role = 'participant' AND call_participants.state = 'accepted'
  UNION ALL
  SELECT 'call ' || call_id || ' is ringing but has nobody to ring'
  FROM calls
  WHERE state = 'ringing'
    AND started_ts <= (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'ringing_timeout') - 5
    AND NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = calls.call_id AND role = 'participant' AND state IN ('pending', 'accepted'))
  UNION ALL
  SELECT 'call ' || call_id || ' is over but ' || username || ' is still ' || call_participants.state || ' in it'
  FROM calls JOIN call_participants USING (call_id)
  WHERE calls.state IN ('ended', 'rejected') AND call_participants.state IN ('pending', 'accepted')
  UNION ALL
  SELECT 'the screen in call ' || call_id || ' is shared by ' || screenshare_user || ', who is not on an active call'
  FROM calls
  WHERE screenshare_user IS NOT NULL
    AND (state <> 'active' OR NOT EXISTS (SELECT 1 FROM call_participants
                                          WHERE call_id = calls.call_id AND username = calls.screenshare_user
                                            AND state = 'accepted'))
  UNION ALL
  SELECT username || ' takes part in call ' || call_id || ', which does not exist'
  FROM call_participants WHERE call_id NOT IN (SELECT call_id FROM calls)
  UNION ALL
  SELECT username || ' is on call ' || call_id || ' but was removed'
  FROM call_participants
  WHERE state IN ('pending', 'accepted') AND username NOT IN (SELECT username FROM users)
  UNION ALL
  SELECT username || ' has the wrong role in call ' || call_id || ', ' || role
  FROM calls JOIN call_participants USING (call_id)
  WHERE (role = 'initiator') IS NOT (username = initiator)
  UNION ALL
  SELECT username || ' is accepted in call ' || call_id || ' but has no time of joining, or one of leaving'
  FROM call_participants WHERE state = 'accepted' AND (joined_ts IS NULL OR left_ts IS NOT NULL)
  UNION ALL
  SELECT username || ' is asked to call ' || call_id || ' but it is not known since when'
  FROM call_participants WHERE state = 'pending' AND invited_ts IS NULL
  UNION ALL
  SELECT 'the signals to ' || to_user || ' in ' || call_id || ' are ' || sum(is_signal) || ' but counted as ' || sum(kept)
  FROM (SELECT call_id, to_user, 1 AS is_signal, 0 AS kept FROM call_signals
        UNION ALL
        SELECT call_id, to_user, 0, kept FROM signal_counts)
  GROUP BY call_id, to_user HAVING sum(is_signal) <> sum(kept)
  UNION ALL
  SELECT 'signal ' || id || ' belongs to no live call or share'
  FROM call_signals
  WHERE call_id NOT IN (SELECT call_id FROM calls WHERE state IN ('ringing', 'active'))
    AND call_id NOT IN (SELECT share_id FROM screenshares WHERE state = 'active')
  UNION ALL
  SELECT 'media chunk ' || id || ' belongs to no live call'
  FROM call_media WHERE call_id NOT IN (SELECT call_id FROM calls WHERE state IN ('ringing', 'active'))
  UNION ALL
  SELECT 'media chunk ' || id || ' belongs to no active share'
  FROM share_media WHERE share_id NOT IN (SELECT share_id FROM screenshares WHERE state = 'active')
  UNION ALL
  SELECT sharer || ' shares twice in ' || channel || ': ' || group_concat(share_id, ' and ')
  FROM screenshares WHERE state = 'active' GROUP BY channel, sharer HAVING count(*) > 1
  UNION ALL
  SELECT 'share ' || share_id || ' has ended but does not say when'
  FROM screenshares WHERE state = 'ended' AND ended_ts IS NULL
  UNION ALL
  SELECT 'share ' || share_id || ' is by ' || sharer || ', who is not a member of ' || channel
  FROM screenshares
  WHERE state = 'active' AND NOT EXISTS (SELECT 1 FROM channel_members
                                         WHERE channel = screenshares.channel AND username = screenshares.sharer)
  UNION ALL
  SELECT 'a session is of ' || username || ', who was removed'
  FROM sessions WHERE username NOT IN (SELECT username FROM users)
  UNION ALL
  SELECT username || ' is a member of channel ' || channel || ', but one of them was removed'
  FROM private_channel_members
  WHERE username NOT IN (SELECT username FROM users) OR channel_id NOT IN (SELECT id FROM private_channels);

-- For the server, once a second: whether a sweep would find anything to do. Every part is a search in a partial index.
CREATE VIEW due (is_due) AS
  SELECT EXISTS (SELECT 1 FROM call_participants
                 WHERE state = 'pending'
                   AND invited_ts <= (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'ringing_timeout'))
      OR EXISTS (SELECT 1 FROM calls
                 WHERE state = 'ringing'
                   AND started_ts <= (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'ringing_timeout')
                   AND NOT EXISTS (SELECT 1 FROM call_participants
                                   WHERE call_id = calls.call_id AND role = 'participant'
                                     AND state IN ('pending', 'accepted')))
      OR EXISTS (SELECT 1 FROM call_media
                 WHERE is_init = 0
                   AND ts <= (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'media_buffer_seconds'))
      OR EXISTS (SELECT 1 FROM share_media
                 WHERE is_init = 0
                   AND ts <= (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'media_buffer_seconds'))
      OR EXISTS (SELECT 1 FROM sessions WHERE expires_ts <= (SELECT ts FROM now))
      OR EXISTS (SELECT 1 FROM login_attempts
                 WHERE ts <= (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'login_window'))
      OR EXISTS (SELECT 1 FROM call_participants
                 WHERE state = 'accepted'
                   AND last_seen_ts <= (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'presence_timeout')
                   AND EXISTS (SELECT 1 FROM calls WHERE call_id = call_participants.call_id AND state = 'active'))
      OR EXISTS (SELECT 1 FROM calls
                 WHERE state = 'active'
                   AND answered_ts <= (SELECT ts FROM now)
                                      - (SELECT value FROM settings WHERE name = 'call_max_seconds' AND value > 0))
      -- An empty log has no oldest event, and what is compared with NULL is neither due nor not.
      OR coalesce((SELECT max(id) FROM events) - (SELECT min(id) FROM events)
                  >= (SELECT value FROM settings WHERE name = 'events_max_count'), 0)
      OR coalesce((SELECT ts FROM events WHERE id = (SELECT min(id) FROM events))
                  <= (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'events_max_age'), 0);
