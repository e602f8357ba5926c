-- Media that is relayed by the server: the newest init segment of each sender, and chunks within bounds of age and
-- size.

CREATE VIEW media_cutoff (ts) AS
-- Chunks stored up to this time are too old.
  SELECT now.ts - value FROM now JOIN settings ON name = 'media_buffer_seconds';

-- Media of calls

CREATE VIEW call_upload_access (call_id, username, access) AS
-- Who may upload media to a call: 'granted', or the code with which only_accepted_participants_upload refuses. The server
-- asks before it takes the bytes. No row: there is no such call.
  SELECT call.call_id, person.username,
         CASE WHEN own.state IS NULL THEN 'not_a_participant'
              WHEN NOT call.is_live THEN 'call_finished'
              WHEN own.state <> 'accepted' THEN 'not_accepted' ELSE 'granted' END
  FROM calls AS call
  CROSS JOIN users AS person
  LEFT JOIN call_participants AS own
    ON own.call_id = call.call_id AND own.username = person.username AND own.number = person.number;

CREATE TRIGGER only_accepted_participants_upload
-- Media comes from people on the call.
BEFORE INSERT ON call_media
BEGIN
  INSERT INTO check_on_call (call_id, username) VALUES (NEW.call_id, NEW.sender);
END;

CREATE TRIGGER call_media_chunk_is_not_too_large
-- A chunk is a few seconds of video.
BEFORE INSERT ON call_media
WHEN length(NEW.data) > (SELECT value FROM settings WHERE name = 'media_chunk_max_bytes')
BEGIN
  SELECT RAISE(ABORT, 'media_chunk_too_large');
END;

CREATE TRIGGER call_media_is_final
-- Receivers have read it. Only its time moves, when the clock is set.
BEFORE UPDATE ON call_media
WHEN (SELECT step_seconds FROM clock) IS NULL
BEGIN
  SELECT RAISE(ABORT, 'media_is_final');
END;

CREATE TRIGGER call_media_id_is_new
-- INSERT OR REPLACE with an existing id would overwrite a chunk.
BEFORE INSERT ON call_media
WHEN EXISTS (SELECT 1 FROM call_media WHERE id = NEW.id)
BEGIN
  SELECT RAISE(ABORT, 'media_is_final');
END;

CREATE TRIGGER newest_call_init_replaces_the_earlier
-- A restarted recorder has a new init segment, and the earlier one decodes none of the new chunks. It counts for the
-- person, but not for the chunks of the call.
AFTER INSERT ON call_media
WHEN NEW.is_init = 1
BEGIN
  DELETE FROM call_media WHERE call_id = NEW.call_id AND sender = NEW.sender AND is_init = 1 AND id < NEW.id;

  UPDATE person_counts SET media_bytes = media_bytes + length(NEW.data)
  WHERE username = NEW.sender;

  INSERT INTO do_limit_media (sender, call_chunk, share_chunk)
  VALUES (NEW.sender, NEW.id, NULL);
END;

CREATE TRIGGER oldest_call_media_makes_way
-- Bounds the bytes of a sender in one call, and then those of the person everywhere. The oldest chunks go, as many as it
-- takes; the newest always stays.
AFTER INSERT ON call_media
WHEN NEW.is_init = 0
BEGIN
  INSERT INTO media_bytes (call_id, sender, kept)
  VALUES (NEW.call_id, NEW.sender, length(NEW.data))
  ON CONFLICT (call_id, sender) DO UPDATE SET kept = kept + length(NEW.data);

  UPDATE person_counts SET media_bytes = media_bytes + length(NEW.data)
  WHERE username = NEW.sender;

  DELETE FROM call_media
  WHERE id IN (WITH RECURSIVE
                 oldest (id, excess) AS (
                   SELECT (SELECT min(id) FROM call_media
                           WHERE call_id = NEW.call_id AND sender = NEW.sender AND is_init = 0),
                          (SELECT kept - (SELECT value FROM settings WHERE name = 'media_buffer_max_bytes')
                           FROM media_bytes WHERE call_id = NEW.call_id AND sender = NEW.sender)
                   UNION ALL
                   SELECT (SELECT min(id) FROM call_media
                           WHERE call_id = NEW.call_id AND sender = NEW.sender AND is_init = 0 AND id > oldest.id),
                          excess - (SELECT length(data) FROM call_media WHERE id = oldest.id)
                   FROM oldest WHERE excess > 0 AND id < NEW.id)
               SELECT id FROM oldest WHERE excess > 0 AND id < NEW.id);

  INSERT INTO do_limit_media (sender, call_chunk, share_chunk)
  VALUES (NEW.sender, NEW.id, NULL);
END;

