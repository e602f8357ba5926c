-- Webhooks: which events go where, when an attempt is due, and when a delivery is given up.
--
-- Every event that a webhook asks for becomes a row of webhook_deliveries in its own transaction. The server sends what
-- due_deliveries lists, and reports each outcome to do_note_delivery. Of one call or share, one delivery is due at a time
-- for each webhook; the next one becomes due when it is delivered or given up.

-- What an admin does with webhooks

CREATE VIEW check_webhook (name) AS
-- Refuses a name that no webhook has.
  SELECT NULL WHERE 0;

CREATE TRIGGER unknown_webhook_is_refused
-- A DELETE of a misspelt name would change nothing, silently.
INSTEAD OF INSERT ON check_webhook
BEGIN
  SELECT RAISE(ABORT, 'webhook_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM webhooks WHERE name = NEW.name);
END;

CREATE VIEW add_webhook (name, url, secret, kinds, allow_private) AS
-- Adds a receiver of events. `kinds` is a JSON list of types of webhook_types, NULL for all. With `allow_private` 1 its
-- address may be one of this machine, or of a private network:
--   INSERT INTO add_webhook (name, url, secret, kinds) VALUES ('chat', 'https://chat.example.org/calls', 'whsec_...',
--     '["call.ended"]')
  SELECT NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER add_webhook_adds_a_receiver
-- The clock gives the time. An empty list would be a webhook of nothing.
INSTEAD OF INSERT ON add_webhook
BEGIN
  INSERT INTO webhooks (name, url, secret, kinds, allow_private, created_ts)
  SELECT NEW.name, NEW.url, coalesce(NEW.secret, ''), CASE WHEN NEW.kinds IS NOT '[]' THEN NEW.kinds END,
         coalesce(NEW.allow_private, 0), ts
  FROM now;
END;

CREATE VIEW remove_webhook (name) AS
-- Removes a webhook, with what was not delivered: INSERT INTO remove_webhook (name) VALUES ('chat').
  SELECT NULL WHERE 0;

CREATE TRIGGER remove_webhook_deletes_it
-- removed_webhook_takes_its_deliveries follows.
INSTEAD OF INSERT ON remove_webhook
BEGIN
  INSERT INTO check_webhook (name) VALUES (NEW.name);

  DELETE FROM webhooks WHERE name = NEW.name;
END;

CREATE VIEW retry_webhook (name) AS
-- Uses a disabled webhook again, and retries all of its deliveries now, those that were given up included:
--   INSERT INTO retry_webhook (name) VALUES ('chat')
  SELECT NULL WHERE 0;

CREATE TRIGGER retry_webhook_begins_again
-- In the order of the events, the first of each call at once.
INSTEAD OF INSERT ON retry_webhook
BEGIN
  INSERT INTO check_webhook (name) VALUES (NEW.name);

  UPDATE webhooks SET disabled_ts = NULL WHERE name = NEW.name;

  UPDATE webhook_deliveries
  SET queued_ts = (SELECT ts FROM now), attempts = 0, given_up_ts = NULL,
      next_ts = CASE WHEN id = (SELECT min(id) FROM webhook_deliveries AS earlier
                                WHERE earlier.webhook = NEW.name AND earlier.subject = webhook_deliveries.subject)
                     THEN (SELECT ts FROM now) END
  WHERE webhook = NEW.name;
END;

CREATE TRIGGER webhook_is_added_once
-- INSERT OR REPLACE would take over the deliveries of the earlier one.
BEFORE INSERT ON webhooks
WHEN EXISTS (SELECT 1 FROM webhooks WHERE name = NEW.name)
BEGIN
  SELECT RAISE(ABORT, 'webhook_exists');
END;

CREATE TRIGGER new_webhook_has_known_kinds
-- A misspelt type would never come.
BEFORE INSERT ON webhooks
WHEN NEW.kinds IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'webhook_kind_unknown')
  WHERE NOT CASE WHEN json_valid(NEW.kinds) THEN json_type(NEW.kinds) = 'array' ELSE 0 END
     OR EXISTS (SELECT 1 FROM json_each(NEW.kinds) WHERE value NOT IN (SELECT type FROM webhook_types));
