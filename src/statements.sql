-- The SQL statements that the server and the commands run. src/build.rs makes each an item of src/statements.rs, and
-- the database runs no other SQL text. A test checks the query plan of each one.
--
-- A statement starts with `-- name: NAME`, is described by the comment lines below it, and ends with a semicolon and an
-- empty line. Parameters are numbered. `.parameter set ?1 "'alice'"` binds one in the sqlite3 shell.
--
-- A write is acknowledged after its commit is on the disk. With the line `-- unsynced` below the name it is acknowledged
-- after the commit alone: a restart drops what these statements write. An idempotency key is synced with a statement of the
-- same write that has to be.
--
-- Statements decide nothing: they request a change, which the rules in sql/ carry out or refuse, or read a view.


-- ==== the server

-- name: PIN_CLOCK
-- Sets the clock to ?1 seconds since the epoch. A trigger then runs the sweeps that are due.
UPDATE clock SET pinned_ts = ?1, sweeps = 1 WHERE id = 1;

-- name: PIN_CLOCK_UNSWEPT
-- Sets the clock to ?1 without a sweep.
UPDATE clock SET pinned_ts = ?1, sweeps = 0 WHERE id = 1;

-- name: UNPIN_CLOCK
-- Returns the clock to the machine's time.
UPDATE clock SET pinned_ts = NULL, sweeps = 1 WHERE id = 1;

-- name: STEP_CLOCK
-- Moves the times that measure elapsed time by ?1 seconds: the wall clock was set.
INSERT INTO clock_step (seconds) VALUES (?1);

-- name: PAUSE_CLOCK
-- Renews the presence of everybody on a call: the server was unable to work for a while.
INSERT INTO clock_pause DEFAULT VALUES;

-- name: NOTE_BOOT
-- Stores that by the present wall clock the machine booted at ?2, and the id ?1 of this boot.
UPDATE clock SET boot_id = ?1, booted_ts = ?2 WHERE id = 1;

-- name: NOTED_BOOT
-- When boot ?1 began by the wall clock of the last comparison, if this is still that boot.
SELECT booted_ts FROM clock WHERE boot_id = ?1 AND booted_ts IS NOT NULL;

-- name: SWEEP_DUE
-- One row: whether a sweep is due, or another program left the clock pinned.
SELECT is_due OR EXISTS (SELECT 1 FROM clock WHERE pinned_ts IS NOT NULL OR NOT sweeps) FROM sweep_due;

-- name: SYNC_DUE
-- One row: whether a commit of unsynced statements has to be synced, and whether the other sweeps are due.
SELECT sync_due.is_due, buffer_sweep_due.is_due FROM sync_due, buffer_sweep_due;

-- name: CLEAN_STOP
-- When the last server stopped cleanly. NULL if none has run, no row after an unclean stop.
SELECT stopped_ts FROM clean_stop;

-- name: BEGIN_RUN
-- A server opens the file, which was replaced since its clean stop if ?1 is 1. Ids skip those that clients may have.
INSERT INTO begin_run (restored) VALUES (?1);

-- name: END_RUN
-- A server has stopped cleanly.
INSERT INTO end_run DEFAULT VALUES;

-- name: START_SERVER
-- Ends the calls and shares that an earlier server left live.
INSERT INTO start_server (machine_ts) SELECT ts FROM now;

-- name: HEALTH
-- Reads one row, for health checks.
SELECT ts FROM now;

-- name: METRICS
-- What monitors read of the tables: name, label, value of the label, value and meaning.
SELECT name, label, label_value, value, meaning FROM metrics;

-- name: REFUSALS
-- Every refusal code with its HTTP status and sentence.
SELECT code, status, sentence FROM refusals ORDER BY code;

-- name: CONNECTIONS_PER_ADDRESS
-- The connections that an address may have open. 0 is no limit.
SELECT connections_per_address FROM server_limits;

-- name: STREAMS_PER_PERSON
-- The event streams and waiting requests that a person may have open. 0 is no limit.
SELECT streams_per_person FROM server_limits;

-- name: UNREAD_BYTES_PER_PERSON
-- The bytes that the server may hold for a person. 0 is no limit.
SELECT unread_bytes_per_person FROM server_limits;

-- name: ORIGIN_IS_ALLOWED
-- A row if pages of origin ?1 may use the API.
SELECT 1 FROM allowed_origins WHERE origin = ?1
UNION ALL
SELECT 1 FROM client_addresses WHERE address = ?1;

-- name: ALLOWED_ORIGINS
-- All of them, with blanks between them. NULL if there is none.
SELECT group_concat(origin, ' ') FROM allowed_origins;

-- name: CLIENT_ADDRESSES
-- Where browsers reach the members of the cluster.
SELECT address FROM client_addresses;

-- name: ICE_SERVERS
-- The ICE servers for clients as JSON; the URLs of the TURN server with a secret as JSON, the secret, and the end of a
-- credential for it.
SELECT ice_servers, turn_urls, turn_secret, expires_ts FROM ice_for_clients;


-- ==== users and sessions

-- name: ADD_USER
-- Adds user ?1 with password hash ?2.
INSERT INTO add_user (username, password_hash) VALUES (?1, ?2);

-- name: SET_DISPLAY_NAME
-- Sets the display name of user ?1 to ?2. NULL makes it the name.
INSERT INTO set_display_name (username, display_name) VALUES (?1, ?2);

-- name: SET_ROLE
-- Sets the role of user ?1 to ?2.
INSERT INTO set_role (username, role) VALUES (?1, ?2);

-- name: USERS
-- At most ?2 users after the name ?1 as JSON. -1 is no limit.
SELECT json FROM user_json WHERE username > ?1 ORDER BY username LIMIT ?2;

-- name: SET_QUIET
-- Lets no call ring for user ?1 for ?2 seconds. 0 ends that.
INSERT INTO set_quiet (username, seconds) VALUES (?1, ?2);

-- name: QUIET_UNTIL
-- Until when no call rings for user ?1. No row: calls ring.
SELECT quiet_until FROM quiet_people WHERE username = ?1;

-- name: USER_ROLE
-- The role of user ?1.
SELECT CASE WHEN guest_of IS NULL THEN role ELSE 'guest' END FROM users WHERE username = ?1;

-- name: IS_USER
-- Whether there is a user ?1.
SELECT EXISTS (SELECT 1 FROM users WHERE username = ?1);

-- name: OTHER_USERS
-- All people whom ?1 sees, except ?1.
SELECT username FROM visible_people WHERE viewer = ?1 AND username <> ?1 ORDER BY username;