CREATE TRIGGER deleted_call_media_is_not_counted
-- The sums follow every deletion. The row of a sender goes with the last chunk.
AFTER DELETE ON call_media
BEGIN
  UPDATE media_bytes SET kept = kept - length(OLD.data) WHERE OLD.is_init = 0 AND call_id = OLD.call_id AND sender = OLD.sender;

  DELETE FROM media_bytes WHERE call_id = OLD.call_id AND sender = OLD.sender AND kept < 1;

  UPDATE person_counts SET media_bytes = media_bytes - length(OLD.data)
  WHERE username = OLD.sender;
END;

-- Media of screen shares: the same, with the sharer as the one sender

CREATE VIEW share_upload_access (share_id, username, access) AS
-- Who may upload media to a share: as call_upload_access, for upload_share_media.
  SELECT share.share_id, person.username,
         CASE WHEN NOT EXISTS (SELECT 1 FROM share_sharers
                               WHERE share_id = share.share_id AND username = person.username) THEN 'not_the_sharer'
              WHEN share.state = 'ended' THEN 'share_ended' ELSE 'granted' END
  FROM screenshares AS share CROSS JOIN users AS person;

CREATE VIEW upload_share_media (share_id, username, is_init, mime_type, data) AS
-- POST /screenshare/ID/media: the sharer uploads, and so proves presence.
  SELECT NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER only_sharer_uploads
-- The sharer is the one sender.
INSTEAD OF INSERT ON upload_share_media
BEGIN
  INSERT INTO check_sharer (share_id, username) VALUES (NEW.share_id, NEW.username);

  INSERT INTO share_media (share_id, is_init, mime_type, ts, data)
  VALUES (NEW.share_id, NEW.is_init, NEW.mime_type, (SELECT ts FROM now), NEW.data);

  INSERT INTO do_note_presence (username, call_id) VALUES (NEW.username, NEW.share_id);
END;

CREATE TRIGGER share_media_is_for_an_active_share
-- An ended share keeps no media.
BEFORE INSERT ON share_media
BEGIN
  SELECT RAISE(ABORT, 'share_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.share_id);

  SELECT RAISE(ABORT, 'share_ended')
  WHERE EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.share_id AND state = 'ended');
END;

CREATE TRIGGER share_media_chunk_is_not_too_large
-- As call_media_chunk_is_not_too_large.
BEFORE INSERT ON share_media
WHEN length(NEW.data) > (SELECT value FROM settings WHERE name = 'media_chunk_max_bytes')
BEGIN
  SELECT RAISE(ABORT, 'media_chunk_too_large');
END;

CREATE TRIGGER share_media_is_final
-- As call_media_is_final.
BEFORE UPDATE ON share_media
WHEN (SELECT step_seconds FROM clock) IS NULL
BEGIN
  SELECT RAISE(ABORT, 'media_is_final');
END;

CREATE TRIGGER share_media_id_is_new
-- As call_media_id_is_new.
BEFORE INSERT ON share_media
WHEN EXISTS (SELECT 1 FROM share_media WHERE id = NEW.id)
BEGIN
  SELECT RAISE(ABORT, 'media_is_final');
END;

CREATE TRIGGER newest_share_init_replaces_the_earlier
-- As newest_call_init_replaces_the_earlier.
AFTER INSERT ON share_media
WHEN NEW.is_init = 1
BEGIN
  DELETE FROM share_media WHERE share_id = NEW.share_id AND is_init = 1 AND id < NEW.id;

  UPDATE person_counts SET media_bytes = media_bytes + length(NEW.data)
  WHERE username = (SELECT sharer FROM screenshares WHERE share_id = NEW.share_id);

  INSERT INTO do_limit_media (sender, call_chunk, share_chunk)
  VALUES ((SELECT sharer FROM screenshares WHERE share_id = NEW.share_id), NULL, NEW.id);
END;

CREATE TRIGGER oldest_share_media_makes_way
-- As oldest_call_media_makes_way.
AFTER INSERT ON share_media
WHEN NEW.is_init = 0
BEGIN
  INSERT INTO media_bytes (call_id, sender, kept)
  VALUES (NEW.share_id, (SELECT sharer FROM screenshares WHERE share_id = NEW.share_id), length(NEW.data))
  ON CONFLICT (call_id, sender) DO UPDATE SET kept = kept + length(NEW.data);

  UPDATE person_counts SET media_bytes = media_bytes + length(NEW.data)
  WHERE username = (SELECT sharer FROM screenshares WHERE share_id = NEW.share_id);

  DELETE FROM share_media
  WHERE id IN (WITH RECURSIVE
                 oldest (id, excess) AS (
                   SELECT (SELECT min(id) FROM share_media
                           WHERE share_id = NEW.share_id AND is_init = 0),
                          (SELECT kept - (SELECT value FROM settings WHERE name = 'media_buffer_max_bytes')
                           FROM media_bytes WHERE call_id = NEW.share_id)
                   UNION ALL
                   SELECT (SELECT min(id) FROM share_media
                           WHERE share_id = NEW.share_id AND is_init = 0 AND id > oldest.id),
                          excess - (SELECT length(data) FROM share_media WHERE id = oldest.id)
                   FROM oldest WHERE excess > 0 AND id < NEW.id)
               SELECT id FROM oldest WHERE excess > 0 AND id < NEW.id);

  INSERT INTO do_limit_media (sender, call_chunk, share_chunk)
  VALUES ((SELECT sharer FROM screenshares WHERE share_id = NEW.share_id), NULL, NEW.id);
