-- The event log: how rules write it, who sees which event, and how it stays short.

CREATE VIEW do_emit_event (emit, kind, call_id, username, detail) AS
-- Rules write events here; time and channel are filled in. An event is written if `emit` is true. A condition in a
-- column is cheaper than INSERT ... SELECT ... WHERE, for which SQLite makes a temporary table.
  SELECT NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER emitted_event_is_stored_and_versions_the_call
-- Long polls compare the version of a call. A personal event does not change the call's public state.
INSTEAD OF INSERT ON do_emit_event
WHEN NEW.emit
BEGIN
  INSERT INTO events (ts, kind, call_id, channel, username, detail)
  VALUES ((SELECT ts FROM now), NEW.kind, NEW.call_id,
          coalesce((SELECT channel FROM calls WHERE call_id = NEW.call_id),
                   (SELECT channel FROM screenshares WHERE share_id = NEW.call_id)),
          NEW.username, NEW.detail);

  UPDATE calls SET version = (SELECT max(id) FROM events)
  WHERE call_id = NEW.call_id AND NEW.kind <> 'ringing' AND NEW.kind <> 'signal';
END;

CREATE TRIGGER event_is_final
-- Clients have received it. Only its time moves, when the clock is set.
BEFORE UPDATE ON events
WHEN (SELECT step_seconds FROM clock) IS NULL
BEGIN
  SELECT RAISE(ABORT, 'event_is_final');
END;

CREATE VIEW event_recipients AS
-- Who may see which event. A personal event is for its user. Others are for the members of the channel and, of a call,
-- for guests from their invitation on.
--   SELECT * FROM event_recipients WHERE username = 'bob' AND id > 4711
  SELECT username, id, ts, kind, call_id, channel, username AS about, detail
  FROM events
  WHERE is_personal
  UNION ALL
  SELECT member.username, event.id, event.ts, event.kind, event.call_id, event.channel, event.username, event.detail
  FROM private_channel_members AS member
  JOIN events AS event ON event.channel = member.channel
  WHERE NOT event.is_personal
  UNION ALL
  SELECT member.username, event.id, event.ts, event.kind, event.call_id, event.channel, event.username, event.detail
  FROM dm_members AS member
  JOIN events AS event ON event.channel = member.channel
  WHERE NOT event.is_personal
  UNION ALL
  SELECT guest.username, event.id, event.ts, event.kind, event.call_id, event.channel, event.username, event.detail
  FROM call_participants AS guest
  JOIN calls AS call ON call.call_id = guest.call_id
  JOIN events AS event ON event.channel = call.channel AND event.call_id = call.call_id
  WHERE guest.visible_after IS NOT NULL AND event.id > guest.visible_after
    AND NOT event.is_personal
    AND NOT EXISTS (SELECT 1 FROM channel_members AS member
                    WHERE member.channel = call.channel AND member.username = guest.username);

CREATE VIEW event_cutoff (ts) AS
-- Events up to this time are too old.
  SELECT (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'events_max_age');