-- name: DISPLAY_NAMES
-- The name and display name of everybody whom ?1 sees.
SELECT username, display_name FROM visible_people WHERE viewer = ?1 ORDER BY username;

-- name: PASSWORD_HASH
-- The password hash and the registered spelling of user ?1, in any case.
SELECT password_hash, username FROM users WHERE username = ?1 COLLATE NOCASE;

-- name: SET_PASSWORD
-- Sets the password hash of user ?1 to ?2.
INSERT INTO set_password (username, password_hash) VALUES (?1, ?2);

-- name: CHANGE_OWN_PASSWORD
-- Sets the password hash of user ?1 to ?3 if it is still ?2: it may have changed while the password was verified.
INSERT INTO set_password (username, password_hash)
SELECT username, ?3 FROM users WHERE username = ?1 AND password_hash = ?2;

-- name: REPLACE_PASSWORD_HASH
-- Replaces the password hash ?2 of user ?1, which is of the original MiniMost, by ?3. The password stays the same.
UPDATE users SET password_hash = ?3 WHERE username = ?1 AND password_hash = ?2;

-- name: REMOVE_USER
-- Removes user ?1.
INSERT INTO remove_user (username) VALUES (?1);

-- name: ADD_SESSION
-- Adds a session with token hash ?1 for user ?2. It lasts ?3 seconds, or `session_ttl` if ?3 is NULL.
INSERT INTO sessions (token_hash, username, created_ts, expires_ts)
SELECT ?1, ?2, ts, ts + coalesce(?3, (SELECT value FROM settings WHERE name = 'session_ttl')) FROM now;

-- name: ADD_SESSION_AFTER_LOGIN
-- Adds a session with token hash ?1 for user ?2 if their password hash is still ?3: the password may have changed
-- while it was verified. ?4 is the hash of the token for its page.
INSERT INTO sessions (token_hash, username, created_ts, expires_ts, page_token_hash)
SELECT ?1, username, now.ts, now.ts + (SELECT value FROM settings WHERE name = 'session_ttl'), ?4
FROM users, now WHERE username = ?2 AND password_hash = ?3;

-- name: FIND_SESSION
-- User, expiry and creation time of the session with token hash ?1, if it is valid now.
SELECT username, expires_ts, created_ts FROM live_sessions WHERE token_hash = ?1;

-- name: SESSION_OF_PAGE_TOKEN
-- The token hash of the session whose page has a token with hash ?1.
SELECT token_hash FROM page_tokens WHERE page_token_hash = ?1;

-- name: SESSION_COOKIE
-- The name of the session cookie.
SELECT value FROM settings WHERE name = 'session_cookie';

-- name: END_SESSION
-- Deletes the session with token hash ?1.
DELETE FROM sessions WHERE token_hash = ?1;

-- name: OWN_SESSIONS
-- The sessions of user ?1 as JSON, oldest first. That with token hash ?2 is the current one.
SELECT json_object('id', id, 'created_ts', created_ts, 'expires_ts', expires_ts,
                   'current', json(CASE WHEN id = substr(?2, 1, 16) THEN 'true' ELSE 'false' END))
FROM session_list WHERE username = ?1 ORDER BY created_ts, id;

-- name: REVOKE_OWN_SESSION
-- User ?2 ends their session ?1.
INSERT INTO revoke_own_session (session, username) VALUES (?1, ?2);

-- name: SESSIONS
-- At most ?3 sessions after the id ?1, of user ?2 or, if that is NULL, of all, as JSON. -1 is no limit.
SELECT json FROM session_json
WHERE token_hash > CASE ?1 WHEN '' THEN '' ELSE ?1 || 'g' END AND (?2 IS NULL OR username = ?2)
ORDER BY token_hash LIMIT ?3;

-- name: REVOKE_SESSION
-- Ends the session with id ?1.
INSERT INTO revoke_session (session) VALUES (?1);

-- name: SESSION_OWNER
-- The user whose session has id ?1.
SELECT username FROM live_sessions WHERE token_hash >= ?1 AND token_hash < ?1 || 'g' AND length(?1) = 16;

-- name: ATTEMPT_LOGIN
-- Records a login of name ?1 from address ?2, which counts as failed until it succeeds.
INSERT INTO attempt_login (username, address) VALUES (?1, ?2);

-- name: FORGET_FAILED_LOGINS
-- Deletes the failed logins of name ?1 from address ?2 if there is a session with token hash ?3.
DELETE FROM login_attempts
WHERE username = ?1 AND address = ?2 AND EXISTS (SELECT 1 FROM sessions WHERE token_hash = ?3);

-- name: LOGIN_RETRY_AFTER
-- Seconds until name ?1 may log in from address ?2 again.
SELECT min(max(until_ts) - (SELECT ts FROM now), (SELECT pause_max FROM login_limits))
FROM login_pauses WHERE address = ?2 AND (username = ?1 OR username IS NULL);


-- ==== host applications and trusted proxies

-- name: ISSUER
-- The algorithm and the key of issuer ?1.
SELECT algorithm, key FROM issuers WHERE name = ?1;

-- name: ADMIT_TOKEN_USER
-- The first use of the token with hash ?1, which issuer ?2 has signed, if its key is still ?3: the claims sub ?4, aud ?5 as
-- a JSON list, name ?6, channels ?7 as a JSON list, iat ?8, nbf ?9 and exp ?10.
INSERT INTO admit_token_user
  (token_hash, issuer, subject, audience, name, channels, issued_ts, not_before_ts, expires_ts)
SELECT ?1, name, ?4, ?5, ?6, ?7, ?8, ?9, ?10 FROM issuers WHERE name = ?2 AND key = ?3;

-- name: ADD_ISSUER
-- Adds issuer ?1 with algorithm ?2, key ?3, audience ?4 and clock skew ?5. NULL is no audience, and the default skew.
INSERT INTO add_issuer (name, algorithm, key, audience, clock_skew) VALUES (?1, ?2, ?3, ?4, ?5);

-- name: SET_ISSUER_KEY
-- Changes the key of issuer ?1 to ?2.
INSERT INTO set_issuer_key (name, key) VALUES (?1, ?2);

-- name: REMOVE_ISSUER
-- Removes issuer ?1.
INSERT INTO remove_issuer (name) VALUES (?1);

-- name: ISSUERS
-- At most ?2 issuers after the name ?1 as JSON. -1 is no limit.
SELECT json FROM issuer_json WHERE name > ?1 ORDER BY name LIMIT ?2;