END;

CREATE TRIGGER deleted_share_media_is_not_counted
-- As deleted_call_media_is_not_counted.
AFTER DELETE ON share_media
BEGIN
  UPDATE media_bytes SET kept = kept - length(OLD.data) WHERE OLD.is_init = 0 AND call_id = OLD.share_id;

  DELETE FROM media_bytes WHERE call_id = OLD.share_id AND kept < 1;

  UPDATE person_counts SET media_bytes = media_bytes - length(OLD.data)
  WHERE username = (SELECT sharer FROM screenshares WHERE share_id = OLD.share_id);
END;

-- Media of a person, in all calls and shares

CREATE VIEW do_limit_media (sender, call_chunk, share_chunk) AS
-- Bounds the media of a person after an upload, whose id is in the column of its table.
  SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER oldest_media_of_a_person_makes_way
-- `chunk` is the id of a call's chunk, or the negative id of a share's. Each step takes the older one of the next chunk in
-- any call of the person and the next in any of their shares. Reading all chunks instead would let a person with many
-- small ones slow everybody down.
INSTEAD OF INSERT ON do_limit_media
WHEN (SELECT media_bytes FROM person_counts WHERE username = NEW.sender)
  > (SELECT value FROM settings WHERE name = 'media_per_person_max_bytes' AND value > 0)
BEGIN
  INSERT INTO do_delete_chunk (chunk)
  SELECT chunk
  FROM (WITH RECURSIVE
          oldest (chunk, call_after, share_after, excess) AS (
            SELECT 0, 0, 0,
                   (SELECT media_bytes FROM person_counts WHERE username = NEW.sender)
                   - (SELECT value FROM settings WHERE name = 'media_per_person_max_bytes')
            UNION ALL
            SELECT (SELECT CASE WHEN in_share IS NULL OR (SELECT ts FROM call_media WHERE id = in_call)
                                                         <= (SELECT ts FROM share_media WHERE id = in_share)
                                THEN in_call ELSE -in_share END
                    FROM (SELECT (SELECT min((SELECT min(id) FROM call_media
                                              WHERE call_id = stream.call_id AND sender = NEW.sender AND is_init = 0
                                                AND id > max(call_after, chunk) AND id IS NOT NEW.call_chunk))
                                  FROM media_bytes AS stream WHERE sender = NEW.sender) AS in_call,
                                 (SELECT min((SELECT min(id) FROM share_media
                                              WHERE share_id = stream.call_id AND is_init = 0
                                                AND id > max(share_after, -chunk) AND id IS NOT NEW.share_chunk))
                                  FROM media_bytes AS stream WHERE sender = NEW.sender) AS in_share)),
                   max(call_after, chunk), max(share_after, -chunk),
                   excess - CASE WHEN chunk > 0 THEN (SELECT length(data) FROM call_media WHERE id = chunk)
                                 WHEN chunk < 0 THEN (SELECT length(data) FROM share_media WHERE id = -chunk)
                                 ELSE 0 END
            FROM oldest WHERE excess > 0 AND chunk IS NOT NULL)
        SELECT chunk FROM oldest WHERE chunk <> 0 AND excess > 0);
END;

CREATE VIEW do_delete_chunk (chunk) AS
-- Deletes the chunk of a call, or of a share if the id is negative.
  SELECT NULL WHERE 0;

CREATE TRIGGER chunk_is_deleted
-- One of the two exists.
INSTEAD OF INSERT ON do_delete_chunk
BEGIN
  DELETE FROM call_media WHERE id = NEW.chunk;

  DELETE FROM share_media WHERE id = -NEW.chunk;
END;

CREATE TRIGGER call_media_id_leaves_room
-- An id near the end of the numbers would leave none for later rows.
BEFORE INSERT ON call_media
WHEN NEW.id > (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'call_media') + 1000000
BEGIN
  SELECT RAISE(ABORT, 'id_too_large');
END;

CREATE TRIGGER share_media_id_leaves_room
-- An id near the end of the numbers would leave none for later rows.
BEFORE INSERT ON share_media
WHEN NEW.id > (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'share_media') + 1000000
BEGIN
  SELECT RAISE(ABORT, 'id_too_large');
END;
