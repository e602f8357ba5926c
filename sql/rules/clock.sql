-- The clock. And how to read sql/rules/.
--
-- Each file is one subject, with its rules, actions and views as they are now. A server that starts re-creates them all
-- where those in the database file differ.
--   plain verbs     actions: INSERT INTO end_call (call_id, username) VALUES ('...', 'alice') acts, or refuses
--   check_...       guards: an INSERT refuses with a code, or does nothing
--   do_...          procedures that rules share: an INSERT runs the triggers of the view
--   ..._cutoff      the time up to which something is too old
--   due_...         rows that a sweep has to deal with
--   current_...     rows as if they were swept
--   ..._access      who may read what
--   ..._json        what the API returns
-- No action, guard or procedure ever holds a row.
--
-- BEFORE triggers refuse, AFTER triggers react. SQLite documents no order for the triggers of one event; the latest
-- created runs first. What is stored never depends on it: steps that need an order share one body. Only which of two
-- refusals a client gets may depend on it. fixtures/triggers.md lists what each statement runs.

CREATE VIEW now (ts) AS
-- The present, in seconds since the epoch, to the millisecond. unixepoch('subsec') would be NULL before SQLite 3.42.
-- The CAST rounds; round() would convert to text and back.
  SELECT coalesce(pinned_ts, CAST((julianday('now') - 2440587.5) * 86400000.0 + 0.5 AS INTEGER) / 1000.0)
  FROM clock WHERE id = 1;

CREATE TRIGGER clock_row_stays
-- Without its row the clock could not be pinned, and no sweep would run.
BEFORE DELETE ON clock
BEGIN
  SELECT RAISE(ABORT, 'clock_is_needed');
END;

CREATE TRIGGER clock_row_is_not_replaced
-- INSERT OR REPLACE would pin the clock without a sweep, or leave step_seconds set.
BEFORE INSERT ON clock
BEGIN
  SELECT RAISE(ABORT, 'clock_is_needed');
END;

CREATE TRIGGER listed_rule_stays
-- integrity_violations compares the rules of the file with this list.
BEFORE DELETE ON rules
BEGIN
  SELECT RAISE(ABORT, 'rule_list_is_fixed');
END;

CREATE TRIGGER listed_rule_is_fixed
-- As listed_rule_stays.
BEFORE UPDATE ON rules
BEGIN
  SELECT RAISE(ABORT, 'rule_list_is_fixed');
END;

CREATE TRIGGER rule_list_is_complete
-- As listed_rule_stays. The start of a server writes the list before it creates the rules.
BEFORE INSERT ON rules
BEGIN
  SELECT RAISE(ABORT, 'rule_list_is_fixed');
END;