-- name: TRUSTED_HEADER
-- The name of the header in which a trusted proxy names the person. Empty: there is none.
SELECT value FROM settings WHERE name = 'trusted_header';

-- name: ADMIT_HEADER_USER
-- A trusted proxy names user ?1. Their session has token hash ?2.
INSERT INTO admit_header_user (username, token_hash) VALUES (?1, ?2);

-- name: IS_FRESH_SESSION
-- Whether the session with token hash ?1 need not be renewed.
SELECT EXISTS (SELECT 1 FROM fresh_sessions WHERE token_hash = ?1);


-- ==== admins, settings and service tokens

-- name: ADMIN_ACCESS
-- The user or service with token hash ?1, and 'granted' if they may administer, else the code of the refusal.
SELECT name, access FROM admin_access WHERE token_hash = ?1;

-- name: IS_MONITOR
-- Whether token hash ?1 is of a service that may read the metrics.
SELECT EXISTS (SELECT 1 FROM live_service_tokens WHERE token_hash = ?1 AND is_metrics);

-- name: CHECK_ADMIN
-- Refuses the write if the user or service with token hash ?1 may not administer.
INSERT INTO check_admin (token_hash) VALUES (?1);

-- name: SETTINGS
-- At most ?2 settings after the name ?1 as JSON. -1 is no limit.
SELECT json FROM setting_json WHERE name > ?1 ORDER BY name LIMIT ?2;

-- name: SETTING
-- Setting ?1 as JSON.
SELECT json FROM setting_json WHERE name = ?1;

-- name: SET_SETTING
-- Sets setting ?1 to ?2.
INSERT INTO set_setting (name, value) VALUES (?1, ?2);

-- name: RESET_SETTING
-- Returns setting ?1 to its default.
INSERT INTO reset_setting (name) VALUES (?1);

-- name: ADD_SERVICE_TOKEN
-- Adds service token ?1 with token hash ?2 and the JSON list ?3 of scopes. It lasts ?4 seconds, or `session_ttl` if ?4 is
-- NULL.
INSERT INTO add_service_token (name, token_hash, scopes, seconds) VALUES (?1, ?2, ?3, ?4);

-- name: REVOKE_SERVICE_TOKEN
-- Deletes service token ?1.
INSERT INTO revoke_service_token (name) VALUES (?1);

-- name: SERVICE_TOKENS
-- At most ?2 service tokens after the name ?1 as JSON. -1 is no limit.
SELECT json FROM service_token_json WHERE name > ?1 ORDER BY name LIMIT ?2;

-- name: VIOLATIONS
-- Everything in the file that should be impossible.
SELECT violation FROM integrity_violations;

-- name: VIOLATION_ITEMS
-- Each of `VIOLATIONS` as a JSON string.
SELECT json_quote(violation) FROM integrity_violations;

-- name: STATISTICS
-- How many people, channels, calls and sessions there are, as JSON.
SELECT json FROM statistics_json;

-- name: INTEGRITY_CHECK
-- What SQLite finds wrong with the file, or the one row 'ok'.
SELECT integrity_check FROM pragma_integrity_check;

-- name: FOREIGN_KEY_CHECK
-- The rows whose references lead nowhere: the table, and the table that it refers to.
SELECT "table" || ' has a row that refers to none of ' || parent FROM pragma_foreign_key_check;


-- ==== the commands

-- name: UNKNOWN_USER
-- The first name in the JSON list ?1 that is no user's.
SELECT value FROM json_each(?1) WHERE value NOT IN (SELECT username FROM users) LIMIT 1;

-- name: LOG_CHANGE
-- Records change ?1 of subject ?2 by the admin ?3 over HTTP, or by a command if that is NULL.
INSERT INTO command_log (ts, change, subject, actor) SELECT ts, ?1, ?2, ?3 FROM now;

-- name: NEWEST_COMMAND
-- The id of the newest change by a command.
SELECT max(id) FROM command_log;

-- name: COMMANDS_AFTER
-- The changes by commands after id ?1, oldest first.
SELECT id, change, subject, actor FROM command_log WHERE id > ?1 ORDER BY id;


-- ==== webhooks

-- name: ADD_WEBHOOK
-- Adds webhook ?1 with URL ?2, secret ?3 and the JSON list ?4 of types. ?5 is whether its address may be private.
INSERT INTO add_webhook (name, url, secret, kinds, allow_private) VALUES (?1, ?2, ?3, ?4, ?5);

-- name: REMOVE_WEBHOOK
-- Removes webhook ?1, and what was not delivered.
INSERT INTO remove_webhook (name) VALUES (?1);

-- name: RETRY_WEBHOOK
-- Retries all deliveries of webhook ?1, and uses it again if it was disabled.
INSERT INTO retry_webhook (name) VALUES (?1);

-- name: WEBHOOKS
-- At most ?2 webhooks after the name ?1 as JSON. -1 is no limit.
SELECT json FROM webhook_json WHERE name > ?1 ORDER BY name LIMIT ?2;

-- name: IS_WEBHOOK
-- Whether there is a webhook ?1.
SELECT EXISTS (SELECT 1 FROM webhooks WHERE name = ?1);

-- name: WEBHOOK_FAILURES
-- At most ?3 deliveries of webhook ?1 that were given up, after the id ?2, as JSON. -1 is no limit.
SELECT json FROM webhook_failure_json WHERE webhook = ?1 AND id > CAST(?2 AS INTEGER) ORDER BY id LIMIT ?3;

-- name: ACTIVE_WEBHOOKS
-- The webhooks that are in use.
SELECT name FROM webhooks WHERE disabled_ts IS NULL ORDER BY name;

-- name: DUE_DELIVERIES
-- The ?2 first deliveries of webhook ?1 that are due, and the present in whole seconds.
SELECT id, message_id, body, url, secret, allow_private, (SELECT CAST(ts AS INTEGER) FROM now)
FROM due_deliveries WHERE webhook = ?1 ORDER BY next_ts, id LIMIT ?2;

-- name: NEXT_DELIVERY
-- Seconds until a delivery becomes due by itself.
SELECT seconds FROM next_delivery;

-- name: NOTE_DELIVERY
-- Stores the outcome of an attempt to make delivery ?1: the status ?2 of the answer, and the reason ?3 of a failure.
INSERT INTO do_note_delivery (id, status, error) VALUES (?1, ?2, ?3);


-- ==== web push

-- name: WEB_PUSH_SETTINGS
-- Whether web push is on, and the private key.
SELECT is_on, key FROM web_push_settings;

