-- For admins at a shell: live and finished calls, a check of the data, and useful statements.
-- incoming_calls and missed_calls are in participants.sql and history.sql.

CREATE VIEW help (task, statement) AS
-- What an admin needs: .mode box, then SELECT * FROM help
  VALUES
    ('calls now', 'SELECT * FROM live_calls'),
    ('calls that ring', 'SELECT * FROM incoming_calls'),
    ('calls of the past', 'SELECT * FROM call_history ORDER BY started_ts DESC LIMIT 20'),
    ('missed calls', 'SELECT * FROM missed_calls WHERE username = ''bob'''),
    ('end a call', 'INSERT INTO end_call_as_admin (call_id) VALUES (''...'')'),
    ('screen shares now', 'SELECT * FROM screenshares WHERE state = ''active'''),
    ('end a screen share', 'UPDATE screenshares SET state = ''ended'' WHERE share_id = ''...'''),
    ('see the limits', 'SELECT name, value, default_value, unit, meaning FROM settings'),
    ('change a limit', 'INSERT INTO set_setting (name, value) VALUES (''ringing_timeout'', 45)'),
    ('return a limit to its default', 'INSERT INTO reset_setting (name) VALUES (''ringing_timeout'')'),
    ('see the users',
     'SELECT username, display_name, role, datetime(created_ts, ''unixepoch'') AS added_utc FROM users'),
    ('add a user; the password follows with minimost-calls user passwd',
     'INSERT INTO add_user (username, display_name) VALUES (''carol'', ''Carol'')'),
    ('lock the password of a user, and end their sessions', 'INSERT INTO set_password (username) VALUES (''bob'')'),
    ('change what people see', 'INSERT INTO set_display_name (username, display_name) VALUES (''bob'', ''Bob'')'),
    ('make a user an admin, or a member', 'INSERT INTO set_role (username, role) VALUES (''alice'', ''admin'')'),
    ('let no call ring for a user for an hour; 0 ends that',
     'INSERT INTO set_quiet (username, seconds) VALUES (''bob'', 3600)'),
    ('remove a user', 'INSERT INTO remove_user (username) VALUES (''bob'')'),
    ('see the sessions',
     'SELECT id, username, datetime(created_ts, ''unixepoch'') AS since_utc FROM session_list ORDER BY username'),
    ('end a session', 'INSERT INTO revoke_session (session) VALUES (''...'')'),
    ('end all sessions of a user', 'DELETE FROM sessions WHERE username = ''bob'''),
    ('see the channels', 'SELECT id, name, created_by FROM private_channels'),
    ('see the members', 'SELECT channel, username FROM private_channel_members'),
    ('add a channel', 'INSERT INTO add_channel (title, members) VALUES (''Team'', ''["alice", "bob"]'')'),
    ('rename a channel', 'INSERT INTO rename_channel (channel, title) VALUES (''private:1'', ''The team'')'),
    ('remove a channel', 'INSERT INTO remove_channel (channel) VALUES (''private:1'')'),
    ('add a member', 'INSERT INTO join_channel (channel, username) VALUES (''private:1'', ''bob'')'),
    ('remove a member', 'INSERT INTO leave_channel (channel, username) VALUES (''private:1'', ''bob'')'),
    ('see the tokens of programs',
     'SELECT name, scopes, datetime(expires_ts, ''unixepoch'') AS expires_utc FROM service_tokens'),
    ('revoke the token of a program', 'INSERT INTO revoke_service_token (name) VALUES (''monitor'')'),
    ('see the host applications',
     'SELECT name, algorithm, audience, datetime(created_ts, ''unixepoch'') AS since_utc FROM issuers'),
    ('remove a host application, and end the sessions of its people',
     'INSERT INTO remove_issuer (name) VALUES (''chat'')'),
    ('see the webhooks, and what was not delivered', 'SELECT name, json FROM webhook_json'),
    ('what could not be delivered', 'SELECT * FROM webhook_failures'),
    ('retry all deliveries of a webhook', 'INSERT INTO retry_webhook (name) VALUES (''chat'')'),
    ('remove a webhook', 'INSERT INTO remove_webhook (name) VALUES (''chat'')'),
    ('prune 25 calls older than a year; repeat',
     'INSERT INTO prune_history (older_than_seconds) VALUES (365 * 86400)'),
    ('what commands and admins changed',
     'SELECT datetime(ts, ''unixepoch'') AS utc, change, subject, actor FROM command_log ORDER BY id DESC LIMIT 20'),
    ('what a refusal means', 'SELECT * FROM refusals WHERE code = ''call_finished'''),
    ('is anything wrong', 'SELECT * FROM integrity_violations'),
    ('is the file intact', 'PRAGMA integrity_check');

