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

  INSERT INTO call_signals (call_id, from_user, to_user, signal_type, payload, ts)
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

  INSERT INTO call_signals (call_id, from_user, to_user, signal_type, payload, ts)
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
WHEN length(CAST(NEW.payload AS BLOB)) > (SELECT value FROM settings WHERE name = 'signal_max_bytes')
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

CREATE TRIGGER signal_id_is_new
-- INSERT OR REPLACE with an existing id would overwrite a signal.
BEFORE INSERT ON call_signals
WHEN EXISTS (SELECT 1 FROM call_signals WHERE id = NEW.id)
BEGIN
  SELECT RAISE(ABORT, 'signal_is_final');
END;

CREATE VIEW do_trim_signals (call_id, from_user, to_user, new_id, excess) AS
-- Deletes the oldest signals of a pair until `excess` bytes are gone. The new one stays.
  SELECT NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER oldest_signals_make_way_for_bytes
-- A thousand signals may have 64 KiB each, and a call has many pairs.
INSTEAD OF INSERT ON do_trim_signals
WHEN NEW.excess > 0
BEGIN
  DELETE FROM call_signals
  WHERE id IN (WITH RECURSIVE
                 oldest (id, excess) AS (
                   SELECT (SELECT min(id) FROM call_signals
                           WHERE call_id = NEW.call_id AND from_user = NEW.from_user AND to_user = NEW.to_user),
                          NEW.excess
                   UNION ALL
                   SELECT (SELECT min(id) FROM call_signals
                           WHERE call_id = NEW.call_id AND from_user = NEW.from_user AND to_user = NEW.to_user
                             AND id > oldest.id),
                          excess - (SELECT length(CAST(payload AS BLOB)) FROM call_signals WHERE id = oldest.id)
                   FROM oldest WHERE excess > 0 AND id < NEW.new_id)
               SELECT id FROM oldest WHERE excess > 0 AND id < NEW.new_id);
END;

CREATE TRIGGER oldest_signals_make_way
-- Signals are not acknowledged, so they are kept while the call lasts, up to a number and so many bytes for each pair of
-- sender and recipient: no sender displaces another's offer. Refusing new ones instead would wedge a long call.
AFTER INSERT ON call_signals
BEGIN
  INSERT INTO signal_counts (call_id, from_user, to_user, kept, bytes)
  VALUES (NEW.call_id, NEW.from_user, NEW.to_user, 1, length(CAST(NEW.payload AS BLOB)))
  ON CONFLICT (call_id, from_user, to_user) DO UPDATE SET kept = kept + 1, bytes = bytes + excluded.bytes;

  DELETE FROM call_signals
  WHERE id IN (SELECT id FROM call_signals
               WHERE call_id = NEW.call_id AND from_user = NEW.from_user AND to_user = NEW.to_user
               ORDER BY id
               LIMIT (SELECT max(kept - (SELECT CAST(value AS INTEGER) FROM settings
                                         WHERE name = 'signals_per_call_max'), 0)
                      FROM signal_counts
                      WHERE call_id = NEW.call_id AND from_user = NEW.from_user AND to_user = NEW.to_user));

  INSERT INTO do_trim_signals (call_id, from_user, to_user, new_id, excess)
  VALUES (NEW.call_id, NEW.from_user, NEW.to_user, NEW.id,
          (SELECT bytes - (SELECT value FROM settings WHERE name = 'signals_per_call_max_bytes')
           FROM signal_counts
           WHERE call_id = NEW.call_id AND from_user = NEW.from_user AND to_user = NEW.to_user));
END;

CREATE TRIGGER stored_signal_emits_event
-- The event has the signal's id. The payload stays here, where it goes away with the call.
AFTER INSERT ON call_signals
BEGIN
  INSERT INTO do_emit_event (emit, kind, call_id, username, detail)
  VALUES (1, 'signal', NEW.call_id, NEW.to_user, json_object('signal_id', NEW.id));
END;

CREATE TRIGGER deleted_signal_is_not_counted
-- The count follows every deletion, and goes with the last signal.
AFTER DELETE ON call_signals
BEGIN
  UPDATE signal_counts SET kept = kept - 1, bytes = bytes - length(CAST(OLD.payload AS BLOB))
  WHERE call_id = OLD.call_id AND from_user = OLD.from_user AND to_user = OLD.to_user;

  DELETE FROM signal_counts
  WHERE call_id = OLD.call_id AND from_user = OLD.from_user AND to_user = OLD.to_user AND kept < 1;
END;

CREATE VIEW signal_json AS
-- A signal as GET .../signals and the event `signal` give it. The payload is the sender's text, not parsed again. A
-- line break in it can only be white space, and would end a line of a server-sent event. The last member of the object
-- is a number, so rtrim removes one brace.
  SELECT id, call_id, to_user,
         rtrim(json_object('id', id, 'from', from_user, 'type', signal_type, 'ts', ts), '}')
         || ',"payload":' || replace(replace(payload, char(13), ' '), char(10), ' ') || '}' AS json
  FROM call_signals;

CREATE TRIGGER call_signals_id_leaves_room
-- An id near the end of the numbers would leave none for later rows.
BEFORE INSERT ON call_signals
WHEN NEW.id > (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'call_signals') + 1000000
BEGIN
  SELECT RAISE(ABORT, 'id_too_large');
END;