-- name: ADD_PUSH_KEY
-- Stores the private key ?1, unless there is one.
UPDATE settings SET value = ?1 WHERE name = 'web_push_key' AND value = '';

-- name: ADD_PUSH_SUBSCRIPTION
-- Adds the subscription ?1 of the session with the token hash ?2, with endpoint ?3, public key ?4 and secret ?5.
INSERT INTO add_push_subscription (id, token_hash, endpoint, p256dh, auth) VALUES (?1, ?2, ?3, ?4, ?5);

-- name: REMOVE_PUSH_SUBSCRIPTION
-- Removes the subscription ?1 of person ?2.
INSERT INTO remove_push_subscription (id, username) VALUES (?1, ?2);

-- name: SETTLE_PUSH
-- The session with the token hash ?2 answers or declines call ?1.
INSERT INTO settle_push (call_id, token_hash) VALUES (?1, ?2);

-- name: DUE_PUSH_SERVICES
-- The push services for which messages are due.
SELECT DISTINCT service FROM due_pushes ORDER BY service;

-- name: DUE_PUSHES
-- The ?2 first messages for push service ?1 that are due, with what their requests need, and the present in whole seconds.
SELECT subscription, call_id, kind, json, seconds_left, endpoint, p256dh, auth,
(SELECT key FROM web_push_settings),
(SELECT value FROM settings WHERE name = 'web_push_contact'),
(SELECT value FROM settings WHERE name = 'web_push_allow_private'),
(SELECT CAST(ts AS INTEGER) FROM now)
FROM due_pushes WHERE service = ?1 ORDER BY next_ts, subscription, call_id LIMIT ?2;

-- name: NEXT_PUSH
-- Seconds until a message becomes due by itself.
SELECT seconds FROM next_push;

-- name: NOTE_PUSH
-- Stores the outcome of an attempt to deliver a message of kind ?3 about call ?2 to subscription ?1: the status ?4.
INSERT INTO do_note_push (subscription, call_id, kind, status) VALUES (?1, ?2, ?3, ?4);


-- ==== channels

-- name: ADD_CHANNEL
-- Adds a private channel with title ?1 and the JSON list ?2 of members.
INSERT INTO add_channel (title, members) VALUES (?1, ?2);

-- name: NEWEST_CHANNEL
-- The name of the newest private channel.
SELECT 'private:' || max(id) FROM private_channels;

-- name: RENAME_CHANNEL
-- Changes the title of private channel ?1 to ?2.
INSERT INTO rename_channel (channel, title) VALUES (?1, ?2);

-- name: REMOVE_CHANNEL
-- Removes private channel ?1.
INSERT INTO remove_channel (channel) VALUES (?1);

-- name: JOIN_CHANNEL
-- Adds member ?2 to private channel ?1.
INSERT INTO join_channel (channel, username) VALUES (?1, ?2);

-- name: LEAVE_CHANNEL
-- Removes member ?2 from private channel ?1.
INSERT INTO leave_channel (channel, username) VALUES (?1, ?2);

-- name: PRIVATE_CHANNELS
-- At most ?2 private channels after the one with name ?1 as JSON. -1 is no limit.
SELECT json FROM private_channel_json WHERE id > CAST(substr(?1, 9) AS INTEGER) ORDER BY id LIMIT ?2;

-- name: CHANNEL_TITLE
-- The title of private channel ?1.
SELECT name FROM private_channels WHERE id = CAST(substr(?1, 9) AS INTEGER) AND ?1 = 'private:' || id;

-- name: USER_CHANNELS
-- The channels of user ?1 as JSON, with title and members.
SELECT json FROM channel_json WHERE username = ?1 ORDER BY channel;

-- name: CHANNEL_ACCESS
-- 'granted' if user ?2 may read channel ?1, else the code of the refusal.
SELECT coalesce((SELECT access FROM channel_access WHERE spelling = json_quote(?1) AND username = ?2), 'not_a_member');

-- name: NAMED_CHANNEL
-- The canonical name of channel ?1, as user ?2 names it.
SELECT channel FROM named_channels WHERE spelling = json_array(?1, ?2);


-- ==== calls: actions

-- name: INITIATE_CALL
-- User ?3 starts a call in channel ?2 with call id ?1.
INSERT INTO initiate_call (call_id, channel, initiator) VALUES (?1, ?2, ?3);

-- name: CHANNEL_RING_WAITS
-- What keeps user ?1 from ringing the members of channel ?2: codes of refusals, and the seconds until each is over.
SELECT code, seconds FROM ring_waits
WHERE caller = ?1
  AND (callee IS NULL
       OR EXISTS (SELECT 1 FROM channel_access
                  WHERE spelling = json_quote((SELECT channel FROM named_channels WHERE spelling = json_array(?2, ?1)))
                    AND username = callee AND access = 'granted'));

-- name: RING_WAITS
-- What keeps user ?1 from ringing user ?2, as `CHANNEL_RING_WAITS`.
SELECT code, seconds FROM ring_waits WHERE caller = ?1 AND (callee IS NULL OR callee = ?2);

-- name: ACCEPT_CALL
-- User ?2 accepts or joins call ?1.
INSERT INTO accept_call (call_id, username) VALUES (?1, ?2);

-- name: REJECT_CALL
-- User ?2 rejects call ?1.
INSERT INTO reject_call (call_id, username) VALUES (?1, ?2);

-- name: END_CALL
-- User ?2 ends call ?1 for everyone.
INSERT INTO end_call (call_id, username) VALUES (?1, ?2);

-- name: END_CALL_AS_ADMIN
-- An admin ends call ?1 for everyone.
INSERT INTO end_call_as_admin (call_id) VALUES (?1);

-- name: LEAVE_CALL
-- User ?2 leaves call ?1.
INSERT INTO leave_call (call_id, username) VALUES (?1, ?2);

-- name: INVITE_TO_CALL
-- User ?3 invites user ?2 to call ?1.
INSERT INTO invite_to_call (call_id, username, invited_by) VALUES (?1, ?2, ?3);

-- name: SHARE_SCREEN_IN_CALL
-- User ?2 claims (?3 = 1) or releases (?3 = 0) the screen share of call ?1.
INSERT INTO share_screen_in_call (call_id, username, sharing) VALUES (?1, ?2, ?3);

-- name: REMOVE_FROM_CALL
-- User ?3 removes user ?2 from call ?1.
INSERT INTO remove_from_call (call_id, username, removed_by) VALUES (?1, ?2, ?3);

