-- Idempotency keys: a client that lost an answer repeats the request with the same key, which is carried out once.
--
-- The server wraps the write of an action: check_idempotency_key comes first, keep_answer last. A refused write is rolled
-- back as a whole, so a refused request can be repeated and is tried again.

CREATE VIEW idempotency_cutoff (ts) AS
-- Keys stored up to this time are forgotten.
  SELECT now.ts - value FROM now JOIN settings ON name = 'idempotency_key_ttl';

CREATE VIEW check_idempotency_key (username, key, fingerprint) AS
-- Refuses a key that the person has used: with idempotency_key_used if this is the same request.
  SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER used_idempotency_key_is_refused
-- Another request with the same key is a mistake of the client, and neither of the two answers would be right. The writes of
-- two requests at once run one after the other, so the second one finds the key of the first.
INSTEAD OF INSERT ON check_idempotency_key
BEGIN
  SELECT RAISE(ABORT, 'idempotency_key_reused')
  FROM idempotency_keys
  WHERE username = NEW.username AND key = NEW.key AND fingerprint IS NOT NEW.fingerprint
    AND ts > (SELECT ts FROM idempotency_cutoff);

  SELECT RAISE(ABORT, 'idempotency_key_used')
  FROM idempotency_keys
  WHERE username = NEW.username AND key = NEW.key AND ts > (SELECT ts FROM idempotency_cutoff);
END;

CREATE VIEW keep_answer (username, key, fingerprint, answer, action, id, person) AS
-- Stores the key of a request with its answer: that of action_answers, or `answer` if it has none.
  SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER keep_answer_stores_it
-- A person who was removed meanwhile keeps nothing: somebody else may get the name.
INSTEAD OF INSERT ON keep_answer
BEGIN
  DELETE FROM idempotency_keys
  WHERE username = NEW.username AND key = NEW.key AND ts <= (SELECT ts FROM idempotency_cutoff);

  INSERT INTO idempotency_keys (username, key, fingerprint, answer, ordinal, ts)
  SELECT username, NEW.key, NEW.fingerprint,
         coalesce((SELECT json FROM action_answers
                   WHERE action = NEW.action AND id = NEW.id AND person = NEW.person), NEW.answer),
         1 + coalesce((SELECT ordinal FROM idempotency_keys
                       WHERE username = NEW.username ORDER BY ordinal DESC LIMIT 1), 0),
         (SELECT ts FROM now)
  FROM users WHERE username = NEW.username;
END;

CREATE TRIGGER oldest_idempotency_keys_make_way
-- A person cannot fill the disk. A retry follows within seconds, so the newest keys matter.
AFTER INSERT ON idempotency_keys
BEGIN
  DELETE FROM idempotency_keys
  WHERE username = NEW.username
    AND ordinal <= NEW.ordinal - (SELECT value FROM settings WHERE name = 'idempotency_keys_per_person');
END;

CREATE TRIGGER idempotency_key_is_new
-- INSERT OR REPLACE would change the answer of a request.
BEFORE INSERT ON idempotency_keys
WHEN EXISTS (SELECT 1 FROM idempotency_keys WHERE username = NEW.username AND key = NEW.key)
BEGIN
  SELECT RAISE(ABORT, 'idempotency_key_is_final');
END;

CREATE TRIGGER idempotency_key_is_final
-- All answers to a request are the same. Only its time moves, when the clock is set.
BEFORE UPDATE ON idempotency_keys
WHEN (SELECT step_seconds FROM clock) IS NULL
BEGIN
  SELECT RAISE(ABORT, 'idempotency_key_is_final');
END;

CREATE TRIGGER removed_user_takes_idempotency_keys_along
-- A person of the same name gets none of their answers.
AFTER DELETE ON users
BEGIN
  DELETE FROM idempotency_keys WHERE username = OLD.username;
END;

CREATE VIEW due_idempotency_keys AS
-- Keys that are forgotten.
  SELECT username, key FROM idempotency_keys WHERE ts <= (SELECT ts FROM idempotency_cutoff);
