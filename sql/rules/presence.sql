-- Presence: a participant who lost the connection leaves the call.

CREATE VIEW presence_cutoff (ts) AS
-- Participants last seen up to this time are absent, and leave at the next sweep.
  SELECT (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'presence_timeout');

CREATE VIEW presence_note_cutoff (ts) AS
-- Presence is stored again if it was last stored up to this time, so that polling does not become writing.
  SELECT (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'presence_interval');

CREATE VIEW presence_due AS
-- Participants whose presence may be stored again.
  SELECT call_id, username
  FROM call_participants
  WHERE state = 'accepted' AND last_seen_ts <= (SELECT ts FROM presence_note_cutoff);

CREATE VIEW do_note_presence (username, call_id) AS
-- Stores that a person is present on one call, or, with call_id NULL, on all their calls.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER presence_is_noted
-- The redundant `in_call` makes SQLite use the index call_participants_in_call_by_user.
INSTEAD OF INSERT ON do_note_presence
BEGIN
  UPDATE call_participants SET last_seen_ts = (SELECT ts FROM now)
  WHERE username = NEW.username AND in_call AND state = 'accepted'
    AND (NEW.call_id IS NULL OR call_id = NEW.call_id)
    AND last_seen_ts <= (SELECT ts FROM presence_note_cutoff);
END;

CREATE VIEW gone_cutoff (ts) AS
-- A report that a participant is gone counts if they were last seen up to this time.
  SELECT (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'gone_after');

CREATE VIEW report_gone (call_id, username, reported_by) AS
-- POST /calls/ID/gone: a participant reports a lost connection to another, who leaves only if the server has not seen
-- them for gone_after either.
  SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER reported_participant_leaves_if_unseen
-- One lying or badly connected client must not throw another off the call.
INSTEAD OF INSERT ON report_gone
BEGIN
  INSERT INTO check_on_call (call_id, username) VALUES (NEW.call_id, NEW.reported_by);

  UPDATE call_participants SET state = 'left'
  WHERE call_id = NEW.call_id AND username = NEW.username AND username <> NEW.reported_by AND state = 'accepted'
    AND last_seen_ts <= (SELECT ts FROM gone_cutoff);
END;
