-- Elapsed time: what happens when the wall clock is set, and when the server was unable to work.
--
-- Rings, presence, login windows, the age of media, events and idempotency keys, deliveries to webhooks and to browsers, and
-- the longest call measure elapsed time. Their rows hold times of the wall clock. The server compares the wall clock with the time since boot.
-- When the wall clock was set, it moves these times by the same number of seconds before anything is swept. Sessions,
-- history and do not disturb follow the calendar and do not move.
--
-- A rule that keeps such a column from changing lets the step pass: it holds while clock.step_seconds is NULL.

CREATE VIEW clock_step (seconds) AS
-- The wall clock was set: INSERT INTO clock_step (seconds) VALUES (120) if it was set forward by two minutes. A pinned
-- clock moves along.
  SELECT NULL WHERE 0;

CREATE TRIGGER clock_step_is_applied
-- The column is set only while clock_step_moves_elapsed_time runs.
INSTEAD OF INSERT ON clock_step
BEGIN
  UPDATE clock SET step_seconds = NEW.seconds WHERE id = 1;
END;

CREATE VIEW stepped_now (ts) AS
-- The present after the step that is being applied. A free clock is already the new one.
  SELECT CASE WHEN pinned_ts IS NULL THEN (SELECT ts FROM now) ELSE round(pinned_ts + step_seconds, 3) END
  FROM clock;

CREATE TRIGGER clock_step_moves_elapsed_time
-- No time moves into the future, except leaves_ts, next_ts and until_ts, which are there: another program may have written it with the new
-- clock before the server noticed.
-- The end of the same statement clears step_seconds, so that nobody else changes what is final.
AFTER UPDATE OF step_seconds ON clock
WHEN NEW.step_seconds IS NOT NULL
BEGIN
  UPDATE calls
  SET started_ts = min(round(started_ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now)),
      answered_ts = min(round(answered_ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now))
  WHERE is_live;

  UPDATE call_participants
  SET invited_ts = min(round(invited_ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now)),
      joined_ts = min(round(joined_ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now)),
      left_ts = min(round(left_ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now)),
      missed_ts = min(round(missed_ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now)),
      missed_seen_ts = min(round(missed_seen_ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now)),
      last_seen_ts = min(round(last_seen_ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now)),
      leaves_ts = round(leaves_ts + NEW.step_seconds, 3)
  WHERE call_id IN (SELECT call_id FROM calls WHERE is_live);

  UPDATE screenshares
  SET started_ts = min(round(started_ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now)),
      last_seen_ts = min(round(last_seen_ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now)),
      leaves_ts = round(leaves_ts + NEW.step_seconds, 3)
  WHERE state = 'active';

  UPDATE call_media
  SET ts = min(round(ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now))
  WHERE is_init = 0;

  UPDATE share_media
  SET ts = min(round(ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now))
  WHERE is_init = 0;

  UPDATE login_attempts
  SET ts = min(round(ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now));

  UPDATE person_counts
  SET rings_from_ts = min(round(rings_from_ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now))
  WHERE rings > 0;

  UPDATE ring_counts
  SET rings_from_ts = min(round(rings_from_ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now)),
      refused_ts = min(round(refused_ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now));

  UPDATE webhook_deliveries
  SET queued_ts = min(round(queued_ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now)),
      given_up_ts = min(round(given_up_ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now)),
      next_ts = round(next_ts + NEW.step_seconds, 3);

  UPDATE push_deliveries
  SET until_ts = round(until_ts + NEW.step_seconds, 3), next_ts = round(next_ts + NEW.step_seconds, 3);

  UPDATE idempotency_keys
  SET ts = min(round(ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now));

  UPDATE events
  SET ts = min(round(ts + NEW.step_seconds, 3), (SELECT ts FROM stepped_now));

  UPDATE clock
  SET pinned_ts = CASE WHEN pinned_ts IS NOT NULL THEN (SELECT ts FROM stepped_now) END, step_seconds = NULL
  WHERE id = 1;
END;

CREATE VIEW clock_pause (unused) AS
-- The server could neither hear nor store for a while: INSERT INTO clock_pause DEFAULT VALUES.
  SELECT NULL WHERE 0;

CREATE TRIGGER clock_pause_renews_presence
-- Nobody could prove presence meanwhile, so everybody on a call, and every sharer, has the full presence_timeout again.
-- A departure that had begun stops, because nothing could stop it meanwhile.
INSTEAD OF INSERT ON clock_pause
BEGIN
  UPDATE call_participants SET last_seen_ts = (SELECT ts FROM now), leaves_ts = NULL WHERE state = 'accepted';

  UPDATE screenshares SET last_seen_ts = (SELECT ts FROM now), leaves_ts = NULL WHERE state = 'active';
END;

CREATE VIEW newest_time (ts) AS
-- The newest of the times that measure elapsed time. The present is not earlier, whatever the clock says.
  SELECT max(ts)
  FROM (SELECT max(ts) AS ts FROM login_attempts
        UNION ALL
        SELECT max(last_seen_ts) FROM call_participants WHERE state = 'accepted'
        UNION ALL
        SELECT ts FROM events WHERE id = (SELECT max(id) FROM events));