-- name: DISMISS_GUEST
-- User ?3 turns guest ?2 away, who waits for call ?1.
INSERT INTO dismiss_guest (call_id, username, dismissed_by) VALUES (?1, ?2, ?3);

-- name: ADD_LINK
-- Adds a link with token hash ?1 to channel ?2 by user ?3, which lasts ?4 seconds, for ?5 guests, who wait if ?6 is 1.
INSERT INTO add_link (token_hash, channel, username, seconds, uses, admit) VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- name: LINK
-- The id, the channel and the end of the link with token hash ?1.
SELECT substr(token_hash, 1, 16), channel, expires_ts FROM links WHERE token_hash = ?1;

-- name: LINKS
-- The valid links of channel ?1, as user ?2 names it, as JSON, oldest first.
SELECT json FROM link_json
WHERE channel = (SELECT channel FROM named_channels WHERE spelling = json_array(?1, ?2)) AND username = ?2
ORDER BY created_ts, id;

-- name: REVOKE_LINK
-- User ?2 revokes the link with id ?1.
INSERT INTO revoke_link (link, username) VALUES (?1, ?2);

-- name: OPEN_LINK
-- A person who calls themself ?3 opens the link with token hash ?1, as guest ?2 with session ?4.
INSERT INTO open_link (link_hash, username, display_name, session_hash) VALUES (?1, ?2, ?3, ?4);

-- name: GUEST
-- The call of guest ?1, whether they wait, and when their session expires.
SELECT guest_of, EXISTS (SELECT 1 FROM waiting_guests AS waiting WHERE waiting.username = users.username), expires_ts
FROM users JOIN sessions ON sessions.username = users.username
WHERE users.username = ?1;

-- name: REPORT_GONE
-- User ?3 reports that the connection to user ?2 in call ?1 is lost.
INSERT INTO report_gone (call_id, username, reported_by) VALUES (?1, ?2, ?3);


-- ==== calls and shares: answers

-- name: CHECK_IDEMPOTENCY_KEY
-- unsynced
-- Refuses the write if user ?1 has used key ?2: with `idempotency_key_used` if it was for the request with fingerprint ?3.
INSERT INTO check_idempotency_key (username, key, fingerprint) VALUES (?1, ?2, ?3);

-- name: KEEP_ANSWER
-- unsynced
-- Stores the answer to the request of user ?1 with key ?2 and fingerprint ?3: that of `ANSWER` for ?5, ?6 and ?7, or ?4 if
-- it has none.
INSERT INTO keep_answer (username, key, fingerprint, answer, action, id, person) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: KEPT_ANSWER
-- The answer to the request of user ?1 with key ?2.
SELECT answer FROM idempotency_keys WHERE username = ?1 AND key = ?2;

-- name: HAS_KEPT_ANSWER
-- Whether user ?1 has used key ?2.
SELECT EXISTS (SELECT 1 FROM idempotency_keys
               WHERE username = ?1 AND key = ?2 AND ts > (SELECT ts FROM idempotency_cutoff));

-- name: ANSWER
-- The answer to action ?1 on call or share ?2 by or about person ?3.
SELECT json FROM action_answers WHERE action = ?1 AND id = ?2 AND person = ?3;


-- ==== calls: reads

-- name: INCOMING_CALLS
-- The calls that ring for user ?1 as JSON.
SELECT json FROM incoming_call_json WHERE username = ?1 ORDER BY started_ts, call_id;

-- name: REMOVED_FROM_CALL
-- Call ?1 as JSON for user ?2, who was removed from it.
SELECT json FROM removed_from_call_json WHERE call_id = ?1 AND username = ?2;

-- name: INCOMING_CALL
-- Call ?1 as JSON, if it rings for user ?2.
SELECT json FROM incoming_call_json WHERE username = ?2 AND call_id = ?1;

-- name: CALL_STATE_AND_ACCESS
-- The state of call ?1 as JSON and its version; 'granted' if user ?2 may see it, else the code of the refusal; and whether
-- the presence of user ?2 is due to be recorded.
SELECT json, version,
  coalesce((SELECT state_access FROM call_access WHERE call_id = ?1 AND username = ?2), 'not_a_member'),
  EXISTS (SELECT 1 FROM presence_due WHERE call_id = ?1 AND username = ?2)
FROM call_state_json WHERE call_id = ?1;

-- name: CALL_STATE
-- The state of call ?1 as JSON.
SELECT json FROM call_state_json WHERE call_id = ?1;

-- name: LIVE_CALLS
-- At most ?2 live calls after the call ?1 as JSON, those that began first first. -1 is no limit.
SELECT json FROM live_call_json
WHERE (started_ts, call_id) > (coalesce((SELECT started_ts FROM calls WHERE call_id = ?1), -9e999), ?1)
ORDER BY started_ts, call_id LIMIT ?2;

-- name: CALL_CHANNEL
-- The channel of call ?1 and its title, which is NULL for a direct-message channel.
SELECT channel, title FROM calls JOIN call_titles USING (call_id) WHERE call_id = ?1;

-- name: USER_LIVE_CALLS
-- The states of the live calls of user ?1 as JSON.
SELECT json FROM call_state_json
WHERE call_id IN (SELECT call_id FROM user_live_calls WHERE username = ?1) ORDER BY call_id;

-- name: ACTIVE_CALL
-- The live call of channel ?1 as JSON, with whether user ?2 is on it; and 'granted' if they may read it, else the code of
-- the refusal.
SELECT json, access FROM active_call_json
WHERE channel = (SELECT channel FROM named_channels WHERE spelling = json_array(?1, ?2)) AND username = ?2;

-- name: LIVE_CALL_ID
-- The live call of channel ?1, as user ?2 names it.
SELECT call_id FROM calls
WHERE is_live AND channel = (SELECT channel FROM named_channels WHERE spelling = json_array(?1, ?2));

-- name: CALL_MEDIA_ACCESS
-- 'granted' if user ?2 may read the media of call ?1, else the code of the refusal.
SELECT coalesce((SELECT media_access FROM call_access WHERE call_id = ?1 AND username = ?2), 'call_not_found');


-- ==== presence

-- name: NOTE_PRESENCE
-- unsynced
-- Records that user ?1 has proved presence on call or share ?2 by the session with token hash ?3.
INSERT INTO do_note_presence (username, call_id, session) VALUES (?1, ?2, ?3);

-- name: NOTE_CLOSED_STREAM
-- unsynced
-- Records that the last event stream of user ?1 that named call or share ?2 has closed.
INSERT INTO do_note_closed_stream (username, call_id) VALUES (?1, ?2);

