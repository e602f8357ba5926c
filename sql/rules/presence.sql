-- Presence: a participant who lost the connection leaves the call, and a screen share ends with its sharer's presence.
--
-- Only the client that is on the call proves presence on it: it starts or accepts the call, reads the call's state, or
-- keeps an event stream open that names the call. A sharer reads the share's signals, uploads media, or keeps a stream
-- open that names the share. Other streams of the same person, such as a second window's, prove nothing.

CREATE VIEW presence_cutoff (ts) AS
-- Participants last seen up to this time are absent, and leave at the next sweep.
  SELECT now.ts - value FROM now JOIN settings ON name = 'presence_timeout';

CREATE VIEW presence_note_cutoff (ts) AS
-- Presence is stored again if it was last stored up to this time, so that polling does not become writing. A short
-- gone_after shortens the interval: a report must not take off a person whose presence is just not stored yet.
  SELECT (SELECT ts FROM now)
         - min((SELECT value FROM settings WHERE name = 'presence_interval'),
               coalesce((SELECT value / 2 FROM settings WHERE name = 'gone_after' AND value > 0), 9e9));

CREATE VIEW presence_due (call_id, username) AS
-- The people whose presence on a call or share may be stored again: the last proof is old, or a departure has begun.
  SELECT call_id, username FROM call_participants
  WHERE state = 'accepted' AND last_seen_ts <= (SELECT ts FROM presence_note_cutoff)
  UNION ALL
  SELECT call_id, username FROM call_participants
  WHERE state = 'accepted' AND leaves_ts IS NOT NULL
  UNION ALL
  SELECT share_id, sharer FROM screenshares
  WHERE state = 'active' AND last_seen_ts <= (SELECT ts FROM presence_note_cutoff)
  UNION ALL
  SELECT share_id, sharer FROM screenshares
  WHERE state = 'active' AND leaves_ts IS NOT NULL;

CREATE VIEW newer_sessions (session, than) AS
-- Pairs of sessions of which the first outlasts the second.
  SELECT newer.token_hash, older.token_hash
  FROM sessions AS newer JOIN sessions AS older ON newer.expires_ts > older.expires_ts;

CREATE VIEW do_note_presence (username, call_id, session) AS
-- A proof of a person's presence on a call or screen share. `session` is the token hash of the session that gave it; a
-- shell leaves it NULL.
  SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER presence_is_noted
-- At most once an interval, except for a proof that stops a departure, the first one that names its session, or one by a
-- newer session: a client that renews its token stays on the call when the older session expires. A session that has
-- ended meanwhile proves nothing.
INSTEAD OF INSERT ON do_note_presence
WHEN NEW.session IS NULL OR EXISTS (SELECT 1 FROM sessions WHERE token_hash = NEW.session)
BEGIN
  UPDATE call_participants
  SET last_seen_ts = (SELECT ts FROM now), leaves_ts = NULL, seen_by = coalesce(NEW.session, seen_by)
  WHERE call_id = NEW.call_id AND username = NEW.username AND state = 'accepted'
    AND (last_seen_ts <= (SELECT ts FROM presence_note_cutoff) OR leaves_ts IS NOT NULL
         OR (seen_by IS NULL AND NEW.session IS NOT NULL)
         OR EXISTS (SELECT 1 FROM newer_sessions WHERE session = NEW.session AND than = seen_by));

  UPDATE screenshares
  SET last_seen_ts = (SELECT ts FROM now), leaves_ts = NULL, seen_by = coalesce(NEW.session, seen_by)
  WHERE share_id = NEW.call_id AND sharer = NEW.username AND state = 'active'
    AND (last_seen_ts <= (SELECT ts FROM presence_note_cutoff) OR leaves_ts IS NOT NULL
         OR (seen_by IS NULL AND NEW.session IS NOT NULL)
         OR EXISTS (SELECT 1 FROM newer_sessions WHERE session = NEW.session AND than = seen_by));
END;

CREATE VIEW gone_cutoff (ts, leaves_ts) AS
-- A report that a participant is gone counts if they were last seen up to `ts`. Who loses the connection now leaves at
-- `leaves_ts`.
  SELECT (SELECT ts FROM now) - value, (SELECT ts FROM now) + value FROM settings WHERE name = 'gone_after';

CREATE VIEW do_note_closed_stream (username, call_id) AS
-- The last event stream of a person that named a call or screen share has closed.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER closed_stream_begins_departure
-- The stream proved presence until now. A reloaded page returns within gone_after, and any later proof stops the
-- departure.
INSTEAD OF INSERT ON do_note_closed_stream
BEGIN
  UPDATE call_participants
  SET last_seen_ts = (SELECT ts FROM now), leaves_ts = (SELECT leaves_ts FROM gone_cutoff)
  WHERE call_id = NEW.call_id AND username = NEW.username AND state = 'accepted';

  UPDATE screenshares
  SET last_seen_ts = (SELECT ts FROM now), leaves_ts = (SELECT leaves_ts FROM gone_cutoff)
  WHERE share_id = NEW.call_id AND sharer = NEW.username AND state = 'active';
END;

CREATE TRIGGER ended_session_ends_presence
-- Nobody is on a call by a session that has ended: by a logout, a new password, its expiry, or the user's removal. A
-- person whose newest proof came from another session stays.
AFTER DELETE ON sessions
BEGIN
  UPDATE call_participants SET state = 'left'
  WHERE username = OLD.username AND in_call AND state = 'accepted' AND seen_by = OLD.token_hash;

  UPDATE screenshares SET state = 'ended'
  WHERE sharer = OLD.username AND state = 'active' AND seen_by = OLD.token_hash;
END;

CREATE VIEW report_gone (call_id, username, reported_by) AS
-- POST /calls/ID/gone: a participant reports a lost connection to another, who leaves only if the server has not seen
-- them for gone_after either.
  SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER reported_participant_leaves_if_unseen
-- One lying or badly connected client must not throw another off the call.
INSTEAD OF INSERT ON report_gone
BEGIN
  INSERT INTO check_on_call (call_id, username) VALUES (NEW.call_id, NEW.reported_by);

  UPDATE call_participants SET leaves_ts = (SELECT ts FROM now), state = 'left'
  WHERE call_id = NEW.call_id AND username = NEW.username AND username <> NEW.reported_by AND state = 'accepted'
    AND (last_seen_ts <= (SELECT ts FROM gone_cutoff) OR leaves_ts <= (SELECT ts FROM now));
END;

CREATE VIEW gone_participants (call_id, username) AS
-- Those who left because nothing proved their presence any more. Others left by themselves, or were removed.
  SELECT call_id, username FROM call_participants WHERE state = 'left' AND leaves_ts IS NOT NULL;