END;

CREATE TRIGGER webhook_keeps_its_name_and_kinds
-- Deliveries have the name. Remove it, and add another.
BEFORE UPDATE ON webhooks
WHEN (NEW.name, NEW.kinds) IS NOT (OLD.name, OLD.kinds)
BEGIN
  SELECT RAISE(ABORT, 'webhook_is_fixed');
END;

CREATE TRIGGER removed_webhook_takes_its_deliveries
-- Nobody would deliver them.
AFTER DELETE ON webhooks
BEGIN
  DELETE FROM webhook_deliveries WHERE webhook = OLD.name;
END;

-- Events

CREATE VIEW webhook_types (kind, type, meaning) AS
-- The events that webhooks get: the kind in the event log, and the type in the body.
  VALUES
    ('started', 'call.started', 'a person calls a channel; `members` has those who are called'),
    ('invited', 'call.invited', 'a person is invited to a live call, or again; `by` names the inviter'),
    ('busy', 'call.busy', 'the call does not ring for a person, who is on another call or not to be disturbed'),
    ('accepted', 'call.accepted', 'a person answers, joins or rejoins'),
    ('rejected', 'call.rejected', 'a person declines'),
    ('timed_out', 'call.timed_out', 'a person does not answer in time'),
    ('left', 'call.left', 'a person leaves, or is removed; the call continues or ends after it'),
    ('removed', 'call.removed', 'the initiator has removed a person from a call that continues'),
    ('sharer_changed', 'call.sharer_changed', 'a person shares their screen in the call; nobody, if `username` is null'),
    ('guest_waits', 'call.guest_waits', 'a guest who came by a link waits to be admitted'),
    ('guest_gone', 'call.guest_gone', 'a guest who waited was dismissed, or has given up'),
    ('ended', 'call.ended', 'the call is over; `participants` has those who took part, `duration` how long'),
    ('share_started', 'share.started', 'a person shares a screen outside a call; `members` has those who may watch'),
    ('share_stopped', 'share.stopped', 'that screen share is over');