-- name: PRESENCE_DUE
-- The users whose presence is due to be recorded, and the call or share.
SELECT username, call_id FROM presence_due;

-- name: PRESENCE_AUDIENCE
-- The host application whose user ?1 is, NULL for a local person. No row: a guest, who sees no presences.
SELECT issuer FROM users WHERE username = ?1 AND guest_of IS NULL;

-- name: PRESENCE_GRACES
-- The seconds for which people stay online after their last event stream has closed, and after a poll; and until a person may
-- be disturbed again, NULL if nobody is quiet.
SELECT (SELECT value FROM settings WHERE name = 'gone_after'),
       (SELECT value FROM settings WHERE name = 'presence_timeout'),
       (SELECT min(quiet_until) FROM quiet_people) - (SELECT ts FROM now);

-- name: PRESENCES
-- The people who are not offline, their host applications, and what others see of them. ?1 is the JSON list of those who
-- are online.
SELECT username, issuer, presence FROM person_presence
WHERE username IN (SELECT value FROM json_each(?1)
                   UNION ALL SELECT username FROM person_counts WHERE on_calls > 0
                   UNION ALL SELECT username FROM quiet_people);

-- name: NEEDS_PRESENCE
-- Whether user ?1 is on call ?2, or shares screen ?2.
SELECT EXISTS (SELECT 1 FROM call_participants WHERE call_id = ?2 AND username = ?1 AND state = 'accepted')
    OR EXISTS (SELECT 1 FROM screenshares WHERE share_id = ?2 AND sharer = ?1 AND state = 'active');


-- ==== signals

-- name: SEND_CALL_SIGNAL
-- unsynced
-- User ?2 sends user ?3 a signal of type ?4 with payload ?5 in call ?1.
INSERT INTO send_call_signal (call_id, from_user, to_user, signal_type, payload) VALUES (?1, ?2, ?3, ?4, ?5);

-- name: SEND_SHARE_SIGNAL
-- unsynced
-- User ?2 sends user ?3 a signal of type ?4 with payload ?5 in share ?1.
INSERT INTO send_share_signal (share_id, from_user, to_user, signal_type, payload) VALUES (?1, ?2, ?3, ?4, ?5);

-- name: POLL_CALL_SIGNALS
-- One row: 'granted' if user ?2 may read the signals of call ?1, else the code of the refusal; whether the call has a
-- signal to them after id ?3; and 0: reading a call's signals does not prove presence.
SELECT coalesce((SELECT signals_access FROM call_access WHERE call_id = ?1 AND username = ?2), 'call_not_found'),
  EXISTS (SELECT 1 FROM call_signals WHERE call_id = ?1 AND to_user = ?2 AND id > ?3), 0;

-- name: POLL_SHARE_SIGNALS
-- The same columns as `POLL_CALL_SIGNALS`, for share ?1. The last one is whether the presence of user ?2, as the sharer,
-- is due to be recorded.
SELECT coalesce((SELECT access FROM share_access WHERE share_id = ?1 AND username = ?2), 'share_not_found'),
  EXISTS (SELECT 1 FROM call_signals WHERE call_id = ?1 AND to_user = ?2 AND id > ?3),
  EXISTS (SELECT 1 FROM presence_due WHERE call_id = ?1 AND username = ?2);

-- name: SIGNALS_AFTER
-- The signals to user ?2 after id ?3 in call or share ?1 as JSON.
SELECT json FROM signal_json WHERE call_id = ?1 AND to_user = ?2 AND id > ?3 ORDER BY id;

-- name: SIGNAL
-- Signal ?1 as JSON, if it is still stored.
SELECT json FROM signal_json WHERE id = ?1;


-- ==== media of calls

-- name: MEDIA_CHUNK_MAX_BYTES
-- The largest media chunk in bytes.
SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'media_chunk_max_bytes';

-- name: CALL_UPLOAD_ACCESS
-- 'granted' if user ?2 may upload media to call ?1, else the code of the refusal.
SELECT coalesce((SELECT access FROM call_upload_access WHERE call_id = ?1 AND username = ?2), 'call_not_found');

-- name: UPLOAD_CALL_MEDIA
-- unsynced
-- User ?2 uploads a media chunk to call ?1: whether it is an init segment ?3, MIME type ?4, bytes ?5. Returns the
-- answer for a chunk.
INSERT INTO call_media (call_id, sender, is_init, mime_type, ts, data)
SELECT ?1, ?2, ?3, ?4, ts, ?5 FROM now RETURNING json_object('seq', id, 'status', 'ok');

-- name: CALL_INIT_SEGMENT
-- MIME type and bytes of the newest init segment of user ?2 in call ?1.
SELECT mime_type, data FROM call_media WHERE call_id = ?1 AND sender = ?2 AND is_init = 1
ORDER BY id DESC LIMIT 1;

-- name: CALL_CHUNKS_AFTER
-- The media chunks of user ?2 after id ?3 in call ?1: as many as are a JSON list of 1 MiB in base64, but one at least.
-- The sizes come first, because SQLite reads a chunk as a whole, and one that does not fit can have 16 MiB.
SELECT media.id, media.data
FROM (SELECT id, row_number() OVER chunks AS position,
             sum((length(data) + 2) / 3 * 4 + length(id) + length('{"seq":,"data":""},')) OVER chunks AS json_bytes
      FROM call_media WHERE call_id = ?1 AND sender = ?2 AND is_init = 0 AND id > ?3
      WINDOW chunks AS (ORDER BY id)) AS sized
CROSS JOIN call_media AS media ON media.id = sized.id
WHERE position = 1 OR json_bytes <= 1048577
ORDER BY sized.id;


-- ==== screen shares outside calls

-- name: START_SCREENSHARE
-- User ?3 starts a screen share in channel ?2 with share id ?1.
INSERT INTO start_screenshare (share_id, channel, sharer) VALUES (?1, ?2, ?3);

-- name: STOP_SCREENSHARE
-- User ?2 stops share ?1.
INSERT INTO stop_screenshare (share_id, username) VALUES (?1, ?2);

-- name: CHANNEL_ACTIVE_SHARES
-- The active shares of channel ?1, as user ?2 names it, that they may see, as JSON.
SELECT json FROM active_share_json AS share
WHERE channel = (SELECT channel FROM named_channels WHERE spelling = json_array(?1, ?2))
  AND EXISTS (SELECT 1 FROM share_access
              WHERE share_id = share.share_id AND username = ?2 AND access = 'granted')
