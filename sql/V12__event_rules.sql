-- The event log: who may see what of it, and how it is kept short.

-- Who may see which event. What is for one person is for that person. The rest is for the members of the channel and, of a
-- call, for those from outside who were asked in, from their invitation on; for nobody else.
--   SELECT * FROM event_recipients WHERE username = 'bob' AND id > 4711
CREATE VIEW event_recipients AS
  SELECT username, id, ts, kind, call_id, channel, username AS about, detail
  FROM events
  WHERE (kind = 'ringing' OR kind = 'signal' OR kind = 'session_ended')
  UNION ALL
  SELECT member.username, event.id, event.ts, event.kind, event.call_id, event.channel, event.username, event.detail
  FROM private_channel_members AS member
  JOIN events AS event ON event.channel = member.channel
  WHERE event.kind <> 'ringing' AND event.kind <> 'signal' AND event.kind <> 'session_ended'
  UNION ALL
  SELECT member.username, event.id, event.ts, event.kind, event.call_id, event.channel, event.username, event.detail
  FROM dm_members AS member
  JOIN events AS event ON event.channel = member.channel
  WHERE event.kind <> 'ringing' AND event.kind <> 'signal' AND event.kind <> 'session_ended'
  UNION ALL
  SELECT participant.username, event.id, event.ts, event.kind, event.call_id, event.channel, event.username, event.detail
  FROM call_participants AS participant
  JOIN calls AS call ON call.call_id = participant.call_id
  JOIN events AS event ON event.channel = call.channel AND event.call_id = call.call_id
  WHERE participant.events_after IS NOT NULL AND event.id > participant.events_after
    AND event.kind <> 'ringing' AND event.kind <> 'signal' AND event.kind <> 'session_ended'
    AND NOT EXISTS (SELECT 1 FROM channel_members AS member
                    WHERE member.channel = call.channel AND member.username = participant.username);

-- What has been heard cannot be unsaid.
CREATE TRIGGER event_is_final
BEFORE UPDATE ON events
BEGIN
  SELECT RAISE(ABORT, 'event_is_final');
END;

-- The end of a session closes its streams, which hear of it like of anything else.
CREATE TRIGGER ended_session_is_announced
AFTER DELETE ON sessions
BEGIN
  INSERT INTO announce (kind, username) VALUES ('session_ended', OLD.username);
END;

-- The log is bounded by number. Ids have few gaps, so their distance counts them.
CREATE TRIGGER events_beyond_the_most_are_forgotten
INSTEAD OF INSERT ON sweep
BEGIN
  DELETE FROM events
  WHERE id <= (SELECT max(id) FROM events) - (SELECT value FROM settings WHERE name = 'events_max_count');
END;

-- The log is bounded by age. It is in the order of time, so the oldest tells whether there is anything to do; a thousand at a
-- time keep a sweep short.
CREATE TRIGGER old_events_are_forgotten
INSTEAD OF INSERT ON sweep
WHEN (SELECT ts FROM events WHERE id = (SELECT min(id) FROM events))
  <= NEW.ts - (SELECT value FROM settings WHERE name = 'events_max_age')
BEGIN
  DELETE FROM events
  WHERE id < (SELECT min(id) FROM events) + 1000
    AND ts <= NEW.ts - (SELECT value FROM settings WHERE name = 'events_max_age');
END;
