-- Idempotency keys: requests that a client may repeat, and what the first one was answered.

CREATE TABLE idempotency_keys (
  -- One row a request with the header Idempotency-Key that was carried out. The write of the action stores it, so there is
  -- either both or neither.
  username    TEXT NOT NULL,                               -- who sent the request. Others may use the same key
  key         TEXT NOT NULL                                -- what the client made up
              CONSTRAINT idempotency_keys_key_format CHECK (length(key) BETWEEN 1 AND 128
                AND key NOT GLOB '*[^!-~]*' AND instr(CAST(key AS BLOB), x'00') = 0),
  fingerprint TEXT NOT NULL                                -- SHA-256 of path and body, 64 lower-case hex digits
              CONSTRAINT idempotency_keys_fingerprint_format CHECK (length(fingerprint) = 64
                AND fingerprint NOT GLOB '*[^0-9a-f]*'),
  answer      TEXT NOT NULL                                -- the body of the answer
              CONSTRAINT idempotency_keys_answer_is_json CHECK (json_valid(answer)),
  ordinal     INTEGER NOT NULL                             -- grows by one with each key of the person
              CONSTRAINT idempotency_keys_ordinal_in_range CHECK (ordinal BETWEEN 1 AND 9007199254740991),
  ts          REAL NOT NULL,                               -- when
  PRIMARY KEY (username, key),
  CONSTRAINT time_unknown CHECK (abs(ts) <= 253402300799)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_by_ordinal ON idempotency_keys (username, ordinal);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (ts);

INSERT INTO settings (name, value, default_value, kind, unit, lowest, highest, meaning)
SELECT column1, column2, column2, column3, column4, column5, column6, column7
FROM (VALUES
    ('idempotency_key_ttl', 300, 'number', 'seconds', 1, 86400,
     'a request with the same `Idempotency-Key` gets the answer of the first one for this long'),
    ('idempotency_keys_per_person', 1000, 'number', 'count', 1, 100000,
     'keys of requests kept for a person; the oldest are deleted first'));