CREATE TRIGGER command_log_is_final
-- It says what happened.
BEFORE UPDATE ON command_log
BEGIN
  SELECT RAISE(ABORT, 'event_is_final');
END;

CREATE TRIGGER command_log_id_leaves_room
-- An id near the end of the numbers would leave none for later rows.
BEFORE INSERT ON command_log
WHEN NEW.id > (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'command_log') + 1000000
BEGIN
  SELECT RAISE(ABORT, 'id_too_large');
END;

CREATE TRIGGER command_log_is_bounded
-- A script may run a command every minute.
AFTER INSERT ON command_log
BEGIN
  DELETE FROM command_log WHERE id <= NEW.id - 1000;
END;

CREATE VIEW live_calls AS
-- The calls of this moment.
  SELECT call_id, channel, state, initiator,
         datetime(started_ts, 'unixepoch') AS started_utc,
         CAST((SELECT ts FROM now) - started_ts AS INTEGER) AS seconds,
         (SELECT group_concat(username, ', ')
          FROM (SELECT username FROM current_participants
                WHERE call_id = call.call_id AND state = 'accepted' ORDER BY username)) AS on_the_call,
         (SELECT group_concat(username, ', ')
          FROM (SELECT username FROM current_participants
                WHERE call_id = call.call_id AND state = 'pending' ORDER BY username)) AS still_ringing,
         screenshare_user AS sharing_a_screen
  FROM current_calls AS call
  WHERE call_id IN (SELECT call_id FROM calls WHERE is_live) AND is_live;

CREATE VIEW call_history AS
-- The finished calls.
--   SELECT * FROM call_history WHERE channel = 'dm:alice:bob' ORDER BY started_ts DESC LIMIT 20
  SELECT call_id, channel, initiator,
         CASE WHEN answered_ts IS NOT NULL THEN 'answered'
              WHEN ended_reason = 'rejected' THEN 'declined'
              WHEN ended_reason = 'timeout' OR ended_reason = 'busy' THEN 'missed'
              WHEN ended_reason = 'hangup' THEN 'cancelled'
              ELSE 'interrupted' END AS outcome,
         ended_reason,
         datetime(started_ts, 'unixepoch') AS started_utc,
         CASE WHEN answered_ts IS NOT NULL THEN round(max(ended_ts - answered_ts, 0), 3) END AS duration,
         (SELECT group_concat(username, ', ')
          FROM (SELECT username FROM call_participants
                WHERE call_id = call.call_id AND joined_ts IS NOT NULL ORDER BY joined_ts, username)) AS took_part,
         started_ts, answered_ts, ended_ts
  FROM current_calls AS call
  WHERE NOT is_live;

-- What the commands list, and the routes at /admin/

CREATE VIEW user_json (username, json) AS
-- A person as GET /admin/people gives them.
  SELECT username,
         json_object('username', username, 'display_name', display_name, 'role', role, 'created_ts', created_ts,
                     'issuer', issuer, 'subject', subject,
                     'sessions', (SELECT count(*) FROM live_sessions AS session
                                  WHERE session.username = person.username))
  FROM users AS person;

CREATE VIEW session_json (token_hash, id, username, json) AS
-- A session as GET /admin/sessions gives it.
  SELECT token_hash, substr(token_hash, 1, 16), username,
         json_object('id', substr(token_hash, 1, 16), 'username', username, 'created_ts', created_ts,
                     'expires_ts', expires_ts)
  FROM live_sessions;

CREATE VIEW private_channel_json (id, json) AS
-- A private channel as GET /admin/channels gives it.
  SELECT id,
         json_object('channel', 'private:' || id, 'title', name, 'created_by', created_by, 'created_ts', created_ts,
                     'issuer', issuer, 'external_id', external_id,
                     'members', json((SELECT json_group_array(username)
                                      FROM (SELECT username FROM private_channel_members
                                            WHERE channel_id = private_channels.id ORDER BY username))))
  FROM private_channels;

CREATE VIEW call_titles (call_id, title) AS
-- The title of the channel of each call. A direct-message channel has none.
  SELECT call_id, (SELECT name FROM private_channels
                   WHERE id = CAST(substr(channel, 9) AS INTEGER) AND channel GLOB 'private:*')
  FROM calls;