ORDER BY started_ts, share_id;

-- name: USER_ACTIVE_SHARES
-- The active shares in the channels of user ?1 as JSON.
SELECT json
FROM channel_members AS member
CROSS JOIN share_json AS share ON share.channel = member.channel AND share.state = 'active'
WHERE member.username = ?1
  AND EXISTS (SELECT 1 FROM share_access AS allowed
              WHERE allowed.share_id = share.share_id AND allowed.username = ?1 AND allowed.access = 'granted')
ORDER BY started_ts, share_id;

-- name: SHARE
-- Share ?1 as JSON.
SELECT json FROM share_json WHERE share_id = ?1;

-- name: IS_SHARE_ACTIVE
-- Whether share ?1 is active.
SELECT state = 'active' FROM screenshares WHERE share_id = ?1;

-- name: SHARE_ACCESS
-- 'granted' if user ?2 may read the signals and media of share ?1, else the code of the refusal.
SELECT coalesce((SELECT access FROM share_access WHERE share_id = ?1 AND username = ?2), 'share_not_found');

-- name: SHARE_UPLOAD_ACCESS
-- 'granted' if user ?2 may upload media to share ?1, else the code of the refusal.
SELECT coalesce((SELECT access FROM share_upload_access WHERE share_id = ?1 AND username = ?2), 'share_not_found');

-- name: UPLOAD_SHARE_MEDIA
-- unsynced
-- User ?2 uploads a media chunk to share ?1: whether it is an init segment ?3, MIME type ?4, bytes ?5.
INSERT INTO upload_share_media (share_id, username, is_init, mime_type, data) VALUES (?1, ?2, ?3, ?4, ?5);

-- name: SHARE_INIT_SEGMENT
-- MIME type and bytes of the newest init segment of share ?1.
SELECT mime_type, data FROM share_media WHERE share_id = ?1 AND is_init = 1 ORDER BY id DESC LIMIT 1;

-- name: SHARE_CHUNKS_AFTER
-- The media chunks of share ?1 after id ?2, bounded as those of `CALL_CHUNKS_AFTER`.
SELECT media.id, media.data
FROM (SELECT id, row_number() OVER chunks AS position,
             sum((length(data) + 2) / 3 * 4 + length(id) + length('{"seq":,"data":""},')) OVER chunks AS json_bytes
      FROM share_media WHERE share_id = ?1 AND is_init = 0 AND id > ?2
      WINDOW chunks AS (ORDER BY id)) AS sized
CROSS JOIN share_media AS media ON media.id = sized.id
WHERE position = 1 OR json_bytes <= 1048577
ORDER BY sized.id;


-- ==== history

-- name: HISTORY
-- The ?5 newest finished calls of user ?1 before the one with start time ?3 and id ?4, in channel ?2, with person ?6, called
-- or on it, and with outcome ?7 for user ?1. NULL is any channel, person or outcome. Without an outcome it reads at most ?5
-- calls with the person of each channel, however many there are, and its live call, which may have timed out.
WITH mine (channel) AS (
  SELECT channel FROM private_channel_members WHERE username = ?1 AND (?2 IS NULL OR channel = ?2)
  UNION ALL SELECT channel FROM dm_members WHERE username = ?1 AND (?2 IS NULL OR channel = ?2)),
candidates (call_id) AS (
  SELECT call.call_id FROM mine CROSS JOIN calls AS call
  WHERE call.call_id IN (SELECT call_id FROM calls
                         WHERE channel = mine.channel AND NOT is_live
                           AND (started_ts, call_id) < (?3, ?4)
                           AND (?6 IS NULL OR EXISTS (SELECT 1 FROM call_participants AS person
                                                      WHERE person.call_id = calls.call_id AND person.username = ?6))
                           AND (?7 IS NULL OR EXISTS (SELECT 1 FROM personal_history AS own
                                                      WHERE own.call_id = calls.call_id AND own.username = ?1
                                                        AND own.outcome = ?7))
                         ORDER BY started_ts DESC, call_id DESC LIMIT ?5)
  UNION SELECT call.call_id FROM mine CROSS JOIN calls AS call ON call.channel = mine.channel AND call.is_live
  UNION SELECT call_id FROM call_participants WHERE username = ?1 AND visible_after IS NOT NULL)
SELECT json
FROM candidates CROSS JOIN history_json AS past ON past.call_id = candidates.call_id AND past.username = ?1
WHERE (?2 IS NULL OR channel = ?2) AND (started_ts, past.call_id) < (?3, ?4) AND (?7 IS NULL OR outcome = ?7)
  AND (?6 IS NULL OR EXISTS (SELECT 1 FROM call_participants AS person
                             WHERE person.call_id = past.call_id AND person.username = ?6))
ORDER BY started_ts DESC, past.call_id DESC LIMIT ?5;

-- name: ADMIN_HISTORY
-- The ?5 newest finished calls before the one with end time ?3 and id ?4 as JSON: of channel ?1 under any spelling of a DM,
-- with user ?2, called or on it, and with outcome ?6. NULL is any channel, user or outcome.
SELECT json FROM finished_call_json AS past
WHERE (ended_ts, call_id) < (?3, ?4)
  AND (?1 IS NULL OR channel = (SELECT channel FROM canonical_channels WHERE spelling = json_quote(?1)))
  AND (?2 IS NULL OR EXISTS (SELECT 1 FROM call_participants AS person
                             WHERE person.call_id = past.call_id AND person.username = ?2))
  AND (?6 IS NULL OR ?6 = (SELECT outcome FROM call_history AS finished WHERE finished.call_id = past.call_id))
ORDER BY ended_ts DESC, call_id DESC LIMIT ?5;

-- name: CALL_ENDED_TS
-- When call ?1 ended.
SELECT ended_ts FROM calls WHERE call_id = ?1 AND NOT is_live;

-- name: HISTORY_DUE
-- One row: whether calls or shares are older than `history_max_age`.
SELECT is_due FROM history_due;

-- name: PRUNE_DUE_HISTORY
-- Deletes some of the calls and shares that are older than `history_max_age`.
INSERT INTO prune_history (older_than_seconds)
SELECT value FROM settings WHERE name = 'history_max_age' AND value > 0;

-- name: PRUNE_HISTORY
-- Deletes some of the calls and shares that ended ?1 seconds ago or earlier.
INSERT INTO prune_history (older_than_seconds) VALUES (?1);

