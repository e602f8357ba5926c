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
  INSERT INTO events (id, ts, kind, call_id, channel, username, detail)
  VALUES ((SELECT newest_event + 1 FROM clock), (SELECT ts FROM now), NEW.kind, NEW.call_id,
          coalesce((SELECT channel FROM calls WHERE call_id = NEW.call_id),
                   (SELECT channel FROM screenshares WHERE share_id = NEW.call_id)),
          NEW.username, NEW.detail);

  UPDATE calls SET version = (SELECT max(id) FROM events)
  WHERE call_id = NEW.call_id AND NEW.kind <> 'ringing' AND NEW.kind <> 'removed';
END;

CREATE TRIGGER event_is_final
-- Clients have received it. Only its time moves, when the clock is set.
BEFORE UPDATE ON events
WHEN (SELECT step_seconds FROM clock) IS NULL
BEGIN
  SELECT RAISE(ABORT, 'event_is_final');
END;

CREATE VIEW member_event_access (call_id, username) AS
-- The members of the channel of a call or share who may see its events. Guests of a call see later ones only.
  SELECT member.call_id, member.username
  FROM call_channel_members AS member
  JOIN call_access AS access ON access.call_id = member.call_id AND access.username = member.username
  WHERE access.state_access = 'granted'
  UNION ALL
  SELECT share_id, username FROM share_access WHERE access = 'granted';

CREATE TRIGGER event_happens_now
-- The log is in the order of time: an event of the future would keep all later ones from being deleted.
BEFORE INSERT ON events
WHEN NEW.ts IS NOT (SELECT ts FROM now)
BEGIN
  SELECT RAISE(ABORT, 'event_is_final');
END;

CREATE TRIGGER event_is_the_next
-- The log is in the order of ids. An event with an earlier id would reach no client, and INSERT OR REPLACE would change
-- one.
BEFORE INSERT ON events
WHEN NEW.id IS NOT (SELECT newest_event + 1 FROM clock)
BEGIN
  SELECT RAISE(ABORT, 'event_is_final');
END;

CREATE TRIGGER stored_event_is_the_newest
-- Its id is used, whatever becomes of the row.
AFTER INSERT ON events
BEGIN
  UPDATE clock SET newest_event = NEW.id WHERE id = 1;
END;

CREATE TRIGGER newest_event_only_grows
-- Ids would be used twice. An id near the end of the numbers would leave none for later events.
BEFORE UPDATE OF newest_event ON clock
WHEN coalesce(NEW.newest_event, 0) NOT BETWEEN OLD.newest_event AND OLD.newest_event + 1000000
BEGIN
  SELECT RAISE(ABORT, 'event_is_final')
  WHERE coalesce(NEW.newest_event, 0) < OLD.newest_event;

  SELECT RAISE(ABORT, 'id_too_large')
  WHERE NEW.newest_event > (SELECT ts FROM now) * 1000000;
END;

CREATE VIEW event_recipients AS
-- Who may see which event. A personal event is for its user, and a signal for its recipient. Others are for the members of
-- the channel and, of a call, for guests from their invitation on, as long as they have access to the call or share.
-- Events from before a user was added are of an earlier user of that name. No user has an event twice. Members of a private
-- channel have access unless they are out of the call: that question is the cheaper one, and such a channel may have
-- thousands.
--   SELECT * FROM event_recipients WHERE username = 'bob' AND id > 4711
  SELECT person.username, event.id, event.ts, event.kind, event.call_id, event.channel, event.username AS about,
         event.detail
  FROM users AS person
  JOIN events AS event ON event.username = person.username AND event.id > person.events_after
  WHERE event.is_personal
  UNION ALL
  SELECT person.username, signal.id, signal.ts, 'signal', signal.call_id, NULL, signal.to_user, NULL
  FROM users AS person
  JOIN call_signals AS signal ON signal.to_user = person.username AND signal.id > person.events_after
    -- One search a call: others may have sent thousands of signals before the cursor.
    AND signal.call_id IN (
      WITH RECURSIVE signalling (call_id) AS (
        SELECT (SELECT min(call_id) FROM call_signals WHERE to_user = person.username)
        UNION ALL
        SELECT (SELECT min(call_id) FROM call_signals WHERE to_user = person.username AND call_id > signalling.call_id)
        FROM signalling WHERE call_id IS NOT NULL)
      SELECT call_id FROM signalling)
  UNION ALL
  SELECT member.username, event.id, event.ts, event.kind, event.call_id, event.channel, event.username, event.detail
  FROM private_channel_members AS member
  JOIN users AS person ON person.username = member.username
  JOIN events AS event ON event.channel = member.channel AND event.id > person.events_after
  WHERE NOT event.is_personal
    AND NOT EXISTS (SELECT 1 FROM call_access
                    WHERE call_id = event.call_id AND username = member.username AND state_access <> 'granted')
  UNION ALL
  SELECT member.username, event.id, event.ts, event.kind, event.call_id, event.channel, event.username, event.detail
  FROM dm_members AS member
  JOIN users AS person ON person.username = member.username
  JOIN events AS event ON event.channel = member.channel AND event.id > person.events_after
  WHERE NOT event.is_personal
    AND EXISTS (SELECT 1 FROM member_event_access WHERE call_id = event.call_id AND username = member.username)
  UNION ALL
  SELECT guest.username, event.id, event.ts, event.kind, event.call_id, event.channel, event.username, event.detail
  FROM call_participants AS guest
  JOIN users AS person ON person.username = guest.username AND person.number = guest.number
  JOIN calls AS call ON call.call_id = guest.call_id
  JOIN events AS event ON event.channel = call.channel AND event.call_id = call.call_id
  WHERE guest.visible_after IS NOT NULL AND event.id > guest.visible_after AND guest.removed_from IS NOT 'channel'
    AND NOT event.is_personal
    AND EXISTS (SELECT 1 FROM call_access
                WHERE call_id = guest.call_id AND username = guest.username AND state_access = 'granted')
    AND NOT EXISTS (SELECT 1 FROM call_channel_members AS member
                    WHERE member.call_id = guest.call_id AND member.username = guest.username)
  UNION ALL
  -- A change of the people, for those who see the person concerned.
  SELECT person.username, event.id, event.ts, event.kind, NULL, NULL, NULL, event.detail
  FROM users AS person
  JOIN events AS event ON event.channel IS NULL AND event.id > person.events_after
  WHERE NOT event.is_personal AND event.kind = 'directory' AND person.guest_of IS NULL
    AND (person.issuer IS NULL OR event.detail IS NULL OR event.detail = json_object('issuer', person.issuer));

