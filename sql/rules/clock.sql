-- Time: the present, and the sweep that applies every rule with a time limit.
--
-- How to read sql/rules/. Each file is one subject, with its rules, actions and views as they are now. A server that starts
-- re-creates them all where those in the database file differ.
--   plain verbs   actions: INSERT INTO end_call (call_id, username) VALUES ('...', 'alice') acts, or refuses with a code
--   check_...     guards: an INSERT refuses with a code, or does nothing
--   do_...        procedures that rules share: an INSERT runs the triggers of the view
--   due_...       rows that a sweep has to deal with
-- No action, guard or procedure ever holds a row.
--
-- BEFORE triggers refuse, AFTER triggers react. SQLite documents no order for the triggers of one event; the latest created
-- runs first. So steps that need an order share one body. fixtures/triggers.md lists what each statement runs.

CREATE VIEW now (ts) AS
-- The present, in seconds since the epoch, to the millisecond. unixepoch('subsec') would be NULL before SQLite 3.42.
-- The CAST rounds; round() would convert to text and back.
  SELECT coalesce((SELECT pinned_ts FROM clock WHERE id = 1),
                  CAST((julianday('now') - 2440587.5) * 86400000.0 + 0.5 AS INTEGER) / 1000.0);

CREATE TRIGGER clock_row_stays
-- Without its row the clock could not be pinned, and no sweep would run.
BEFORE DELETE ON clock
BEGIN
  SELECT RAISE(ABORT, 'clock_is_needed');
END;

CREATE VIEW do_sweep (reason) AS
-- Applies every rule with a time limit. Each such rule has a trigger on this view. The reason is for readers.
  SELECT NULL WHERE 0;

CREATE TRIGGER pinning_the_clock_sweeps
-- A transaction that pins the clock sees no timed-out call, no expired session and no stale media.
AFTER UPDATE OF pinned_ts ON clock
WHEN NEW.pinned_ts IS NOT NULL
BEGIN
  INSERT INTO do_sweep (reason) VALUES ('the clock was pinned');
END;

CREATE VIEW sweep_due (is_due) AS
-- Whether a sweep would find anything. The server asks twice a second; every part is a search in an index.
  SELECT EXISTS (SELECT 1 FROM due_invitations)
      OR EXISTS (SELECT 1 FROM due_unanswered_calls)
      OR EXISTS (SELECT 1 FROM due_overlong_calls)
      OR EXISTS (SELECT 1 FROM due_absences)
      OR EXISTS (SELECT 1 FROM due_call_media)
      OR EXISTS (SELECT 1 FROM due_share_media)
      OR EXISTS (SELECT 1 FROM due_sessions)
      OR EXISTS (SELECT 1 FROM due_login_attempts)
      OR EXISTS (SELECT 1 FROM due_events);

CREATE VIEW start_server (unused) AS
-- The server starts: INSERT INTO start_server DEFAULT VALUES.
  SELECT NULL WHERE 0;

CREATE TRIGGER server_start_ends_what_was_live
-- The clients of an earlier run have lost their connections. What timed out in between has timed out.
INSTEAD OF INSERT ON start_server
BEGIN
  INSERT INTO do_sweep (reason) VALUES ('the server starts');
  UPDATE calls SET state = 'ended', ended_reason = 'restart' WHERE is_live;
  UPDATE screenshares SET state = 'ended' WHERE state = 'active';
END;