-- name: HAS_OLD_HISTORY
-- Whether a call or share ended ?1 seconds ago or earlier.
SELECT EXISTS (SELECT 1 FROM calls WHERE NOT is_live AND ended_ts <= (SELECT ts FROM now) - ?1)
  OR EXISTS (SELECT 1 FROM screenshares WHERE state = 'ended' AND ended_ts <= (SELECT ts FROM now) - ?1);

-- name: COUNT_OLD_HISTORY
-- How many calls and shares ended ?1 seconds ago or earlier.
SELECT (SELECT count(*) FROM calls WHERE NOT is_live AND ended_ts <= (SELECT ts FROM now) - ?1)
  + (SELECT count(*) FROM screenshares WHERE state = 'ended' AND ended_ts <= (SELECT ts FROM now) - ?1);

-- name: CALL_STARTED_TS
-- The start time of call ?1.
SELECT started_ts FROM calls WHERE call_id = ?1;

-- name: MISSED_CALLS
-- The calls that user ?1 missed since time ?2 and before the one of time ?3 and id ?4 as JSON, newest first.
SELECT json FROM missed_call_json
WHERE username = ?1 AND missed_ts > ?2 AND (missed_ts, call_id) < (?3, ?4)
ORDER BY missed_ts DESC, call_id DESC LIMIT 500;

-- name: CALL_MISSED_TS
-- When user ?2 missed call ?1.
SELECT missed_ts FROM call_participants WHERE call_id = ?1 AND username = ?2;

-- name: MARK_MISSED_CALLS_SEEN
-- Marks the calls that user ?1 missed until time ?2, or all if ?2 is NULL, as seen: in all channels, or in the one that ?3
-- spells.
UPDATE call_participants SET missed_seen_ts = (SELECT ts FROM now)
WHERE username = ?1 AND missed_ts IS NOT NULL AND missed_ts <= coalesce(?2, 9e999) AND missed_seen_ts IS NULL
  AND (?3 IS NULL
       OR (SELECT channel FROM calls WHERE call_id = call_participants.call_id)
          = (SELECT channel FROM named_channels WHERE spelling = json_array(?3, ?1)))
  AND number = (SELECT number FROM users WHERE username = ?1);


-- ==== events

-- name: NEWEST_EVENT_ID
-- The id of the newest event or signal ever written, 0 if none was.
SELECT newest_event FROM clock;

-- name: OLDEST_EVENT_ID
-- The id of the oldest event that is still stored.
SELECT min(id) FROM events;

-- name: IS_IN_EVENT_GAP
-- Whether event id ?1 was skipped, so that only another copy of the log can have it.
SELECT EXISTS (SELECT 1 FROM event_gaps WHERE after_id < ?1 AND next_id > ?1);

-- name: EVENTS_AFTER
-- A page of at most ?2 events after id ?1, each with whether it is for its user only. A signal is an event, and comes as
-- JSON.
SELECT id, kind, call_id, username, is_personal, NULL FROM events WHERE id > ?1
UNION ALL
SELECT id, 'signal', call_id, to_user, 1, json FROM signal_json WHERE id > ?1
ORDER BY id LIMIT ?2;

-- name: CALLS_BEGUN_OR_ENDED
-- The calls that began or ended after event ?1, for the log: whether it began, and what is known of the call.
SELECT event.kind = 'started', call.call_id, call.channel, call.initiator, call.ended_reason,
       round(call.ended_ts - call.answered_ts, 3)
FROM events AS event JOIN calls AS call ON call.call_id = event.call_id
WHERE event.id > ?1 AND event.kind IN ('started', 'ended')
ORDER BY event.id;

-- name: EVENT_RECIPIENTS
-- The users who may see event ?1.
SELECT username FROM event_recipients WHERE id = ?1;

-- name: COUNT_USER_EVENTS
-- The number of events after id ?2 that user ?1 may see, counted up to ?3.
SELECT count(*) FROM (SELECT id FROM event_recipients WHERE username = ?1 AND id > ?2 ORDER BY id LIMIT ?3);

-- name: USER_EVENTS
-- At most ?3 events after id ?2 that user ?1 may see.
SELECT id, kind, call_id, about FROM event_recipients WHERE username = ?1 AND id > ?2 ORDER BY id LIMIT ?3;


-- ==== the cluster

-- name: FOUND_CLUSTER
-- Makes the file that of the first member of the cluster ?1, at ?2 seconds since the epoch.
INSERT INTO cluster (id, name, applied_ts) VALUES (1, ?1, ?2);

-- name: LEAVE_CLUSTER
-- Makes the file that of a single server.
DELETE FROM cluster;

-- name: FORGET_MEMBERS
-- Makes the list of members empty.
DELETE FROM cluster_members;

-- name: CLUSTER
-- The cluster of this file: its name, the newest entry that is applied, who votes, and the time of the newest group, and the
-- seconds by which the clock was set. No row: a single server's.
SELECT name, log_id, membership, applied_ts, stepped FROM cluster;

-- name: NOTE_APPLIED
-- Stores that the entry ?1 is applied, that ?2 vote, that the newest group was at ?3, and the clock was set by ?4 seconds in all.
UPDATE cluster SET log_id = ?1, membership = ?2, applied_ts = ?3, stepped = ?4 WHERE id = 1;

-- name: CLOCK_STEPS
-- The seconds by which the clock of the cluster was set in all.
SELECT stepped FROM cluster;

-- name: MEMBERS
-- Who should be a member: number, address, and whether it is being replaced.
SELECT node, address, is_replaced FROM cluster_members ORDER BY node;

-- name: ADD_MEMBER
-- Lists machine ?1 at the address ?2 as a member.
INSERT INTO add_member (node, address) VALUES (?1, ?2);

-- name: REMOVE_MEMBER
-- Takes machine ?1 off the list.
INSERT INTO remove_member (node) VALUES (?1);

-- name: REPLACE_MEMBER
-- Machine ?1 lost its files.
INSERT INTO replace_member (node) VALUES (?1);

-- name: MEMBER_WAS_REPLACED
-- Machine ?1 was voted out, and may come back with a new file.
UPDATE cluster_members SET is_replaced = 0 WHERE node = ?1;

-- name: GUARDED_TABLES
-- The tables that a shell must not write to in a member's file. The clock it has to pin.
SELECT name FROM sqlite_schema
WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name NOT IN ('clock', 'refinery_schema_history')
ORDER BY name;

-- name: GUARDS
-- The triggers that keep a shell from writing to a member's file.
SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'member!_refuses!_%' ESCAPE '!' ORDER BY name;
