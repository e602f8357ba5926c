-- The rules of what travels with a call or a share: signals and buffered media.

-- Participants signal to each other, nobody else does, and only while the call lasts. A stranger is told so before anything
-- about the call's state.
CREATE TRIGGER call_signal_is_between_participants
BEFORE INSERT ON call_signals
WHEN NOT EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.call_id)
BEGIN
  SELECT RAISE(ABORT, 'call_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id);
  SELECT RAISE(ABORT, 'not_a_participant')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND username = NEW.from_user);
  SELECT RAISE(ABORT, 'call_finished')
  WHERE EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state IN ('ended', 'rejected'));
  SELECT RAISE(ABORT, 'not_accepted')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = NEW.call_id AND username = NEW.from_user AND state = 'accepted');
  SELECT RAISE(ABORT, 'recipient_not_in_call')
  WHERE NEW.to_user IS NOT NEW.from_user
    AND NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = NEW.call_id AND username = NEW.to_user AND state IN ('pending', 'accepted'));
END;

-- A share is a star: every signal has the sharer at one end, and members of the channel at both.
CREATE TRIGGER share_signal_has_the_sharer_at_one_end
BEFORE INSERT ON call_signals
WHEN EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.call_id)
BEGIN
  SELECT RAISE(ABORT, 'not_a_member')
  WHERE NOT EXISTS (SELECT 1 FROM channel_members
                    WHERE channel = (SELECT channel FROM screenshares WHERE share_id = NEW.call_id)
                      AND username = NEW.from_user);
  SELECT RAISE(ABORT, 'share_ended')
  WHERE EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.call_id AND state = 'ended');
  SELECT RAISE(ABORT, 'recipient_not_in_share')
  WHERE NEW.to_user IS NOT NEW.from_user
    AND (NOT EXISTS (SELECT 1 FROM channel_members
                     WHERE channel = (SELECT channel FROM screenshares WHERE share_id = NEW.call_id)
                       AND username = NEW.to_user)
         OR NOT EXISTS (SELECT 1 FROM screenshares
                        WHERE share_id = NEW.call_id AND sharer IN (NEW.from_user, NEW.to_user)));
END;

-- An offer with every codec there is has some ten kilobytes; whatever is much larger is no signal.
CREATE TRIGGER signal_is_not_too_large
BEFORE INSERT ON call_signals
WHEN length(CAST(NEW.payload AS BLOB)) > (SELECT value FROM settings WHERE name = 'signal_max_bytes')
BEGIN
  SELECT RAISE(ABORT, 'signal_too_large');
END;

-- Nobody acknowledges signals, so they are kept while the call lasts; a client that never stops sending must not fill the
-- disk. The oldest for the same recipient make way: refusing new ones instead would wedge a long call. Counting comes before
-- comparing.
CREATE TRIGGER oldest_signals_make_way
AFTER INSERT ON call_signals
BEGIN
  UPDATE signal_counts SET kept = kept + 1 WHERE call_id = NEW.call_id AND to_user = NEW.to_user;

  INSERT INTO signal_counts (call_id, to_user, kept) SELECT NEW.call_id, NEW.to_user, 1 WHERE changes() = 0;

  DELETE FROM call_signals
  WHERE call_id = NEW.call_id AND to_user = NEW.to_user
    AND id <= (SELECT id FROM call_signals
               WHERE call_id = NEW.call_id AND to_user = NEW.to_user
               ORDER BY id
               LIMIT (SELECT kept FROM signal_counts WHERE call_id = NEW.call_id AND to_user = NEW.to_user)
                     > (SELECT value FROM settings WHERE name = 'signals_per_call_max')
               OFFSET (SELECT kept FROM signal_counts WHERE call_id = NEW.call_id AND to_user = NEW.to_user)
                      - (SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'signals_per_call_max') - 1);
END;

-- Whatever takes a signal away, the count follows; the last takes it along.
CREATE TRIGGER signal_that_goes_is_counted_no_more
AFTER DELETE ON call_signals
BEGIN
  UPDATE signal_counts SET kept = kept - 1 WHERE call_id = OLD.call_id AND to_user = OLD.to_user;
  DELETE FROM signal_counts WHERE call_id = OLD.call_id AND to_user = OLD.to_user AND kept < 1;
