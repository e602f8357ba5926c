-- Host applications: whose tokens come in, and whom the tokens make.
--
-- The server verifies the signature of a token, and nothing else of it. What the claims may say is decided here.

-- What an admin does with issuers

CREATE VIEW add_issuer (name, algorithm, key, audience, clock_skew) AS
-- Lets the users of a host application in. `name` is the claim iss of its tokens. `clock_skew` is 30 seconds if it is NULL.
-- `minimost-calls issuer add` also checks the key.
  SELECT NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER add_issuer_stores_its_key
-- The CHECKs refuse a missing algorithm or key as ''.
INSTEAD OF INSERT ON add_issuer
BEGIN
  INSERT INTO issuers (name, algorithm, key, audience, clock_skew, created_ts)
  SELECT coalesce(NEW.name, ''), coalesce(NEW.algorithm, ''), coalesce(NEW.key, ''), NEW.audience,
         coalesce(NEW.clock_skew, 30), ts
  FROM now;
END;

CREATE VIEW check_issuer (name) AS
-- Refuses a name that no issuer has.
  SELECT NULL WHERE 0;

CREATE TRIGGER unknown_issuer_is_refused
-- An UPDATE or DELETE of a misspelt name would change nothing, silently.
INSTEAD OF INSERT ON check_issuer
BEGIN
  SELECT RAISE(ABORT, 'issuer_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM issuers WHERE name = NEW.name);
END;

CREATE VIEW set_issuer_key (name, key) AS
-- Changes the key, as a host application changes it from time to time. Sessions of tokens with the old key last until they
-- expire; remove_issuer ends them.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER set_issuer_key_changes_the_key
-- The algorithm stays.
INSTEAD OF INSERT ON set_issuer_key
BEGIN
  INSERT INTO check_issuer (name) VALUES (NEW.name);

  UPDATE issuers SET key = coalesce(NEW.key, '') WHERE name = NEW.name;
END;

CREATE VIEW remove_issuer (name) AS
-- Ends the sessions of a host application's people, who cannot come in any more: INSERT INTO remove_issuer VALUES ('chat').
-- They, their channels and their history stay, and are theirs again if the issuer is added again.
  SELECT NULL WHERE 0;

CREATE TRIGGER remove_issuer_deletes_it
-- removed_issuer_ends_sessions follows.
INSTEAD OF INSERT ON remove_issuer
BEGIN
  INSERT INTO check_issuer (name) VALUES (NEW.name);

  DELETE FROM issuers WHERE name = NEW.name;
END;

CREATE TRIGGER issuer_is_added_once
-- INSERT OR REPLACE would change a key and leave the sessions.
BEFORE INSERT ON issuers
WHEN EXISTS (SELECT 1 FROM issuers WHERE name = NEW.name)
BEGIN
  SELECT RAISE(ABORT, 'issuer_exists');
END;

CREATE TRIGGER issuer_name_is_fixed
-- People belong to the name.
BEFORE UPDATE ON issuers
WHEN NEW.name IS NOT OLD.name
BEGIN
  SELECT RAISE(ABORT, 'issuer_name_is_fixed');
END;

CREATE TRIGGER removed_issuer_ends_sessions
-- The application may be removed because its key was stolen.
AFTER DELETE ON issuers
BEGIN
  DELETE FROM sessions WHERE issuer = OLD.name;
END;

-- Which tokens come in

CREATE VIEW check_token_times (issuer, issued_ts, not_before_ts, expires_ts) AS
-- Refuses a token outside of its time. The clocks may differ by the issuer's skew (RFC 7519, section 4.1).
  SELECT NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER token_is_of_the_present
-- A token of the future would be the newest for a long time, and later ones would change nothing.
INSTEAD OF INSERT ON check_token_times
BEGIN
  SELECT RAISE(ABORT, 'token_expired')
  WHERE EXISTS (SELECT 1 FROM issuers, now WHERE name = NEW.issuer AND NEW.expires_ts + clock_skew <= ts);

  SELECT RAISE(ABORT, 'token_not_yet_valid')
  WHERE EXISTS (SELECT 1 FROM issuers, now
                WHERE name = NEW.issuer
                  AND (NEW.not_before_ts - clock_skew > ts OR NEW.issued_ts - clock_skew > ts));
END;

CREATE VIEW check_token_subject (issuer, subject, issued_ts) AS
-- Refuses a token of nobody, and one that brings a removed person back.
  SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER token_brings_no_removed_user_back
-- A token without the time of its issue may be from before the removal.
INSTEAD OF INSERT ON check_token_subject
BEGIN
  SELECT RAISE(ABORT, 'token_subject_malformed')
  WHERE coalesce(length(NEW.subject), 0) NOT BETWEEN 1 AND 1000 OR instr(CAST(NEW.subject AS BLOB), x'00');

  SELECT RAISE(ABORT, 'token_of_removed_user')
  WHERE EXISTS (SELECT 1 FROM removed_subjects
                WHERE issuer = NEW.issuer AND subject = NEW.subject
                  AND (NEW.issued_ts IS NULL OR NEW.issued_ts <= removed_ts));
END;

CREATE VIEW check_token_channels (channels) AS
-- Refuses a list of channels that cannot be stored: it has objects with an id, and perhaps a title.
  SELECT NULL WHERE 0;

CREATE TRIGGER token_channels_are_bounded
-- The condition on an id is that of private_channels_external_id_format.
INSTEAD OF INSERT ON check_token_channels
WHEN NEW.channels IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'token_channels_malformed')
  WHERE NOT CASE WHEN json_valid(NEW.channels) THEN json_type(NEW.channels) = 'array' ELSE 0 END;

  SELECT RAISE(ABORT, 'token_channels_malformed')
  WHERE json_array_length(NEW.channels) > 500
     OR EXISTS (SELECT 1 FROM json_each(NEW.channels)
                WHERE type <> 'object' OR json_type(value, '$.id') IS NOT 'text'
                   OR coalesce(json_type(value, '$.title'), 'null') NOT IN ('null', 'text'))
     OR EXISTS (SELECT 1 FROM (SELECT json_extract(value, '$.id') AS id FROM json_each(NEW.channels))
                WHERE length(id) NOT BETWEEN 1 AND 200 OR id <> trim(id) OR instr(CAST(id AS BLOB), x'00')
                   OR id GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*');
END;

CREATE VIEW admit_token_user (token_hash, issuer, subject, audience, name, channels, issued_ts, not_before_ts, expires_ts) AS
-- The first use of a token whose signature is valid. It makes or refreshes the person, and is their session from now on.
-- `audience` is a JSON list. `channels` is a JSON list of objects with id and title; NULL leaves the memberships. `name` is
-- what people see; NULL leaves it.
  SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER token_becomes_a_session
-- Two first uses at the same time are one. The token is a session for as long as it is accepted. A token that is older than
-- another one of the person lets them in, and changes nothing.
INSTEAD OF INSERT ON admit_token_user
WHEN NOT EXISTS (SELECT 1 FROM live_sessions WHERE token_hash = NEW.token_hash)
BEGIN
  INSERT INTO check_issuer (name) VALUES (NEW.issuer);

  SELECT RAISE(ABORT, 'token_revoked')
  WHERE EXISTS (SELECT 1 FROM ended_tokens WHERE token_hash = NEW.token_hash);

  INSERT INTO check_token_times (issuer, issued_ts, not_before_ts, expires_ts)
  VALUES (NEW.issuer, NEW.issued_ts, NEW.not_before_ts, NEW.expires_ts);

  SELECT RAISE(ABORT, 'token_of_another_audience')
  WHERE EXISTS (SELECT 1 FROM issuers
                WHERE name = NEW.issuer AND audience IS NOT NULL
                  AND audience NOT IN (SELECT value FROM json_each(NEW.audience)));

  INSERT INTO check_token_subject (issuer, subject, issued_ts) VALUES (NEW.issuer, NEW.subject, NEW.issued_ts);

  INSERT INTO check_token_channels (channels) VALUES (NEW.channels);

  INSERT INTO users (username, password_hash, created_ts, issuer, subject)
  SELECT username, '', ts, NEW.issuer, NEW.subject
  FROM now, free_usernames
  WHERE wanted = json_quote(NEW.subject)
    AND NOT EXISTS (SELECT 1 FROM users WHERE issuer = NEW.issuer AND subject = NEW.subject);

  INSERT INTO do_refresh_token_user (username, display_name, channels, issued_ts)
  SELECT username, NEW.name, NEW.channels, NEW.issued_ts FROM users
  WHERE issuer = NEW.issuer AND subject = NEW.subject
    AND coalesce(NEW.issued_ts >= token_ts, token_ts IS NULL);

  INSERT INTO sessions (token_hash, username, created_ts, expires_ts, issuer)
  SELECT NEW.token_hash, person.username, ts, min(NEW.expires_ts + clock_skew, 253402300799), NEW.issuer
  FROM now, issuers AS issuer JOIN users AS person ON person.issuer = issuer.name
  WHERE issuer.name = NEW.issuer AND person.subject = NEW.subject;
END;

CREATE TRIGGER ended_token_stays_ended
-- The signature is valid until the token expires, so that its next use would be a first one. The rows of expired tokens
-- go here: a sweep would ask for them at each commit.
AFTER DELETE ON sessions
WHEN OLD.issuer IS NOT NULL AND OLD.expires_ts > (SELECT ts FROM now)
BEGIN
  DELETE FROM ended_tokens WHERE expires_ts <= (SELECT ts FROM now) OR token_hash = OLD.token_hash;

  INSERT INTO ended_tokens (token_hash, expires_ts) VALUES (OLD.token_hash, OLD.expires_ts);
END;

-- Whom tokens make

CREATE VIEW free_usernames (wanted, username) AS
-- A function: the user name for a subject. It is the subject itself if that is a name and nobody has it in any case. Else it
-- is 40 characters of the subject, with - for those that no name has, and if need be a number.
--   SELECT username FROM free_usernames WHERE wanted = json_quote('auth0|5f7c')
  SELECT wanted, username FROM (
    SELECT given.json AS wanted,
           (WITH RECURSIVE
              characters (position, character) AS (
                SELECT 1, substr(given.value, 1, 1)
                UNION ALL
                SELECT position + 1, substr(given.value, position + 1, 1) FROM characters
                WHERE position < min(length(given.value), 40)),
              derived (base) AS (
                SELECT group_concat(CASE WHEN character GLOB '[A-Za-z0-9._@-]' THEN character ELSE '-' END, '')
                FROM (SELECT character FROM characters ORDER BY position)),
              candidates (username, number) AS (
                SELECT CASE WHEN length(CAST(given.value AS BLOB)) <= 64 AND given.value NOT GLOB '*[^A-Za-z0-9._@-]*'
                                 AND given.value NOT IN ('.', '..')
                            THEN given.value
                            WHEN base IN ('.', '..') THEN '-' ELSE base END,
                       (SELECT number FROM newest_user)
                FROM derived
                UNION ALL
                SELECT base || '-' || (number + 1), number + 1 FROM candidates, derived
                WHERE EXISTS (SELECT 1 FROM users WHERE users.username = candidates.username COLLATE NOCASE))
            SELECT username FROM candidates
            WHERE NOT EXISTS (SELECT 1 FROM users WHERE users.username = candidates.username COLLATE NOCASE)) AS username
    FROM json_each AS given);

CREATE VIEW do_refresh_token_user (username, display_name, channels, issued_ts) AS
-- What the newest token says of a person.
  SELECT NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER newest_token_decides_name_and_memberships
-- Channels of local admins, and of other issuers, are none of its business. A title is that of the last token that has one.
INSTEAD OF INSERT ON do_refresh_token_user
BEGIN
  UPDATE users SET token_ts = max(NEW.issued_ts, 0), display_name = coalesce(NEW.display_name, display_name)
  WHERE username = NEW.username;

  INSERT INTO private_channels (name, created_by, created_ts, issuer, external_id)
  SELECT coalesce(max(title), external_id), NEW.username, (SELECT ts FROM now),
         (SELECT issuer FROM users WHERE username = NEW.username), external_id
  FROM (SELECT json_extract(value, '$.id') AS external_id, json_extract(value, '$.title') AS title
        FROM json_each(NEW.channels)) AS named
  WHERE NOT EXISTS (SELECT 1 FROM private_channels AS known
                    WHERE known.issuer = (SELECT issuer FROM users WHERE username = NEW.username)
                      AND known.external_id = named.external_id)
  GROUP BY external_id
  ORDER BY external_id;

  UPDATE private_channels
  SET name = named.title
  FROM (SELECT json_extract(value, '$.id') AS id, max(json_extract(value, '$.title')) AS title
        FROM json_each(NEW.channels) GROUP BY 1) AS named
  WHERE issuer = (SELECT issuer FROM users WHERE username = NEW.username) AND external_id = named.id
    AND name <> named.title;

  INSERT INTO private_channel_members (channel_id, username, joined_ts)
  SELECT id, NEW.username, (SELECT ts FROM now)
  FROM private_channels
  WHERE issuer = (SELECT issuer FROM users WHERE username = NEW.username)
    AND external_id IN (SELECT json_extract(value, '$.id') FROM json_each(NEW.channels))
    AND NOT EXISTS (SELECT 1 FROM private_channel_members WHERE channel_id = id AND username = NEW.username)
  ORDER BY id;

  DELETE FROM private_channel_members
  WHERE NEW.channels IS NOT NULL AND username = NEW.username
    AND EXISTS (SELECT 1 FROM private_channels
                WHERE id = channel_id AND issuer = (SELECT issuer FROM users WHERE username = NEW.username)
                  AND external_id NOT IN (SELECT json_extract(value, '$.id') FROM json_each(NEW.channels)));
END;

CREATE TRIGGER removed_subject_is_remembered
-- Their tokens are valid for a while. A later one makes another person.
AFTER DELETE ON users
WHEN OLD.issuer IS NOT NULL
BEGIN
  DELETE FROM removed_subjects WHERE issuer = OLD.issuer AND subject = OLD.subject;

  INSERT INTO removed_subjects (issuer, subject, removed_ts) SELECT OLD.issuer, OLD.subject, ts FROM now;
END;

-- People whom a trusted proxy names

CREATE VIEW admit_header_user (username, token_hash) AS
-- The proxy of --behind-proxy has logged a person in. `token_hash` is one that no token has. The session stands for the
-- person's requests, and is renewed when half of its time is over.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER header_names_a_local_user
-- A new name is a member without a password. The name of a host application's user is that application's to give.
INSTEAD OF INSERT ON admit_header_user
BEGIN
  SELECT RAISE(ABORT, 'trusted_name_malformed')
  WHERE NEW.username IS NULL OR length(CAST(NEW.username AS BLOB)) NOT BETWEEN 1 AND 64
     OR NEW.username GLOB '*[^A-Za-z0-9._@-]*' OR instr(CAST(NEW.username AS BLOB), x'00')
     OR NEW.username IN ('.', '..');

  SELECT RAISE(ABORT, 'trusted_name_taken')
  WHERE EXISTS (SELECT 1 FROM users WHERE username = NEW.username COLLATE NOCASE
                  AND (issuer IS NOT NULL OR guest_of IS NOT NULL));

  INSERT INTO add_user (username)
  SELECT NEW.username WHERE NOT EXISTS (SELECT 1 FROM users WHERE username = NEW.username COLLATE NOCASE);

  UPDATE sessions
  SET expires_ts = (SELECT ts + value FROM now JOIN settings ON name = 'session_ttl')
  WHERE token_hash = NEW.token_hash;

  INSERT INTO sessions (token_hash, username, created_ts, expires_ts)
  SELECT NEW.token_hash, username, ts, ts + (SELECT value FROM settings WHERE name = 'session_ttl')
  FROM users, now
  WHERE username = NEW.username COLLATE NOCASE AND NOT EXISTS (SELECT 1 FROM sessions WHERE token_hash = NEW.token_hash);
END;

CREATE VIEW fresh_sessions (token_hash) AS
-- Sessions that admit_header_user need not renew.
  SELECT token_hash FROM live_sessions
  WHERE expires_ts > (SELECT ts + value / 2 FROM now JOIN settings ON name = 'session_ttl');
