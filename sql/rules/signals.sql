-- Signals: offers, answers and ICE candidates between participants of a call, or of a screen share.

CREATE VIEW send_call_signal (call_id, from_user, to_user, signal_type, payload) AS
-- POST /calls/ID/signal: `payload` is JSON text.
  SELECT NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER send_call_signal_stores_it
-- The id of a share is no call.
INSTEAD OF INSERT ON send_call_signal
BEGIN
  SELECT RAISE(ABORT, 'call_not_found')
  WHERE EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.call_id);

  INSERT INTO do_store_signal (call_id, from_user, to_user, signal_type, payload, ts)
  VALUES (NEW.call_id, NEW.from_user, NEW.to_user, NEW.signal_type, NEW.payload, (SELECT ts FROM now));
END;

CREATE VIEW send_share_signal (share_id, from_user, to_user, signal_type, payload) AS
-- POST /screenshare/ID/signal: `payload` is JSON text.
  SELECT NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER send_share_signal_stores_it
-- The id of a call is no share.
INSTEAD OF INSERT ON send_share_signal
BEGIN
  SELECT RAISE(ABORT, 'share_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.share_id);

  INSERT INTO do_store_signal (call_id, from_user, to_user, signal_type, payload, ts)
  VALUES (NEW.share_id, NEW.from_user, NEW.to_user, NEW.signal_type, NEW.payload, (SELECT ts FROM now));

  -- A watcher who signals has met the sharer, so their DM is in both their lists. A sharer who signals has met nobody.
  UPDATE dm_members SET listed = 1
  WHERE channel = (SELECT channel FROM screenshares WHERE share_id = NEW.share_id AND sharer <> NEW.from_user)
    AND username IN (NEW.from_user, (SELECT sharer FROM screenshares WHERE share_id = NEW.share_id)) AND NOT listed;
END;

CREATE TRIGGER call_signal_is_between_participants
-- The sender is on the call; the recipient may still be pending.
BEFORE INSERT ON call_signals
WHEN NOT EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.call_id)
BEGIN
  INSERT INTO check_on_call (call_id, username) VALUES (NEW.call_id, NEW.from_user);

  SELECT RAISE(ABORT, 'recipient_not_in_call')
  WHERE NEW.to_user IS NOT NEW.from_user
    AND NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = NEW.call_id AND username = NEW.to_user AND in_call);
END;

CREATE TRIGGER share_signal_has_the_sharer_at_one_end
-- A share is a star: the sharer is the sender or the recipient, and both are members of the channel.
BEFORE INSERT ON call_signals
WHEN EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.call_id)
BEGIN
  SELECT RAISE(ABORT, 'not_a_member')
  WHERE NOT EXISTS (SELECT 1 FROM share_channel_members
                    WHERE share_id = NEW.call_id AND username = NEW.from_user);

  SELECT RAISE(ABORT, 'share_ended')
  WHERE EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.call_id AND state = 'ended');

  SELECT RAISE(ABORT, 'recipient_not_in_share')
  WHERE NEW.to_user IS NOT NEW.from_user
    AND (NOT EXISTS (SELECT 1 FROM share_channel_members
                     WHERE share_id = NEW.call_id AND username = NEW.to_user)
         OR NOT EXISTS (SELECT 1 FROM screenshares
                        WHERE share_id = NEW.call_id AND sharer IN (NEW.from_user, NEW.to_user)));
END;

CREATE TRIGGER signal_is_not_too_large
-- An offer with every codec has some ten kilobytes.
BEFORE INSERT ON call_signals
WHEN NEW.bytes > (SELECT value FROM settings WHERE name = 'signal_max_bytes')
BEGIN
  SELECT RAISE(ABORT, 'signal_too_large');
END;

CREATE TRIGGER signal_is_not_too_deep
-- Many parsers stop at a hundred levels or fewer, and the recipient has to read it. LIKE is the fastest test: an offer or
-- candidate has one bracket, at its beginning. Only a payload with more than 64 brackets can be deeper than 64 levels. The
-- rest is asked of SQLite's own parser: with outer brackets that leave room for 64 levels, a deeper payload exceeds its
-- limit. That limit is 1,000 levels, and 2,000 before SQLite 3.42.
BEFORE INSERT ON call_signals
WHEN NEW.payload LIKE '%_{%' OR NEW.payload LIKE '%_[%'
BEGIN
  SELECT RAISE(ABORT, 'signal_too_deep')
  FROM (SELECT CASE WHEN json_valid(replace(hex(zeroblob(1001)), '00', '[') || replace(hex(zeroblob(1001)), '00', ']'))
                    THEN 1936 ELSE 936 END AS outer_levels)
  WHERE 2 * length(NEW.payload) - length(replace(NEW.payload, '[', '')) - length(replace(NEW.payload, '{', '')) > 64
    AND json_valid(NEW.payload)
    AND NOT json_valid(replace(hex(zeroblob(outer_levels)), '00', '[') || NEW.payload
                       || replace(hex(zeroblob(outer_levels)), '00', ']'));