END;

-- The event is a pointer: the payload stays where it goes away with the call.
CREATE TRIGGER stored_signal_is_announced
AFTER INSERT ON call_signals
BEGIN
  INSERT INTO announce (kind, call_id, username, detail)
  VALUES ('signal', NEW.call_id, NEW.to_user, json_object('signal_id', NEW.id));
END;

-- A signal that changed after its recipient's cursor has passed it would never be read.
CREATE TRIGGER signal_is_final
BEFORE UPDATE ON call_signals
BEGIN
  SELECT RAISE(ABORT, 'signal_is_final');
END;

-- An id that is given twice would, with OR REPLACE, do the same.
CREATE TRIGGER signal_id_is_new
BEFORE INSERT ON call_signals
WHEN EXISTS (SELECT 1 FROM call_signals WHERE id = NEW.id)
BEGIN
  SELECT RAISE(ABORT, 'signal_is_final');
END;

-- Participants who are on the call upload, and only while it lasts.
CREATE TRIGGER call_media_is_from_a_participant
BEFORE INSERT ON call_media
BEGIN
  SELECT RAISE(ABORT, 'call_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id);
  SELECT RAISE(ABORT, 'not_a_participant')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants WHERE call_id = NEW.call_id AND username = NEW.sender);
  SELECT RAISE(ABORT, 'call_finished')
  WHERE EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.call_id AND state IN ('ended', 'rejected'));
  SELECT RAISE(ABORT, 'not_accepted')
  WHERE NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = NEW.call_id AND username = NEW.sender AND state = 'accepted');
END;

-- The same for a share, whose sharer alone uploads.
CREATE TRIGGER share_media_is_from_the_sharer_of_an_active_share
BEFORE INSERT ON share_media
BEGIN
  SELECT RAISE(ABORT, 'share_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.share_id);
  SELECT RAISE(ABORT, 'share_ended')
  WHERE EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.share_id AND state = 'ended');
END;

-- A chunk is some seconds of video.
CREATE TRIGGER call_media_chunk_is_not_too_large
BEFORE INSERT ON call_media
WHEN length(NEW.data) > (SELECT value FROM settings WHERE name = 'media_chunk_max_bytes')
BEGIN
  SELECT RAISE(ABORT, 'media_chunk_too_large');
END;

-- The same for a share.
CREATE TRIGGER share_media_chunk_is_not_too_large
BEFORE INSERT ON share_media
WHEN length(NEW.data) > (SELECT value FROM settings WHERE name = 'media_chunk_max_bytes')
BEGIN
  SELECT RAISE(ABORT, 'media_chunk_too_large');
END;

-- A recorder that was started anew has a new init segment, and the earlier one decodes nothing that will come.
CREATE TRIGGER newest_call_init_replaces_the_earlier
AFTER INSERT ON call_media
WHEN NEW.is_init = 1
BEGIN
  DELETE FROM call_media
  WHERE call_id = NEW.call_id AND sender = NEW.sender AND is_init = 1 AND id < NEW.id;
END;

-- The same for a share.
CREATE TRIGGER newest_share_init_replaces_the_earlier
AFTER INSERT ON share_media
WHEN NEW.is_init = 1
BEGIN
  DELETE FROM share_media WHERE share_id = NEW.share_id AND is_init = 1 AND id < NEW.id;
END;

-- Whoever stores a chunk may count at once, as the server does: filled in afterwards, the count has the whole chunk written a
-- second time. A count that is wrong would keep more than the settings allow, or less.
CREATE TRIGGER call_media_is_counted_right
BEFORE INSERT ON call_media
WHEN NEW.stream_start IS NOT NULL
  AND NEW.stream_start IS NOT
      CASE WHEN NEW.is_init = 0
           THEN coalesce((SELECT stream_start + length(data) FROM call_media
                          WHERE call_id = NEW.call_id AND sender = NEW.sender AND is_init = 0
                          ORDER BY id DESC LIMIT 1), 0) END
BEGIN
  SELECT RAISE(ABORT, 'stream_start_miscounted');
