-- Host applications whose users come in with tokens that the application signs (JSON Web Tokens, RFC 7519).

CREATE TABLE issuers (
  -- One row an application. The server verifies signatures with the key, and signs nothing.
  name       TEXT NOT NULL PRIMARY KEY                     -- the claim iss of its tokens
             CONSTRAINT issuers_name_format CHECK (length(name) BETWEEN 1 AND 200
               AND name NOT GLOB '*[^!-~]*' AND instr(CAST(name AS BLOB), x'00') = 0),
  algorithm  TEXT NOT NULL                                 -- of all its signatures; a token cannot choose another
             CONSTRAINT issuers_algorithm_known CHECK (algorithm IN ('HS256', 'RS256', 'ES256', 'EdDSA')),
  key        TEXT NOT NULL                                 -- HS256: the secret; else the public key in PEM, or a set of
                                                           -- public keys in JSON (JWKS, RFC 7517)
             CONSTRAINT issuers_key_length CHECK (length(CAST(key AS BLOB)) BETWEEN 1 AND 65536),
  audience   TEXT                                          -- what the claim aud must name; NULL: aud is ignored
             CONSTRAINT issuers_audience_length CHECK (length(audience) BETWEEN 1 AND 200),
  clock_skew REAL NOT NULL DEFAULT 30                      -- seconds by which the clocks of both may differ
             CONSTRAINT issuers_clock_skew_bounded CHECK (clock_skew BETWEEN 0 AND 600),
  created_ts REAL NOT NULL,                                -- when it was added
  CONSTRAINT time_unknown CHECK (abs(created_ts) <= 253402300799),
  -- A shorter secret can be guessed from one token (RFC 7518, section 3.2). A public key is no secret: everybody could
  -- sign with it.
  CONSTRAINT issuers_secret_is_long CHECK (algorithm <> 'HS256' OR length(CAST(key AS BLOB)) >= 32),
  CONSTRAINT issuers_secret_is_no_public_key CHECK (algorithm <> 'HS256' OR instr(key, '-----BEGIN') = 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE ended_tokens (
  -- Tokens whose session ended before they expired, by a logout or an admin. They stay valid elsewhere, but not here.
  token_hash TEXT NOT NULL PRIMARY KEY                     -- as in sessions
             CONSTRAINT ended_tokens_token_hash_format CHECK (length(token_hash) = 64
               AND token_hash NOT GLOB '*[^0-9a-f]*'),
  expires_ts REAL NOT NULL,                                -- from then on the row is of no use
  CONSTRAINT time_unknown CHECK (abs(expires_ts) <= 253402300799)
) STRICT, WITHOUT ROWID;

CREATE INDEX ended_tokens_by_expiry ON ended_tokens (expires_ts);

CREATE TABLE removed_subjects (
  -- People of an issuer whom an admin has removed. Tokens that were issued until then do not bring them back.
  issuer     TEXT NOT NULL,                                -- as in users
  subject    TEXT NOT NULL,                                -- as in users
  removed_ts REAL NOT NULL,                                -- when
  PRIMARY KEY (issuer, subject),
  CONSTRAINT time_unknown CHECK (abs(removed_ts) <= 253402300799)
) STRICT, WITHOUT ROWID;
