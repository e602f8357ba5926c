-- The addresses at which clients reach the members of a cluster, and what a page needs to use another one than its own.

-- A cookie is of one host. The token of a page is another name of the same session, and ends with it: NULL for sessions
-- that did not begin with a login. SHA-256 of that token.
ALTER TABLE sessions ADD COLUMN page_token_hash TEXT
  CONSTRAINT sessions_page_token_hash_format CHECK (length(page_token_hash) = 64
    AND page_token_hash NOT GLOB '*[^0-9a-f]*');

CREATE UNIQUE INDEX sessions_by_page_token ON sessions (page_token_hash) WHERE page_token_hash IS NOT NULL;

INSERT INTO settings (name, value, default_value, kind, unit, lowest, highest, meaning)
SELECT column1, column2, column2, column3, column4, column5, column6, column7
FROM (VALUES
    ('client_addresses', '[]', 'JSON', 'characters', 2, 16384,
     'addresses of the members of a cluster for browsers, as a list of origins; pages of each may use the others'));