END;

-- The same for a share.
CREATE TRIGGER share_media_is_counted_right
BEFORE INSERT ON share_media
WHEN NEW.stream_start IS NOT NULL
  AND NEW.stream_start IS NOT
      CASE WHEN NEW.is_init = 0
           THEN coalesce((SELECT stream_start + length(data) FROM share_media
                          WHERE share_id = NEW.share_id AND is_init = 0
                          ORDER BY id DESC LIMIT 1), 0) END
BEGIN
  SELECT RAISE(ABORT, 'stream_start_miscounted');
END;

-- Buffered media is bounded by size. stream_start counts what a sender has uploaded, so that what lies too far behind the
-- newest chunk is found without adding anything up; the newest always stays. Counting comes before comparing.
CREATE TRIGGER oldest_call_media_makes_way
AFTER INSERT ON call_media
WHEN NEW.is_init = 0
BEGIN
  UPDATE call_media
  SET stream_start = coalesce((SELECT stream_start + length(data) FROM call_media
                               WHERE call_id = NEW.call_id AND sender = NEW.sender AND is_init = 0 AND id < NEW.id
                               ORDER BY id DESC LIMIT 1), 0)
  WHERE id = NEW.id AND NEW.stream_start IS NULL;

  DELETE FROM call_media
  WHERE call_id = NEW.call_id AND sender = NEW.sender AND is_init = 0 AND id < NEW.id
    AND stream_start < (SELECT stream_start + length(data) FROM call_media WHERE id = NEW.id)
                       - (SELECT value FROM settings WHERE name = 'media_buffer_max_bytes');
END;

-- The same for a share.
CREATE TRIGGER oldest_share_media_makes_way
AFTER INSERT ON share_media
WHEN NEW.is_init = 0
BEGIN
  UPDATE share_media
  SET stream_start = coalesce((SELECT stream_start + length(data) FROM share_media
                               WHERE share_id = NEW.share_id AND is_init = 0 AND id < NEW.id
                               ORDER BY id DESC LIMIT 1), 0)
  WHERE id = NEW.id AND NEW.stream_start IS NULL;

  DELETE FROM share_media
  WHERE share_id = NEW.share_id AND is_init = 0 AND id < NEW.id
    AND stream_start < (SELECT stream_start + length(data) FROM share_media WHERE id = NEW.id)
                       - (SELECT value FROM settings WHERE name = 'media_buffer_max_bytes');
END;

-- Buffered media is bounded by age. Init segments stay: without them a late viewer could decode nothing.
CREATE TRIGGER old_call_media_is_dropped
INSTEAD OF INSERT ON sweep
BEGIN
  DELETE FROM call_media
  WHERE is_init = 0 AND ts <= NEW.ts - (SELECT value FROM settings WHERE name = 'media_buffer_seconds');
END;

-- The same for shares.
CREATE TRIGGER old_share_media_is_dropped
INSTEAD OF INSERT ON sweep
BEGIN
  DELETE FROM share_media
  WHERE is_init = 0 AND ts <= NEW.ts - (SELECT value FROM settings WHERE name = 'media_buffer_seconds');
END;

-- As with signals: receivers have read it. Only the count of bytes is filled in, once.
CREATE TRIGGER call_media_is_final
BEFORE UPDATE ON call_media
WHEN OLD.stream_start IS NOT NULL
  OR (NEW.id, NEW.call_id, NEW.sender, NEW.is_init, NEW.mime_type, NEW.ts)
    IS NOT (OLD.id, OLD.call_id, OLD.sender, OLD.is_init, OLD.mime_type, OLD.ts)
BEGIN
  SELECT RAISE(ABORT, 'media_is_final');
END;

-- The same for shares.
CREATE TRIGGER share_media_is_final
BEFORE UPDATE ON share_media
WHEN OLD.stream_start IS NOT NULL
  OR (NEW.id, NEW.share_id, NEW.is_init, NEW.mime_type, NEW.ts)
    IS NOT (OLD.id, OLD.share_id, OLD.is_init, OLD.mime_type, OLD.ts)
BEGIN
  SELECT RAISE(ABORT, 'media_is_final');
END;