END;

CREATE TRIGGER signal_is_final
-- A recipient whose cursor has passed a signal would never read a change.
BEFORE UPDATE ON call_signals
BEGIN
  SELECT RAISE(ABORT, 'signal_is_final');
END;

CREATE VIEW do_store_signal (id, call_id, from_user, to_user, signal_type, payload, ts) AS
-- Stores a signal as the next event, with what its sender has sent to its recipient before. Without an id it gets one.
  SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER signal_is_the_next_event
-- A running total takes one search. Counting a thousand rows at each new signal would cost more than storing it.
INSTEAD OF INSERT ON do_store_signal
BEGIN
  INSERT INTO call_signals (id, call_id, from_user, to_user, signal_type, payload, ts, ordinal, bytes_before)
  VALUES (coalesce(NEW.id, (SELECT newest_event + 1 FROM clock)), NEW.call_id, NEW.from_user, NEW.to_user,
          NEW.signal_type, NEW.payload, NEW.ts,
          1 + coalesce((SELECT ordinal FROM call_signals
                        WHERE call_id = NEW.call_id AND from_user = NEW.from_user AND to_user = NEW.to_user
                        ORDER BY bytes_before DESC LIMIT 1), 0),
          coalesce((SELECT bytes_before + bytes FROM call_signals
                    WHERE call_id = NEW.call_id AND from_user = NEW.from_user AND to_user = NEW.to_user
                    ORDER BY bytes_before DESC LIMIT 1), 0));
END;

CREATE TRIGGER signal_of_a_shell_is_stored_likewise
-- An INSERT need not know the id and the running totals.
BEFORE INSERT ON call_signals
WHEN NEW.ordinal IS NULL OR NEW.bytes_before IS NULL OR NEW.id < 1
BEGIN
  INSERT INTO do_store_signal (id, call_id, from_user, to_user, signal_type, payload, ts)
  VALUES (CASE WHEN NEW.id > 0 THEN NEW.id END, NEW.call_id, NEW.from_user, NEW.to_user, NEW.signal_type, NEW.payload,
          NEW.ts);

  SELECT RAISE(IGNORE);
END;

CREATE TRIGGER signal_id_is_new
-- INSERT OR REPLACE with an existing id would overwrite a signal. An id near the end of the numbers would leave none for
-- later events.
BEFORE INSERT ON call_signals
WHEN NEW.id IS NOT (SELECT newest_event + 1 FROM clock)
BEGIN
  SELECT RAISE(ABORT, 'signal_is_final')
  WHERE EXISTS (SELECT 1 FROM call_signals WHERE id = NEW.id);

  SELECT RAISE(ABORT, 'id_too_large')
  WHERE NEW.id > (SELECT newest_event + 1000000 FROM clock);
END;

CREATE TRIGGER stored_signal_is_the_newest_event
-- Its id is used, whatever becomes of the row. A shell may give it an earlier one, which no event stream reaches.
AFTER INSERT ON call_signals
BEGIN
  UPDATE clock SET newest_event = NEW.id WHERE id = 1 AND newest_event < NEW.id;
END;

CREATE TRIGGER oldest_signals_make_way
-- Signals are not acknowledged, so they are kept while the call lasts, up to a number and so many bytes for each pair of
-- sender and recipient: no sender displaces another's offer. Refusing new ones instead would wedge a long call. The new
-- signal stays. One that a shell has deleted counts until those before it are gone.
AFTER INSERT ON call_signals
WHEN NEW.ordinal > (SELECT value FROM settings WHERE name = 'signals_per_call_max')
  OR NEW.bytes_before + NEW.bytes > (SELECT value FROM settings WHERE name = 'signals_per_call_max_bytes')
BEGIN
  DELETE FROM call_signals
  WHERE call_id = NEW.call_id AND from_user = NEW.from_user AND to_user = NEW.to_user
    AND bytes_before < NEW.bytes_before + NEW.bytes
                       - (SELECT value FROM settings WHERE name = 'signals_per_call_max_bytes')
    AND bytes_before < NEW.bytes_before;

  DELETE FROM call_signals
  WHERE id IN (SELECT id FROM call_signals
               WHERE call_id = NEW.call_id AND from_user = NEW.from_user AND to_user = NEW.to_user
               ORDER BY bytes_before
               LIMIT (SELECT max(NEW.ordinal + 1 - ordinal
                                 - (SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'signals_per_call_max'), 0)
                      FROM call_signals
                      WHERE call_id = NEW.call_id AND from_user = NEW.from_user AND to_user = NEW.to_user
                      ORDER BY bytes_before LIMIT 1));
END;

CREATE VIEW signal_json AS
-- A signal as GET .../signals and the event `signal` give it. The payload is the sender's text, not parsed again. The
-- last member of the object is a number, so rtrim removes one brace.
  SELECT id, call_id, to_user,
         rtrim(json_object('id', id, 'from', from_user, 'type', signal_type, 'ts', ts), '}')
         || ',"payload":' || payload || '}' AS json
  FROM call_signals;