CREATE VIEW live_call_json (call_id, started_ts, json) AS
-- A live call as GET /admin/calls gives it.
  SELECT call_id, started_ts,
         json_object('call_id', call_id, 'channel', channel,
                     'title', (SELECT title FROM call_titles WHERE call_titles.call_id = call.call_id),
                     'initiator', initiator, 'state', state, 'started_ts', started_ts, 'answered_ts', answered_ts,
                     'screenshare_user', screenshare_user,
                     'on_the_call', json((SELECT json_group_array(username)
                                          FROM (SELECT username FROM current_participants
                                                WHERE call_id = call.call_id AND state = 'accepted'
                                                ORDER BY username))),
                     'still_ringing', json((SELECT json_group_array(username)
                                            FROM (SELECT username FROM current_participants
                                                  WHERE call_id = call.call_id AND state = 'pending'
                                                  ORDER BY username))))
  FROM current_calls AS call
  WHERE call_id IN (SELECT call_id FROM calls WHERE is_live) AND is_live;

CREATE VIEW finished_call_json (call_id, channel, ended_ts, json) AS
-- A finished call as GET /admin/history gives it.
  SELECT call_id, channel, ended_ts,
         json_object('call_id', call_id, 'channel', channel,
                     'title', (SELECT title FROM call_titles WHERE call_titles.call_id = call.call_id),
                     'initiator', initiator,
                     'outcome', (SELECT outcome FROM call_history AS past WHERE past.call_id = call.call_id),
                     'reason', ended_reason,
                     'duration', CASE WHEN answered_ts IS NOT NULL THEN round(max(ended_ts - answered_ts, 0), 3) END,
                     'started_ts', started_ts, 'answered_ts', answered_ts, 'ended_ts', ended_ts,
                     'took_part', json((SELECT json_group_array(username)
                                        FROM (SELECT username FROM call_participants
                                              WHERE call_id = call.call_id AND joined_ts IS NOT NULL
                                              ORDER BY joined_ts, username))))
  FROM calls AS call
  WHERE NOT is_live;

CREATE VIEW setting_json (name, json) AS
-- A setting as GET /admin/settings gives it. A secret is no answer: only whether there is one.
  SELECT name,
         json_object('name', name, 'value', CASE WHEN kind = 'secret' AND value <> '' THEN '(hidden)' ELSE value END,
                     'default', default_value, 'kind', kind, 'unit', unit, 'lowest', lowest,
                      'highest', highest, 'meaning', meaning)
  FROM settings;

CREATE VIEW service_token_json (name, json) AS
-- The token of a program as GET /admin/tokens gives it, valid or expired.
  SELECT name,
         json_object('name', name, 'scopes', json('["' || replace(scopes, ' ', '","') || '"]'),
                     'created_ts', created_ts, 'expires_ts', expires_ts,
                     'expired', json(CASE WHEN expires_ts > (SELECT ts FROM now) THEN 'false' ELSE 'true' END))
  FROM service_tokens;

CREATE VIEW issuer_json (name, json) AS
-- An issuer as GET /admin/issuers gives it. It has no key: that of HS256 signs tokens.
  SELECT name,
         json_object('name', name, 'algorithm', algorithm, 'audience', audience, 'clock_skew', clock_skew,
                     'created_ts', created_ts,
                     'people', (SELECT count(*) FROM users WHERE issuer = issuers.name))
  FROM issuers;

CREATE VIEW statistics_json (json) AS
-- What `minimost-calls stats` counts. It reads whole tables.
  SELECT json_object('people', (SELECT count(*) FROM users),
                     'admins', (SELECT count(*) FROM users WHERE role = 'admin'),
                     'channels', (SELECT count(*) FROM private_channels),
                     'live_calls', (SELECT count(*) FROM live_calls),
                     'finished_calls', (SELECT count(*) FROM calls WHERE NOT is_live),
                     'active_shares', (SELECT count(*) FROM screenshares WHERE state = 'active'),
                     'sessions', (SELECT count(*) FROM live_sessions),
                     'service_tokens', (SELECT count(*) FROM live_service_tokens));