CREATE VIEW event_cutoff (ts) AS
-- Events up to this time are too old.
  SELECT now.ts - value FROM now JOIN settings ON name = 'events_max_age';

-- Starts and stops: a cursor of another log

CREATE VIEW begin_run (restored) AS
-- A server opens the file: INSERT INTO begin_run (restored) VALUES (0), or 1 if the file was replaced since its clean
-- stop.
  SELECT NULL WHERE 0;

CREATE TRIGGER unclean_start_skips_ids
-- After a power loss the newest rows may be missing, and a restored copy lacks what was written since. Clients have the
-- ids of the missing rows, and new rows with the same ids would look old to them. So ids continue at the time in
-- microseconds: no server has written a million rows a second since 1970, so no id of any copy is beyond it. Where the
-- clock is behind the ids, they skip a million, which is more than the rows that a log of unsynced writes holds. 2^53,
-- to which JavaScript counts, is reached in the year 2255.
INSTEAD OF INSERT ON begin_run
BEGIN
  INSERT INTO event_gaps (after_id, next_id, ts)
  SELECT newest, max(newest + 1000000, CAST(now.ts * 1000000 AS INTEGER)), now.ts
  FROM now, (SELECT newest_event AS newest FROM clock)
  WHERE NEW.restored OR NOT EXISTS (SELECT 1 FROM clean_stop);

  UPDATE clock SET newest_event = max(newest_event + 1000000, CAST((SELECT ts FROM now) * 1000000 AS INTEGER))
  WHERE id = 1 AND (NEW.restored OR NOT EXISTS (SELECT 1 FROM clean_stop));

  INSERT INTO sqlite_sequence (name, seq)
  SELECT log.value, 0
  FROM json_each('["call_media", "share_media"]') AS log
  WHERE (NEW.restored OR NOT EXISTS (SELECT 1 FROM clean_stop))
    AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = log.value)
  ORDER BY log.value;

  UPDATE sqlite_sequence SET seq = max(seq + 1000000, CAST((SELECT ts FROM now) * 1000000 AS INTEGER))
  WHERE (NEW.restored OR NOT EXISTS (SELECT 1 FROM clean_stop))
    AND (name = 'call_media' OR name = 'share_media');

  -- The stop is clean only if it is stored again.
  DELETE FROM clean_stop;
END;

CREATE VIEW end_run (unused) AS
-- A server stops cleanly: INSERT INTO end_run DEFAULT VALUES is its last write.
  SELECT NULL WHERE 0;

CREATE TRIGGER clean_stop_is_stored
-- The next start keeps the cursors of clients.
INSTEAD OF INSERT ON end_run
BEGIN
  DELETE FROM clean_stop;

  INSERT INTO clean_stop (id, stopped_ts) SELECT 1, ts FROM now;
END;

CREATE TRIGGER event_gap_is_final
-- A cursor inside of it would be taken for one of this log.
BEFORE UPDATE ON event_gaps
BEGIN
  SELECT RAISE(ABORT, 'event_gap_is_final');
END;

CREATE TRIGGER event_gap_stays
-- As event_gap_is_final, as long as the log has events before it.
BEFORE DELETE ON event_gaps
WHEN OLD.next_id >= coalesce((SELECT min(id) FROM events), OLD.next_id)
BEGIN
  SELECT RAISE(ABORT, 'event_gap_is_final');
END;

CREATE TRIGGER event_gap_is_at_the_end
-- Gaps before it would be counted as events that are not kept.
BEFORE INSERT ON event_gaps
WHEN NEW.after_id IS NOT (SELECT newest_event FROM clock)
BEGIN
  SELECT RAISE(ABORT, 'event_gap_is_final');
END;
