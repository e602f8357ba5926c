-- Links, by which a guest without an account comes to one call.

CREATE TABLE links (
  -- One row a link. The file does not contain the token that is in its address.
  token_hash TEXT NOT NULL PRIMARY KEY                     -- SHA-256 of the token, 64 lower-case hex digits
             CONSTRAINT links_token_hash_format CHECK (length(token_hash) = 64 AND token_hash NOT GLOB '*[^0-9a-f]*'),
  channel    TEXT NOT NULL,                                -- canonical: its call is the one that guests come to
  created_by TEXT NOT NULL,                                -- a member of the channel. The link goes with the membership
  created_ts REAL NOT NULL,                                -- when
  expires_ts REAL NOT NULL,                                -- from then on it is invalid; a sweep deletes it
  uses_left  INTEGER NOT NULL                              -- guests who may still come by it
             CONSTRAINT links_uses_in_range CHECK (uses_left BETWEEN 0 AND 1000),
  admit      INTEGER NOT NULL                              -- 1: a guest waits until a member on the call admits them
             CONSTRAINT links_admit_boolean CHECK (admit IN (0, 1)),
  CONSTRAINT links_lifetime_in_range CHECK (expires_ts - created_ts BETWEEN 60 AND 31536000),
  CONSTRAINT time_unknown CHECK (abs(created_ts) <= 253402300799 AND abs(expires_ts) <= 253402300799)
) STRICT, WITHOUT ROWID;

CREATE INDEX links_by_channel ON links (channel);
CREATE INDEX links_by_maker ON links (created_by);
CREATE INDEX links_by_expiry ON links (expires_ts);