CREATE VIEW integrity_violations (violation) AS
-- Everything that should be impossible. Normally empty; a row says what is wrong. It reads whole tables.
  SELECT 'the ' || rule.type || ' ' || rule.name
         || CASE WHEN stored.name IS NULL THEN ' is missing' ELSE ' was changed' END
         || '; the next start of the server creates it'
  FROM rules AS rule
  LEFT JOIN sqlite_schema AS stored ON stored.type = rule.type AND stored.name = rule.name
  WHERE stored.sql IS NOT rule.definition
  UNION ALL
  SELECT 'there is no list of rules; the next start of the server creates it'
  WHERE NOT EXISTS (SELECT 1 FROM rules WHERE name = 'integrity_violations')
  UNION ALL
  SELECT 'the ids of ' || name || ' are used up, ' || seq
  FROM (SELECT name, seq FROM sqlite_sequence UNION ALL SELECT 'events', newest_event FROM clock)
  WHERE seq > 9007199254740991 - 1000000
  UNION ALL
  SELECT 'the newest id of ' || log.value || ' is unknown'
  FROM json_each('["call_media", "share_media"]') AS log
  WHERE EXISTS (SELECT 1 FROM event_gaps)
    AND (SELECT count(*) FROM sqlite_sequence WHERE name = log.value) <> 1
  UNION ALL
  SELECT 'call ' || call_id || ' has a time in the future'
  FROM calls
  WHERE is_live AND (started_ts > (SELECT ts FROM now) + 60 OR answered_ts > (SELECT ts FROM now) + 60)
  UNION ALL
  SELECT 'call ' || call_id || ' has version ' || version || ', which is no event'
  FROM calls
  WHERE version > (SELECT newest_event FROM clock)
  UNION ALL
  SELECT username || ' has a time in the future in call ' || call_id
  FROM call_participants
  WHERE in_call AND (invited_ts > (SELECT ts FROM now) + 60 OR joined_ts > (SELECT ts FROM now) + 60
                     OR last_seen_ts > (SELECT ts FROM now) + 60)
  UNION ALL
  SELECT username || ' is on call ' || call_id || ' but was never seen'
  FROM call_participants WHERE state = 'accepted' AND last_seen_ts IS NULL AND leaves_ts IS NULL
  UNION ALL
  SELECT 'event ' || id || ' is of the future'
  FROM events WHERE id = (SELECT max(id) FROM events) AND ts > (SELECT ts FROM now) + 60
  UNION ALL
  SELECT 'the newest event is ' || newest || ', but the clock counts ' || newest_event
  FROM clock,
       (SELECT max((SELECT coalesce(max(id), 0) FROM events), (SELECT coalesce(max(id), 0) FROM call_signals)) AS newest)
  WHERE newest > newest_event
  UNION ALL
  SELECT 'the clock has lost its row' WHERE NOT EXISTS (SELECT 1 FROM clock)
  UNION ALL
  SELECT 'the live calls ' || group_concat(call_id, ' and ') || ' are in one channel, ' || channel
  FROM calls WHERE is_live GROUP BY channel HAVING count(*) > 1
  UNION ALL
  SELECT 'call ' || call_id || ' is in a direct-message channel without its canonical name, ' || channel
  FROM calls AS call
  WHERE channel GLOB 'dm:*'
    AND channel IS NOT (SELECT channel FROM canonical_channels WHERE spelling = json_quote(call.channel))
  UNION ALL
  SELECT 'call ' || call_id || ' is ' || state || ' but does not say when or why it ended'
  FROM calls WHERE NOT is_live AND (ended_ts IS NULL OR ended_reason IS NULL)
  UNION ALL
  SELECT 'call ' || call_id || ' is active but was never answered'
  FROM calls WHERE state = 'active' AND answered_ts IS NULL
  UNION ALL
  SELECT 'call ' || call_id || ' is ringing although ' || username || ' has answered'
  FROM calls JOIN call_participants USING (call_id)
  WHERE calls.state = 'ringing' AND role = 'participant' AND call_participants.state = 'accepted'
  UNION ALL
  SELECT 'call ' || call_id || ' is ringing but has nobody to ring'
  FROM calls
  WHERE state = 'ringing'
    AND started_ts <= (SELECT ts FROM ring_cutoff) - 5
    AND NOT EXISTS (SELECT 1 FROM call_participants
                    WHERE call_id = calls.call_id AND role = 'participant' AND in_call)
  UNION ALL
  SELECT 'call ' || call_id || ' is over but ' || username || ' is still ' || call_participants.state || ' in it'
  FROM calls JOIN call_participants USING (call_id)
  WHERE NOT is_live AND in_call
  UNION ALL
  SELECT 'the screen in call ' || call_id || ' is shared by ' || screenshare_user || ', who is not on an active call'
  FROM calls
  WHERE screenshare_user IS NOT NULL
    AND (state <> 'active' OR NOT EXISTS (SELECT 1 FROM call_participants
                                          WHERE call_id = calls.call_id AND username = calls.screenshare_user
                                            AND state = 'accepted'))
  UNION ALL
  SELECT username || ' takes part in call ' || call_id || ', which does not exist'
  FROM call_participants WHERE call_id NOT IN (SELECT call_id FROM calls)
  UNION ALL
  SELECT username || ' is on call ' || call_id || ' but was removed'
  FROM call_participants
  WHERE in_call AND username NOT IN (SELECT username FROM users)
  UNION ALL
  SELECT username || ' is on call ' || call_id || ' in the row of an earlier user of that name'
  FROM call_participants JOIN users USING (username)
  WHERE in_call AND call_participants.number IS NOT users.number
  UNION ALL
  SELECT 'call ' || call_id || ' does not say whose it is' FROM calls WHERE newest_number IS NULL
  UNION ALL
  SELECT 'share ' || share_id || ' does not say whose it is' FROM screenshares WHERE newest_number IS NULL
  UNION ALL
  SELECT username || ' has the wrong role in call ' || call_id || ', ' || role
  FROM calls JOIN call_participants USING (call_id)
  WHERE (role = 'initiator') IS NOT (username = initiator AND number <= newest_number)
  UNION ALL
  SELECT username || ' is accepted in call ' || call_id || ' but has no time of joining, or one of leaving'
  FROM call_participants WHERE state = 'accepted' AND (joined_ts IS NULL OR left_ts IS NOT NULL)
  UNION ALL
  SELECT username || ' is accepted in call ' || call_id || ' but was never seen, and has no time to leave'
  FROM call_participants WHERE state = 'accepted' AND last_seen_ts IS NULL AND leaves_ts IS NULL
  UNION ALL
  SELECT username || ' is invited to call ' || call_id || ' without a time'
  FROM call_participants WHERE state = 'pending' AND invited_ts IS NULL
  UNION ALL
  SELECT 'signal ' || id || ' is counted with ' || ordinal || ' signals and ' || bytes_before || ' bytes before it, fewer than '
         || 'there are'
  FROM (SELECT id, ordinal, bytes_before,
               lag(ordinal, 1, 0) OVER pair AS earlier, lag(bytes_before + bytes, 1, 0) OVER pair AS earlier_bytes
        FROM call_signals
        WINDOW pair AS (PARTITION BY call_id, from_user, to_user ORDER BY bytes_before))
  WHERE ordinal <= earlier OR bytes_before < earlier_bytes
  UNION ALL
  SELECT 'share ' || share_id || ' is in a direct-message channel without its canonical name, ' || channel
  FROM screenshares AS share
  WHERE channel GLOB 'dm:*'
    AND channel IS NOT (SELECT channel FROM canonical_channels WHERE spelling = json_quote(share.channel))
  UNION ALL
  SELECT 'the members of ' || dm.channel || ' lack ' || named.username
  FROM (SELECT DISTINCT channel FROM dm_members) AS dm
  CROSS JOIN dm_names AS named ON named.spelling = json_quote(dm.channel)
  JOIN users AS person ON person.username = named.username
  WHERE (EXISTS (SELECT 1 FROM calls WHERE channel = dm.channel AND newest_number >= person.number)
         OR EXISTS (SELECT 1 FROM screenshares WHERE channel = dm.channel AND newest_number >= person.number))
    AND NOT EXISTS (SELECT 1 FROM dm_members AS member
                    WHERE member.channel = dm.channel AND member.username = named.username)
  UNION ALL
  SELECT 'the media of ' || sender || ' in ' || call_id || ' has ' || sum(size)
         || ' bytes but is counted as ' || sum(kept)
  FROM (SELECT call_id, sender, length(data) AS size, 0 AS kept FROM call_media WHERE is_init = 0
        UNION ALL
        SELECT share_id, sharer, length(data), 0 FROM share_media JOIN screenshares USING (share_id) WHERE is_init = 0
        UNION ALL
        SELECT call_id, sender, 0, kept FROM media_bytes)
  GROUP BY call_id, sender HAVING sum(size) <> sum(kept)
  UNION ALL
  SELECT username || ' has ' || counted || ' of the limit ' || name || ', but is counted with ' || stored
  FROM (SELECT username, 'live_calls_per_person' AS name, live_calls AS stored,
               (SELECT count(*) FROM calls WHERE is_live AND initiator = username) AS counted
        FROM person_counts
        UNION ALL
        SELECT username, 'live_shares_per_person', live_shares,
               (SELECT count(*) FROM screenshares WHERE state = 'active' AND sharer = username)
        FROM person_counts
        UNION ALL
        SELECT username, 'media_per_person_max_bytes', media_bytes,
               (SELECT coalesce(sum(length(data)), 0) FROM call_media WHERE sender = username)
               + (SELECT coalesce(sum(length(data)), 0) FROM share_media JOIN screenshares USING (share_id)
                  WHERE sharer = username)
        FROM person_counts)
  WHERE stored <> counted
  UNION ALL
  SELECT username || ' is on ' || counted || ' calls, but is counted on ' || on_calls
  FROM (SELECT username, on_calls,
               (SELECT count(*) FROM call_participants AS own
                WHERE own.username = person_counts.username AND in_call AND state = 'accepted') AS counted
        FROM person_counts)
  WHERE on_calls <> counted
  UNION ALL
  SELECT username || ' is not counted: the row in person_counts is missing'
  FROM users WHERE username NOT IN (SELECT username FROM person_counts)
  UNION ALL
  SELECT 'signal ' || id || ' belongs to no live call or share'
  FROM call_signals
  WHERE call_id NOT IN (SELECT call_id FROM calls WHERE is_live)
    AND call_id NOT IN (SELECT share_id FROM screenshares WHERE state = 'active')
  UNION ALL
  SELECT 'media chunk ' || id || ' belongs to no live call'
  FROM call_media WHERE call_id NOT IN (SELECT call_id FROM calls WHERE is_live)
  UNION ALL
  SELECT 'media chunk ' || id || ' belongs to no active share'
  FROM share_media WHERE share_id NOT IN (SELECT share_id FROM screenshares WHERE state = 'active')
  UNION ALL
  SELECT sharer || ' shares twice in ' || channel || ': ' || group_concat(share_id, ' and ')
  FROM screenshares WHERE state = 'active' GROUP BY channel, sharer HAVING count(*) > 1
  UNION ALL
  SELECT 'the sharer of ' || share_id || ' was never seen, and has no time to leave'
  FROM screenshares WHERE state = 'active' AND last_seen_ts IS NULL AND leaves_ts IS NULL
  UNION ALL
  SELECT 'share ' || share_id || ' has ended but does not say when'
  FROM screenshares WHERE state = 'ended' AND ended_ts IS NULL
  UNION ALL
  SELECT 'share ' || share_id || ' is by ' || sharer || ', who is not a member of ' || channel
  FROM screenshares
  WHERE state = 'active' AND NOT EXISTS (SELECT 1 FROM channel_members
                                         WHERE channel = screenshares.channel AND username = screenshares.sharer)
  UNION ALL
  SELECT 'webhook ' || name || ' has ' || counted || ' deliveries, but is counted with ' || kept
  FROM (SELECT name, kept, (SELECT count(*) FROM webhook_deliveries WHERE webhook = webhooks.name) AS counted
        FROM webhooks)
  WHERE kept <> counted
  UNION ALL
  SELECT 'delivery ' || id || ' waits for no earlier one'
  FROM webhook_deliveries AS delivery
  WHERE given_up_ts IS NULL AND next_ts IS NULL
    AND NOT EXISTS (SELECT 1 FROM webhook_deliveries AS earlier
                    WHERE earlier.webhook = delivery.webhook AND earlier.subject = delivery.subject
                      AND earlier.given_up_ts IS NULL AND earlier.id < delivery.id)
  UNION ALL
  SELECT 'delivery ' || id || ' is for webhook ' || webhook || ', which does not exist'
  FROM webhook_deliveries WHERE webhook NOT IN (SELECT name FROM webhooks)
  UNION ALL
  SELECT 'a session is of ' || username || ', who was removed'
  FROM sessions WHERE username NOT IN (SELECT username FROM users)
  UNION ALL
  SELECT username || ' is a member of channel ' || channel || ', but one of them was removed'
  FROM private_channel_members
  WHERE username NOT IN (SELECT username FROM users) OR channel_id NOT IN (SELECT id FROM private_channels);
