-- Tokens of programs, and who may administer over HTTP.

CREATE VIEW add_service_token (name, token_hash, scopes, seconds) AS
-- Adds the token of a program. `scopes` is a JSON list of admin and metrics. It is valid for so many seconds, or for
-- `session_ttl` if that is NULL. `minimost-calls token --service NAME` makes and prints one.
  SELECT NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER add_service_token_stores_its_hash
-- The scopes are stored sorted, each once.
INSTEAD OF INSERT ON add_service_token
BEGIN
  INSERT INTO service_tokens (name, token_hash, scopes, created_ts, expires_ts)
  SELECT NEW.name, NEW.token_hash,
         coalesce((SELECT group_concat(value, ' ')
                   FROM (SELECT DISTINCT value
                         FROM json_each(CASE WHEN json_valid(NEW.scopes) THEN NEW.scopes END) ORDER BY value)), ''),
         ts, ts + coalesce(NEW.seconds, (SELECT value FROM settings WHERE name = 'session_ttl'))
  FROM now;
END;

CREATE VIEW revoke_service_token (name) AS
-- Deletes the token of a program, valid or expired: INSERT INTO revoke_service_token (name) VALUES ('monitor').
  SELECT NULL WHERE 0;

CREATE TRIGGER revoke_service_token_deletes_it
-- A misspelt name would leave the token valid, silently.
INSTEAD OF INSERT ON revoke_service_token
BEGIN
  SELECT RAISE(ABORT, 'service_token_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM service_tokens WHERE name = NEW.name);

  DELETE FROM service_tokens WHERE name = NEW.name;
END;

CREATE TRIGGER service_token_is_added_once
-- INSERT OR REPLACE would replace a token that a program uses.
BEFORE INSERT ON service_tokens
WHEN EXISTS (SELECT 1 FROM service_tokens WHERE name = NEW.name)
  OR EXISTS (SELECT 1 FROM service_tokens WHERE token_hash = NEW.token_hash)
BEGIN
  SELECT RAISE(ABORT, 'service_token_exists');
END;

CREATE TRIGGER service_token_is_fixed
-- Another hash would be another token.
BEFORE UPDATE ON service_tokens
WHEN (NEW.name, NEW.token_hash) IS NOT (OLD.name, OLD.token_hash)
BEGIN
  SELECT RAISE(ABORT, 'service_token_is_fixed');
END;

CREATE VIEW live_service_tokens (token_hash, name, is_admin, is_metrics) AS
-- The valid tokens of programs, and what each may do.
  SELECT token_hash, name, instr(scopes, 'admin') > 0, instr(scopes, 'metrics') > 0
  FROM service_tokens
  WHERE expires_ts > (SELECT ts FROM now);

CREATE VIEW admin_access (token_hash, name, access) AS
-- Who may use the routes at /admin/: an admin's session, or a program's token with the scope admin. `access` is 'granted'
-- or the code of the refusal. No user name has a colon. No row: the token is of nobody.
  SELECT session.token_hash, session.username,
         CASE (SELECT role FROM users AS person WHERE person.username = session.username)
           WHEN 'admin' THEN 'granted' ELSE 'admin_only' END
  FROM live_sessions AS session
  UNION ALL
  SELECT token_hash, 'service:' || name, CASE WHEN is_admin THEN 'granted' ELSE 'admin_only' END
  FROM live_service_tokens;

CREATE VIEW check_admin (token_hash) AS
-- Refuses a caller who may not administer. It is in the transaction of each change by /admin/, so that nobody changes
-- anything after they have lost the role, the session or the token.
  SELECT NULL WHERE 0;

CREATE TRIGGER only_admins_administer
-- A shell needs no role: the permissions of the file decide who may write to it.
INSTEAD OF INSERT ON check_admin
BEGIN
  SELECT RAISE(ABORT, 'admin_only')
  WHERE (SELECT access FROM admin_access WHERE token_hash = NEW.token_hash) IS NOT 'granted';
END;
