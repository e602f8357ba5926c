-- Web Push: browsers that are woken when a call rings, and what is on its way to them.

CREATE TABLE push_subscriptions (
  -- One row a browser in which a person wants to be notified while the page is closed. It ends with the session.
  id         TEXT NOT NULL PRIMARY KEY                     -- the beginning of the SHA-256 of the endpoint, in hex
             CONSTRAINT push_subscriptions_id_format CHECK (length(id) = 32 AND id NOT GLOB '*[^0-9a-f]*'),
  token_hash TEXT NOT NULL REFERENCES sessions (token_hash), -- the session of that browser
  username   TEXT NOT NULL,                                -- its owner
  endpoint   TEXT NOT NULL                                 -- where messages go: a URL of the browser's push service,
                                                           -- which is a secret between the two
             CONSTRAINT push_subscriptions_endpoint_format CHECK (length(endpoint) <= 2000
               AND endpoint GLOB 'https://[A-Za-z0-9[]*' AND endpoint NOT GLOB '*[^!-~]*'
               AND instr(endpoint, '\') = 0 AND instr(endpoint, '@') = 0 AND instr(endpoint, char(0)) = 0),
  p256dh     TEXT NOT NULL                                 -- the browser's public key, a point of P-256 in base64url
             CONSTRAINT push_subscriptions_p256dh_format CHECK (length(p256dh) = 87
               AND p256dh GLOB 'B[A-P]*' AND p256dh NOT GLOB '*[^A-Za-z0-9_-]*'),
  auth       TEXT NOT NULL                                 -- the secret that the browser shares with us, in base64url
             CONSTRAINT push_subscriptions_auth_format CHECK (length(auth) = 22
               AND auth NOT GLOB '*[^A-Za-z0-9_-]*'),
  created_ts REAL NOT NULL,                                -- when it was added
  service    TEXT GENERATED ALWAYS AS                      -- the host and port of the push service
             (substr(endpoint, 9, instr(substr(endpoint, 9) || '/', '/') - 1)) VIRTUAL,
  CONSTRAINT time_unknown CHECK (abs(created_ts) <= 253402300799)
) STRICT, WITHOUT ROWID;

CREATE INDEX push_subscriptions_by_session ON push_subscriptions (token_hash);
CREATE INDEX push_subscriptions_by_user ON push_subscriptions (username, created_ts, id);

CREATE TABLE push_deliveries (
  -- One row a browser and call that rings there: first that it rings, then what became of it. It is deleted when that is
  -- delivered, or of no use any more.
  subscription TEXT NOT NULL REFERENCES push_subscriptions (id), -- the browser
  call_id      TEXT NOT NULL,                              -- the call
  kind         TEXT NOT NULL                               -- what is delivered: ring, or how the ring ended
               CONSTRAINT push_deliveries_kind_known CHECK (
                 kind IN ('ring', 'missed', 'answered', 'declined', 'over')),
  until_ts     REAL NOT NULL,                              -- of no use from then on
  attempts     INTEGER NOT NULL DEFAULT 0,                 -- to deliver this kind, all failed
  next_ts      REAL,                                       -- when the next attempt is due; NULL: the ring was delivered
  CONSTRAINT time_unknown CHECK (abs(until_ts) <= 253402300799 AND abs(next_ts) <= 253402300799),
  PRIMARY KEY (subscription, call_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX push_deliveries_due ON push_deliveries (next_ts) WHERE next_ts IS NOT NULL;
CREATE INDEX push_deliveries_by_call ON push_deliveries (call_id, subscription);
CREATE INDEX push_deliveries_by_end ON push_deliveries (until_ts);

INSERT INTO settings (name, value, default_value, kind, unit, lowest, highest, meaning)
SELECT column1, column2, column2, column3, column4, column5, column6, column7
FROM (VALUES
    ('web_push', 0, 'number', 'switch', 0, 1,
     '1: people may be notified of calls while the page is closed, by the push services of their browsers; 0: off'),
    ('web_push_contact', '', 'text', 'characters', 0, 200,
     'address for the operators of push services, `mailto:` or `https:`; those of Apple want one'),
    ('web_push_key', '', 'secret', 'characters', 0, 256,
     'private key by which push services know this server (VAPID); empty: the server makes one when it needs it'),
    ('web_push_allow_private', 0, 'number', 'switch', 0, 1,
     '1: a push service may have an address of this machine or of a private network'),
    ('push_subscriptions_per_person', 20, 'number', 'count', 0, 1000,
     'browsers in which a person is notified while the page is closed; the oldest ends for a new one; 0 is no limit'));