CREATE VIEW webhook_event_json (event_id, subject, type, json) AS
-- The body for an event, as things are now: the event, the call or share, and the person concerned.
  SELECT event.id, event.call_id, type.type,
         json_object(
           'type', type.type,
           'timestamp', replace(datetime(event.ts, 'unixepoch'), ' ', 'T')
                        || substr(printf('%.3f', event.ts - CAST(event.ts AS INTEGER)), 2) || 'Z',
           'data', json_object(
             'call_id', call.call_id, 'channel', call.channel,
             'title', (SELECT title FROM call_titles WHERE call_id = call.call_id),
             'external_id', (SELECT external_id FROM private_channels
                             WHERE id = CAST(substr(call.channel, 9) AS INTEGER) AND call.channel GLOB 'private:*'),
             'initiator', call.initiator,
             'state', CASE WHEN call.is_answered THEN 'active' ELSE call.state END,
             'started_ts', call.started_ts,
             'answered_ts', CASE WHEN call.is_answered THEN event.ts ELSE call.answered_ts END,
             'ended_ts', call.ended_ts, 'ended_reason', call.ended_reason,
             'duration', CASE WHEN NOT call.is_live AND call.answered_ts IS NOT NULL
                              THEN round(max(call.ended_ts - call.answered_ts, 0), 3) END,
             'username', event.username,
             'display_name', (SELECT display_name FROM users WHERE username = event.username),
             'subject', (SELECT subject FROM users WHERE username = event.username),
             'by', json_extract(event.detail, '$.by'),
             'members', json((SELECT json_group_array(username)
                              FROM (SELECT username FROM channel_members
                                    WHERE channel = call.channel ORDER BY username))),
             'participants', json((SELECT json_group_array(json_object(
                                            'username', username,
                                            'subject', (SELECT subject FROM users
                                                        WHERE username = attendee.username
                                                          AND number = attendee.number),
                                            'role', role, 'state', state,
                                            'joined_ts', joined_ts, 'left_ts', left_ts))
                                   FROM (SELECT * FROM call_participants
                                         WHERE call_id = call.call_id ORDER BY role, username) AS attendee))))
  FROM events AS event
  JOIN webhook_types AS type ON type.kind = event.kind
  -- Of the triggers of an answer, that of the event may be before the one that makes the call active.
  JOIN (SELECT *, state = 'ringing' AND EXISTS (SELECT 1 FROM call_participants
                                                WHERE call_id = calls.call_id AND role = 'participant'
                                                  AND state = 'accepted') AS is_answered
        FROM calls) AS call ON call.call_id = event.call_id
  UNION ALL
  SELECT event.id, event.call_id, type.type,
         json_object(
           'type', type.type,
           'timestamp', replace(datetime(event.ts, 'unixepoch'), ' ', 'T')
                        || substr(printf('%.3f', event.ts - CAST(event.ts AS INTEGER)), 2) || 'Z',
           'data', json_object(
             'share_id', share.share_id, 'channel', share.channel,
             'title', (SELECT name FROM private_channels
                       WHERE id = CAST(substr(share.channel, 9) AS INTEGER) AND share.channel GLOB 'private:*'),
             'external_id', (SELECT external_id FROM private_channels
                             WHERE id = CAST(substr(share.channel, 9) AS INTEGER) AND share.channel GLOB 'private:*'),
             'username', share.sharer,
             'display_name', (SELECT display_name FROM users WHERE username = share.sharer),
             'subject', (SELECT subject FROM users WHERE username = share.sharer),
             'state', share.state, 'started_ts', share.started_ts, 'ended_ts', share.ended_ts,
             'members', json((SELECT json_group_array(username)
                              FROM (SELECT username FROM channel_members
                                    WHERE channel = share.channel ORDER BY username)))))
  FROM events AS event
  JOIN webhook_types AS type ON type.kind = event.kind
  JOIN screenshares AS share ON share.share_id = event.call_id;

CREATE TRIGGER event_is_queued_for_webhooks
-- In the transaction of the event, so that none is lost. The body is written now: later changes do not show in it.
-- Without a webhook this reads one page.
AFTER INSERT ON events
WHEN EXISTS (SELECT 1 FROM webhooks WHERE disabled_ts IS NULL)
BEGIN
  INSERT INTO webhook_deliveries (webhook, subject, message_id, queued_ts, body)
  SELECT webhook.name, event.subject, 'msg_' || event.subject || '_' || event.event_id, NEW.ts, event.json
  FROM webhook_event_json AS event
  CROSS JOIN webhooks AS webhook
  WHERE event.event_id = NEW.id AND webhook.disabled_ts IS NULL
    AND (webhook.kinds IS NULL OR EXISTS (SELECT 1 FROM json_each(webhook.kinds) WHERE value = event.type))
  ORDER BY webhook.name;
END;

CREATE TRIGGER new_delivery_waits_for_earlier_ones
-- The first of a call is due at once. A dead receiver must not fill the disk: beyond webhook_deliveries_max the oldest
-- delivery is deleted, first of those that were given up.
AFTER INSERT ON webhook_deliveries
BEGIN
  UPDATE webhook_deliveries SET next_ts = NEW.queued_ts
  WHERE id = NEW.id AND given_up_ts IS NULL
    AND NOT EXISTS (SELECT 1 FROM webhook_deliveries AS earlier
                    WHERE earlier.webhook = NEW.webhook AND earlier.subject = NEW.subject
                      AND earlier.given_up_ts IS NULL AND earlier.id < NEW.id);

  UPDATE webhooks SET kept = min(kept + 1, 9007199254740991) WHERE name = NEW.webhook;

  INSERT INTO do_drop_delivery (webhook)
  SELECT name FROM webhooks
  WHERE name = NEW.webhook AND kept > (SELECT value FROM settings WHERE name = 'webhook_deliveries_max');
