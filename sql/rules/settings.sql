-- Settings: their names and ranges are the program's, their values an admin's.

CREATE TRIGGER setting_stays
-- A deleted setting would be NULL and switch its rules off.
BEFORE DELETE ON settings
BEGIN
  SELECT RAISE(ABORT, 'setting_is_needed');
END;

CREATE TRIGGER setting_keeps_its_name_and_range
-- Only the value may change.
BEFORE UPDATE ON settings
WHEN (NEW.name, NEW.default_value, NEW.kind, NEW.lowest, NEW.highest)
  IS NOT (OLD.name, OLD.default_value, OLD.kind, OLD.lowest, OLD.highest)
BEGIN
  SELECT RAISE(ABORT, 'setting_is_needed');
END;

CREATE TRIGGER settings_are_not_added
-- A misspelt name would limit nothing. INSERT OR REPLACE deletes a row without firing setting_stays.
BEFORE INSERT ON settings
BEGIN
  SELECT RAISE(ABORT, 'setting_is_needed');
END;

CREATE VIEW check_setting (name) AS
-- Refuses a name that no setting has.
  SELECT NULL WHERE 0;

CREATE TRIGGER unknown_setting_is_refused
-- An UPDATE of a misspelt name would change nothing, silently.
INSTEAD OF INSERT ON check_setting
BEGIN
  SELECT RAISE(ABORT, 'setting_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM settings WHERE name = NEW.name);
END;

CREATE VIEW set_setting (name, value) AS
-- Changes a setting: INSERT INTO set_setting (name, value) VALUES ('ringing_timeout', 45).
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER set_setting_changes_the_value
-- A command line has text only, so text that is a number is one for a setting that is a number. NULL is outside of every
-- range.
INSTEAD OF INSERT ON set_setting
BEGIN
  INSERT INTO check_setting (name) VALUES (NEW.name);

  UPDATE settings
  SET value = CASE WHEN NEW.value IS NULL THEN ''
                   WHEN kind = 'number' AND typeof(NEW.value) = 'text' AND json_valid(NEW.value)
                   THEN CASE WHEN json_type(NEW.value) IN ('integer', 'real')
                             THEN json_extract(NEW.value, '$') ELSE NEW.value END
                   ELSE NEW.value END
  WHERE name = NEW.name;
END;

CREATE VIEW reset_setting (name) AS
-- Returns a setting to the value of a new file: INSERT INTO reset_setting (name) VALUES ('ringing_timeout').
  SELECT NULL WHERE 0;

CREATE TRIGGER reset_setting_restores_the_default
-- As set_setting_changes_the_value. Other settings may be in the way: see settings_work_together.
INSTEAD OF INSERT ON reset_setting
BEGIN
  INSERT INTO check_setting (name) VALUES (NEW.name);

  UPDATE settings SET value = default_value WHERE name = NEW.name;
END;

CREATE TRIGGER settings_work_together
-- Some values are harmless alone and end every call, or lose events, together. Presence that is stored too rarely looks
-- like absence. A pruned call has no state, so clients that resume after its end must find no events of it either. Raise
-- the larger value first, and lower the smaller one first.
BEFORE UPDATE OF value ON settings
WHEN NEW.name = 'presence_interval' OR NEW.name = 'presence_timeout' OR NEW.name = 'history_max_age'
  OR NEW.name = 'events_max_age'
BEGIN
  SELECT RAISE(ABORT, 'presence_interval_too_long')
  WHERE (SELECT max(CASE name WHEN 'presence_interval' THEN value END) * 2
              > max(CASE name WHEN 'presence_timeout' THEN value END)
         FROM (SELECT name, CASE name WHEN NEW.name THEN NEW.value ELSE value END AS value FROM settings));

  SELECT RAISE(ABORT, 'history_max_age_too_short')
  WHERE (SELECT max(CASE name WHEN 'history_max_age' THEN value END)
                BETWEEN 0.001 AND max(CASE name WHEN 'events_max_age' THEN value END) - 0.001
         FROM (SELECT name, CASE name WHEN NEW.name THEN NEW.value ELSE value END AS value FROM settings));
END;

CREATE TRIGGER json_setting_is_a_list
-- All of them are lists. The rules about single settings read the items of a list, and leave other values to this one.
BEFORE UPDATE OF value ON settings
WHEN NEW.kind = 'JSON'
BEGIN
  SELECT RAISE(ABORT, 'setting_is_a_json_list')
  WHERE NOT CASE WHEN typeof(NEW.value) = 'text' AND json_valid(NEW.value)
                 THEN json_type(NEW.value) = 'array' ELSE 0 END;
END;

CREATE TRIGGER ice_servers_suit_browsers
-- One malformed RTCIceServer makes a browser refuse to connect at all (WebRTC 1.0, section 4.2.4). Each server has one
-- URL or several, and a TURN server a user name and a credential.
BEFORE UPDATE OF value ON settings
WHEN NEW.name = 'ice_servers' AND CASE WHEN json_valid(NEW.value) THEN json_type(NEW.value) = 'array' END
BEGIN
  SELECT RAISE(ABORT, 'ice_server_malformed')
  WHERE EXISTS (SELECT 1 FROM json_each(NEW.value) WHERE type <> 'object');

  SELECT RAISE(ABORT, 'ice_server_malformed')
  WHERE EXISTS (SELECT 1 FROM json_each(NEW.value) AS server
                WHERE coalesce(json_type(server.value, '$.urls'), 'missing') NOT IN ('text', 'array')
                   OR json_extract(server.value, '$.urls') IN ('', '[]')
                   OR EXISTS (SELECT 1 FROM json_each(server.value, '$.urls') AS url
                              WHERE url.type <> 'text'
                                 OR NOT (url.value GLOB 'stun:?*' OR url.value GLOB 'stuns:?*'
                                         OR ((url.value GLOB 'turn:?*' OR url.value GLOB 'turns:?*')
                                             AND json_type(server.value, '$.username') IS 'text'
                                             AND json_type(server.value, '$.credential') IS 'text'))));
END;

CREATE TRIGGER turn_urls_are_of_turn_servers
-- As ice_servers_suit_browsers: one malformed URL (RFC 7065) makes a browser refuse to connect at all.
BEFORE UPDATE OF value ON settings
WHEN NEW.name = 'turn_urls' AND CASE WHEN json_valid(NEW.value) THEN json_type(NEW.value) = 'array' END
BEGIN
  SELECT RAISE(ABORT, 'turn_url_malformed')
  WHERE EXISTS (SELECT 1 FROM json_each(NEW.value)
                WHERE type <> 'text' OR NOT (value GLOB 'turn:[^ /]*' OR value GLOB 'turns:[^ /]*'));
END;

CREATE TRIGGER secret_setting_is_text
-- The server computes with its bytes.
BEFORE UPDATE OF value ON settings
WHEN NEW.kind = 'secret'
BEGIN
  SELECT RAISE(ABORT, 'setting_is_text')
  WHERE typeof(NEW.value) IS NOT 'text' OR instr(CAST(NEW.value AS BLOB), x'00');
END;

CREATE TRIGGER origin_settings_are_origins
-- Browsers write an origin in one way (RFC 6454, section 6.2), and the server compares the text. The lists also become a
-- part of a Content-Security-Policy, in which other characters have a meaning.
BEFORE UPDATE OF value ON settings
WHEN (NEW.name = 'allowed_origins' OR NEW.name = 'client_addresses')
  AND CASE WHEN json_valid(NEW.value) THEN json_type(NEW.value) = 'array' END
BEGIN
  SELECT RAISE(ABORT, 'origin_malformed')
  WHERE EXISTS (SELECT 1 FROM json_each(NEW.value)
                WHERE type <> 'text'
                   OR value NOT GLOB '[a-z]*://[a-z0-9[]*' OR value GLOB '*[^]a-z0-9.:/[_-]*'
                   OR value GLOB '*://*/*' OR value GLOB '*[^]a-z0-9]'
                   OR value GLOB 'http://*:80' OR value GLOB 'https://*:443');
END;

CREATE TRIGGER session_cookie_is_a_token
-- Browsers ignore a cookie whose name is no token (RFC 6265, section 4.1.1), and nobody could log in.
BEFORE UPDATE OF value ON settings
WHEN NEW.name = 'session_cookie'
BEGIN
  SELECT RAISE(ABORT, 'session_cookie_malformed')
  WHERE typeof(NEW.value) IS NOT 'text' OR NEW.value GLOB '*[^!#$%&''*+.0-9A-Z^_`a-z|~-]*' OR instr(NEW.value, char(0));
END;

CREATE TRIGGER trusted_header_is_a_field_name
-- Another name would never be sent (RFC 9110, section 5.1). These are what clients send themselves.
BEFORE UPDATE OF value ON settings
WHEN NEW.name = 'trusted_header'
BEGIN
  SELECT RAISE(ABORT, 'trusted_header_malformed')
  WHERE typeof(NEW.value) IS NOT 'text' OR NEW.value GLOB '*[^0-9A-Za-z_-]*' OR instr(NEW.value, char(0))
     OR lower(NEW.value) IN ('accept', 'authorization', 'cookie', 'content-type', 'host', 'origin', 'user-agent');
END;

CREATE TRIGGER busy_policy_is_known
-- A misspelt word would silently be one of the two.
BEFORE UPDATE OF value ON settings
WHEN NEW.name = 'busy_policy' AND NEW.value IS NOT 'ring' AND NEW.value IS NOT 'busy'
BEGIN
  SELECT RAISE(ABORT, 'busy_policy_unknown');
END;

CREATE VIEW server_limits (connections_per_address, streams_per_person, unread_bytes_per_person) AS
-- The limits of what is no row: the server counts it, and reads the limits here at each use. 0 is no limit.
  SELECT (SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'connections_per_address'),
         (SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'streams_per_person'),
         (SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'unread_bytes_per_person');

CREATE VIEW allowed_origins (origin) AS
-- The other sites whose pages may use the API, and show the page in a frame.
  SELECT origin.value FROM settings JOIN json_each(settings.value) AS origin WHERE settings.name = 'allowed_origins';

CREATE VIEW client_addresses (address) AS
-- Where browsers reach the members of the cluster. Pages of each may use the API of the others.
  SELECT address.value FROM settings JOIN json_each(settings.value) AS address WHERE settings.name = 'client_addresses';

CREATE VIEW ice_for_clients (ice_servers, turn_urls, turn_secret, expires_ts) AS
-- The STUN and TURN servers for browsers. The last three are NULL without a TURN server that shares a secret. A credential
-- for it is valid until `expires_ts`, a whole number.
  SELECT ice.value, turn.urls, turn.secret, turn.expires_ts
  FROM settings AS ice
  LEFT JOIN (SELECT urls.value AS urls, secret.value AS secret, CAST(now.ts + ttl.value AS INTEGER) AS expires_ts
             FROM now
             JOIN settings AS urls ON urls.name = 'turn_urls' AND urls.value <> '[]'
             JOIN settings AS secret ON secret.name = 'turn_secret' AND secret.value <> ''
             JOIN settings AS ttl ON ttl.name = 'turn_ttl') AS turn
  WHERE ice.name = 'ice_servers';
