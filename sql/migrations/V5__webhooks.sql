-- Webhooks: programs that learn of every call by HTTP, and what is on its way to them.

CREATE TABLE webhooks (
  -- One row a receiver: INSERT INTO add_webhook (name, url, secret) VALUES ('chat', 'https://...', 'whsec_...')
  name          TEXT NOT NULL PRIMARY KEY                  -- what it is for, as a user name is written
                CONSTRAINT webhooks_name_format CHECK (length(CAST(name AS BLOB)) BETWEEN 1 AND 64
                  AND length(name) = length(CAST(name AS BLOB)) AND name NOT GLOB '*[^A-Za-z0-9._@-]*'
                  AND name <> '.' AND name <> '..'),
  url           TEXT NOT NULL                              -- where requests go: http or https, without a user
                CONSTRAINT webhooks_url_format CHECK (length(url) <= 2000
                  AND (url GLOB 'https://[A-Za-z0-9[]*' OR url GLOB 'http://[A-Za-z0-9[]*')
                  AND url NOT GLOB '*[^!-~]*' AND instr(url, '\') = 0 AND instr(url, char(0)) = 0
                  -- No @ before the path: a password would be in the log of every proxy.
                  AND instr(substr(replace(replace(url, '?', '/'), '#', '/'), 9,
                                   instr(substr(replace(replace(url, '?', '/'), '#', '/') || '/', 9), '/') - 1),
                            '@') = 0),
  secret        TEXT NOT NULL                              -- signs each request: whsec_ and 24 to 64 bytes in base64
                CONSTRAINT webhooks_secret_format CHECK (secret GLOB 'whsec_*' AND length(secret) BETWEEN 38 AND 94
                  AND (length(secret) - 6) % 4 = 0 AND rtrim(substr(secret, 7), '=') NOT GLOB '*[^A-Za-z0-9+/]*'
                  AND length(secret) - length(rtrim(secret, '=')) <= 2),
  kinds         TEXT,                                      -- a JSON list of types of events; NULL: all
  allow_private INTEGER NOT NULL DEFAULT 0                 -- 1: its address may be one of this machine or network
                CONSTRAINT webhooks_allow_private_boolean CHECK (allow_private IN (0, 1)),
  created_ts    REAL NOT NULL,                             -- when it was added
  disabled_ts   REAL,                                      -- when the receiver answered that it is gone; NULL: in use
  kept          INTEGER NOT NULL DEFAULT 0,                -- its rows in webhook_deliveries
  dropped       INTEGER NOT NULL DEFAULT 0,                -- deliveries that were deleted because they were too many
  CONSTRAINT time_unknown CHECK (abs(created_ts) <= 253402300799 AND abs(disabled_ts) <= 253402300799)
) STRICT, WITHOUT ROWID;

CREATE TABLE webhook_deliveries (
  -- One row an event and webhook, in the transaction of the event, until it is delivered. What is given up stays for a
  -- while. Of one call, a delivery waits for those before it.
  id          INTEGER PRIMARY KEY AUTOINCREMENT,           -- the order of deliveries
  webhook     TEXT NOT NULL REFERENCES webhooks (name),    -- the receiver
  subject     TEXT NOT NULL,                               -- the call or screen share
  message_id  TEXT NOT NULL,                               -- the header webhook-id: the same at each attempt
  body        TEXT NOT NULL                                -- the JSON that is sent, as things were at the event
              CONSTRAINT webhook_deliveries_body_is_json CHECK (json_valid(body)),
  queued_ts   REAL NOT NULL,                               -- when it was stored, or an admin had it retried
  attempts    INTEGER NOT NULL DEFAULT 0,                  -- since then, all failed
  next_ts     REAL,                                        -- when the next attempt is due; NULL: it waits for an earlier
                                                           -- one of the same call, or is given up
  last_status INTEGER,                                     -- the HTTP status of the last attempt; NULL without an answer
  last_error  TEXT,                                        -- why the last attempt failed
  given_up_ts REAL,                                        -- when it was given up
  CONSTRAINT webhook_deliveries_given_up_is_not_due CHECK (given_up_ts IS NULL OR next_ts IS NULL),
  CONSTRAINT time_unknown CHECK (abs(queued_ts) <= 253402300799 AND abs(next_ts) <= 253402300799
    AND abs(given_up_ts) <= 253402300799)
) STRICT;

CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (webhook, next_ts, id) WHERE next_ts IS NOT NULL;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_ts) WHERE next_ts IS NOT NULL;
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (webhook, subject, id) WHERE given_up_ts IS NULL;
CREATE INDEX webhook_deliveries_given_up ON webhook_deliveries (given_up_ts) WHERE given_up_ts IS NOT NULL;
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook, id);

INSERT INTO settings (name, value, default_value, kind, unit, lowest, highest, meaning)
SELECT column1, column2, column2, column3, column4, column5, column6, column7
FROM (VALUES
    ('webhook_retry_seconds', 86400, 'number', 'seconds', 1, 2592000,
     'a delivery to a webhook is retried for this long, and is then given up'),
    ('webhook_failures_max_age', 604800, 'number', 'seconds', 1, 31536000,
     'deliveries to webhooks that were given up are deleted after this long'),
    ('webhook_deliveries_max', 10000, 'number', 'count', 1, 1000000,
     'deliveries kept for one webhook, waiting or given up; the oldest are deleted first'));