END;

CREATE TRIGGER webhook_delivery_id_is_fixed
-- The outcome of an attempt finds its row by it.
BEFORE UPDATE ON webhook_deliveries
WHEN NEW.id IS NOT OLD.id
BEGIN
  SELECT RAISE(ABORT, 'id_too_large');
END;

CREATE TRIGGER webhook_deliveries_id_leaves_room
-- An id near the end of the numbers would leave none for later rows.
BEFORE INSERT ON webhook_deliveries
WHEN NEW.id > (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'webhook_deliveries') + 1000000
BEGIN
  SELECT RAISE(ABORT, 'id_too_large');
END;

CREATE VIEW do_drop_delivery (webhook) AS
-- Deletes the oldest delivery of a webhook, undelivered.
  SELECT NULL WHERE 0;

CREATE TRIGGER oldest_delivery_makes_way
-- The webhook counts it. A smaller webhook_deliveries_max takes effect with each new delivery, two at a time.
INSTEAD OF INSERT ON do_drop_delivery
BEGIN
  UPDATE webhooks SET dropped = min(dropped + 1, 9007199254740991) WHERE name = NEW.webhook;

  DELETE FROM webhook_deliveries
  WHERE id = coalesce((SELECT id FROM webhook_deliveries
                       WHERE webhook = NEW.webhook AND given_up_ts IS NOT NULL ORDER BY id LIMIT 1),
                      (SELECT min(id) FROM webhook_deliveries WHERE webhook = NEW.webhook));
END;

CREATE TRIGGER deleted_delivery_lets_the_next_one_go
-- It was delivered, or dropped.
AFTER DELETE ON webhook_deliveries
BEGIN
  UPDATE webhooks SET kept = kept - 1 WHERE name = OLD.webhook;

  INSERT INTO do_release_delivery (webhook, subject) SELECT OLD.webhook, OLD.subject WHERE OLD.given_up_ts IS NULL;
END;

CREATE TRIGGER given_up_delivery_lets_the_next_one_go
-- The receiver may have a defect in one event, and take all others.
AFTER UPDATE OF given_up_ts ON webhook_deliveries
WHEN OLD.given_up_ts IS NULL AND NEW.given_up_ts IS NOT NULL
BEGIN
  INSERT INTO do_release_delivery (webhook, subject) VALUES (NEW.webhook, NEW.subject);
END;

CREATE VIEW do_release_delivery (webhook, subject) AS
-- Makes the first waiting delivery of a call due.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER next_delivery_is_due
-- At once, if it was not due yet.
INSTEAD OF INSERT ON do_release_delivery
BEGIN
  UPDATE webhook_deliveries SET next_ts = (SELECT ts FROM now)
  WHERE next_ts IS NULL
    AND id = (SELECT min(id) FROM webhook_deliveries
              WHERE webhook = NEW.webhook AND subject = NEW.subject AND given_up_ts IS NULL);
END;

-- Delivering

CREATE VIEW due_deliveries (webhook, next_ts, id, subject, message_id, body, url, secret, allow_private) AS
-- The attempts that are due, of each webhook in the order of their times.
  SELECT delivery.webhook, delivery.next_ts, delivery.id, subject, message_id, body, url, secret, allow_private
  FROM webhooks AS webhook
  CROSS JOIN webhook_deliveries AS delivery ON delivery.webhook = webhook.name
  WHERE delivery.next_ts <= (SELECT ts FROM now) AND webhook.disabled_ts IS NULL;

CREATE VIEW next_delivery (seconds) AS
-- How long it is until the next attempt that is not due yet. NULL: there is no such attempt.
  SELECT (SELECT min(next_ts) FROM webhook_deliveries WHERE next_ts > (SELECT ts FROM now)) - (SELECT ts FROM now);

CREATE VIEW do_note_delivery (id, status, error) AS
-- The outcome of an attempt: the HTTP status of the answer, NULL without one, and why it is a failure, NULL for a success.
  SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER delivered_event_is_deleted
-- A status of 2xx is a success. Its row may be gone meanwhile, with its webhook.
INSTEAD OF INSERT ON do_note_delivery
WHEN NEW.error IS NULL AND NEW.status BETWEEN 200 AND 299
BEGIN
  DELETE FROM webhook_deliveries WHERE id = NEW.id;
END;

CREATE TRIGGER failed_delivery_is_retried
-- After 5 seconds, and after twice as long each time, up to an hour. The last attempt is at the end of
-- webhook_retry_seconds, so that each delivery has one at least. Then it is given up.
INSTEAD OF INSERT ON do_note_delivery
WHEN NEW.error IS NOT NULL OR NEW.status NOT BETWEEN 200 AND 299
BEGIN
  UPDATE webhook_deliveries
  SET attempts = min(attempts + 1, 1000000), last_status = NEW.status, last_error = NEW.error,
      given_up_ts = CASE WHEN (SELECT ts FROM now) >= last_ts THEN (SELECT ts FROM now) END,
      next_ts = CASE WHEN (SELECT ts FROM now) < last_ts
                     THEN min(last_ts, (SELECT ts FROM now) + min(5 << min(attempts, 10), 3600)) END
  FROM (SELECT id AS of_id, queued_ts + value AS last_ts
        FROM webhook_deliveries JOIN settings ON name = 'webhook_retry_seconds' WHERE id = NEW.id)
  WHERE id = of_id AND given_up_ts IS NULL;
END;

CREATE TRIGGER gone_receiver_is_disabled
-- 410 says that the receiver wants no more (Standard Webhooks). What is stored waits until an admin retries or removes it.
INSTEAD OF INSERT ON do_note_delivery
WHEN NEW.status = 410
BEGIN
  UPDATE webhooks SET disabled_ts = (SELECT ts FROM now)
  WHERE disabled_ts IS NULL AND name = (SELECT webhook FROM webhook_deliveries WHERE id = NEW.id);
END;

CREATE VIEW due_webhook_failures (id) AS
-- What was given up too long ago.
  SELECT id FROM webhook_deliveries
  WHERE given_up_ts <= (SELECT ts FROM now) - (SELECT value FROM settings WHERE name = 'webhook_failures_max_age');

CREATE VIEW webhook_failures AS
-- What was given up, oldest first:
--   SELECT * FROM webhook_failures WHERE webhook = 'chat'
  SELECT id, webhook, subject, message_id, json_extract(body, '$.type') AS type, attempts, last_status, last_error,
         datetime(given_up_ts, 'unixepoch') AS given_up_utc, given_up_ts
  FROM webhook_deliveries
  WHERE given_up_ts IS NOT NULL;

-- What the commands list, and the routes at /admin/

CREATE VIEW webhook_json (name, json) AS
-- A webhook as GET /admin/webhooks gives it, without its secret.
  SELECT name,
         json_object('name', name, 'url', url, 'kinds', json(kinds),
                     'allow_private', json(CASE WHEN allow_private THEN 'true' ELSE 'false' END),
                     'created_ts', created_ts, 'disabled_ts', disabled_ts,
                     'waiting', (SELECT count(*) FROM webhook_deliveries
                                 WHERE webhook = webhooks.name AND given_up_ts IS NULL),
                     'given_up', (SELECT count(*) FROM webhook_failures WHERE webhook = webhooks.name),
                     'dropped', dropped)
  FROM webhooks;

CREATE VIEW webhook_failure_json (id, webhook, json) AS
-- A failure as GET /admin/webhooks/NAME/failures gives it.
  SELECT id, webhook,
         json_object('id', id, 'message_id', message_id, 'type', type, 'subject', subject, 'attempts', attempts,
                     'last_status', last_status, 'last_error', last_error, 'given_up_ts', given_up_ts)
  FROM webhook_failures;
