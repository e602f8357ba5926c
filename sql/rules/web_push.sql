-- Web Push: whose browsers are woken by a call, and until when that is of use.
--
-- A ring becomes a row of push_deliveries for each subscription of the person, in its own transaction. The end of the ring
-- changes the row: it is then the news of a missed call, or takes the notification away. The server sends what due_pushes
-- lists, and reports each outcome to do_note_push.

-- Subscriptions

CREATE VIEW add_push_subscription (id, token_hash, endpoint, p256dh, auth) AS
-- POST /push/subscriptions: the browser of a session is to be woken. A second time it changes nothing. A browser has one
-- endpoint. With a new session, or another person who signs in there, the row is replaced.
  SELECT NULL, NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER add_push_subscription_adds_a_browser
-- A guest is gone with the call.
INSTEAD OF INSERT ON add_push_subscription
BEGIN
  SELECT RAISE(ABORT, 'web_push_is_off')
  WHERE EXISTS (SELECT 1 FROM settings WHERE name = 'web_push' AND NOT value);

  SELECT RAISE(ABORT, 'guest_may_not')
  WHERE EXISTS (SELECT 1 FROM live_sessions AS session JOIN users AS person ON person.username = session.username
                WHERE session.token_hash = NEW.token_hash AND person.guest_of IS NOT NULL);

  DELETE FROM push_subscriptions
  WHERE id = NEW.id
    AND (token_hash, endpoint, p256dh, auth) IS NOT (NEW.token_hash, NEW.endpoint, NEW.p256dh, NEW.auth);

  INSERT INTO push_subscriptions (id, token_hash, username, endpoint, p256dh, auth, created_ts)
  SELECT NEW.id, session.token_hash, session.username, NEW.endpoint, NEW.p256dh, NEW.auth, now.ts
  FROM live_sessions AS session, now
  WHERE session.token_hash = NEW.token_hash AND NOT EXISTS (SELECT 1 FROM push_subscriptions WHERE id = NEW.id);
END;

CREATE VIEW remove_push_subscription (id, username) AS
-- DELETE /push/subscriptions/ID: a person ends one of theirs.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER only_own_push_subscriptions_are_removed
-- Nobody learns which ids others have.
INSTEAD OF INSERT ON remove_push_subscription
BEGIN
  SELECT RAISE(ABORT, 'push_subscription_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM push_subscriptions WHERE id = NEW.id AND username = NEW.username);

  DELETE FROM push_subscriptions WHERE id = NEW.id;
END;

CREATE TRIGGER push_subscription_is_of_a_session
-- The foreign key says so too, but a bare shell does not enforce it. Notifications name who calls.
BEFORE INSERT ON push_subscriptions
WHEN NOT EXISTS (SELECT 1 FROM sessions WHERE token_hash = NEW.token_hash AND username = NEW.username)
  OR EXISTS (SELECT 1 FROM push_subscriptions WHERE id = NEW.id)
BEGIN
  SELECT RAISE(ABORT, 'push_subscription_is_fixed');
END;

CREATE TRIGGER push_subscription_is_fixed
-- Another endpoint or person would get what is on its way.
BEFORE UPDATE ON push_subscriptions
BEGIN
  SELECT RAISE(ABORT, 'push_subscription_is_fixed');
END;

CREATE TRIGGER oldest_push_subscription_makes_way
-- A script could subscribe a thousand times, and each ring would be sent to all.
AFTER INSERT ON push_subscriptions
WHEN (SELECT count(*) FROM push_subscriptions WHERE username = NEW.username)
   > (SELECT CASE value WHEN 0 THEN 9007199254740991 ELSE value END
      FROM settings WHERE name = 'push_subscriptions_per_person')
BEGIN
  DELETE FROM push_subscriptions
  WHERE id = (SELECT id FROM push_subscriptions WHERE username = NEW.username ORDER BY created_ts, id LIMIT 1);
END;

CREATE TRIGGER ended_session_takes_its_push_subscriptions
-- Nobody is signed in there any more. This is how they end with a removed person, too.
AFTER DELETE ON sessions
BEGIN
  DELETE FROM push_subscriptions WHERE token_hash = OLD.token_hash;
END;

CREATE TRIGGER removed_push_subscription_takes_its_deliveries
-- Nobody would deliver them.
AFTER DELETE ON push_subscriptions
BEGIN
  DELETE FROM push_deliveries WHERE subscription = OLD.id;
END;

CREATE TRIGGER changed_push_key_ends_push_subscriptions
-- A push service takes messages for a subscription from the key alone with which it was made. The page subscribes again.
AFTER UPDATE OF value ON settings
WHEN NEW.name = 'web_push_key' AND NEW.value IS NOT OLD.value
BEGIN
  DELETE FROM push_subscriptions;
END;

CREATE TRIGGER disabled_web_push_ends_push_subscriptions
-- Nothing is stored for what is off.
AFTER UPDATE OF value ON settings
WHEN NEW.name = 'web_push' AND NOT NEW.value AND OLD.value
BEGIN
  DELETE FROM push_subscriptions;
END;

CREATE TRIGGER web_push_contact_is_an_address
-- Push services refuse another subject in a token (RFC 8292, section 2.1).
BEFORE UPDATE OF value ON settings
WHEN NEW.name = 'web_push_contact'
BEGIN
  SELECT RAISE(ABORT, 'web_push_contact_malformed')
  WHERE typeof(NEW.value) IS NOT 'text'
     OR NOT (NEW.value = '' OR NEW.value GLOB 'mailto:?*@?*' OR NEW.value GLOB 'https://?*')
     OR NEW.value GLOB '*[^!-~]*' OR instr(NEW.value, char(0));
END;

CREATE VIEW web_push_settings (is_on, key) AS
-- What GET /push says. The key is private.
  SELECT (SELECT value FROM settings WHERE name = 'web_push'), (SELECT value FROM settings WHERE name = 'web_push_key');

-- Deliveries

CREATE TRIGGER ring_is_pushed
-- To each browser of the person, whether the page is open there or not: a browser on a phone may have stopped a page whose
-- connection looks alive. Of a call that rings again, what was on its way is of no use.
AFTER INSERT ON events
WHEN NEW.kind = 'ringing' AND EXISTS (SELECT 1 FROM push_subscriptions WHERE username = NEW.username)
BEGIN
  DELETE FROM push_deliveries
  WHERE call_id = NEW.call_id
    AND subscription IN (SELECT id FROM push_subscriptions WHERE username = NEW.username);

  INSERT INTO push_deliveries (subscription, call_id, kind, until_ts, next_ts)
  SELECT id, NEW.call_id, 'ring', round(NEW.ts + (SELECT timeout FROM ring_cutoff), 3), NEW.ts
  FROM push_subscriptions
  WHERE username = NEW.username
  ORDER BY id;
END;

CREATE TRIGGER ended_ring_is_pushed
-- A missed call is news for a day. Otherwise the notification only goes away, which is of use while it may be there.
AFTER UPDATE OF state ON call_participants
WHEN OLD.state = 'pending' AND NEW.state IS NOT 'pending'
  AND EXISTS (SELECT 1 FROM push_deliveries WHERE call_id = NEW.call_id)
BEGIN
  UPDATE push_deliveries
  SET kind = CASE WHEN NEW.missed_ts IS NOT NULL THEN 'missed'
                  WHEN NEW.state = 'accepted' THEN 'answered'
                  WHEN NEW.state = 'rejected' THEN 'declined'
                  ELSE 'over' END,
      attempts = 0, next_ts = (SELECT ts FROM now),
      until_ts = (SELECT ts FROM now) + CASE WHEN NEW.missed_ts IS NOT NULL THEN 86400 ELSE 60 END
  WHERE call_id = NEW.call_id
    AND subscription IN (SELECT id FROM push_subscriptions WHERE username = NEW.username);
END;

CREATE VIEW settle_push (call_id, token_hash) AS
-- A session answers or declines a call: its own browser needs no news of that.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER answering_browser_gets_no_push
-- Before the answer, which would change the row. If that is refused, this is undone.
INSTEAD OF INSERT ON settle_push
BEGIN
  DELETE FROM push_deliveries
  WHERE call_id = NEW.call_id
    AND subscription IN (SELECT id FROM push_subscriptions WHERE token_hash = NEW.token_hash);
END;

CREATE TRIGGER push_delivery_is_of_one_browser
-- Another browser, or another call, would get it.
BEFORE UPDATE ON push_deliveries
WHEN (NEW.subscription, NEW.call_id) IS NOT (OLD.subscription, OLD.call_id)
BEGIN
  SELECT RAISE(ABORT, 'push_subscription_is_fixed');
END;

CREATE VIEW due_push_deliveries (subscription, call_id) AS
-- What is of no use any more.
  SELECT subscription, call_id FROM push_deliveries WHERE until_ts <= (SELECT ts FROM now);

CREATE VIEW due_pushes AS
-- The attempts that are due, with what the browser shows: the kind, the caller, and the title of a private channel.
-- `seconds_left` is how long the message is of use.
  SELECT delivery.next_ts, delivery.subscription, delivery.call_id, delivery.kind,
         round(delivery.until_ts - now.ts, 3) AS seconds_left,
         subscription.service, subscription.endpoint, subscription.p256dh, subscription.auth,
         json_object('kind', delivery.kind, 'call_id', delivery.call_id,
                     'caller', coalesce((SELECT display_name FROM current_participants AS inviter
                                         WHERE inviter.call_id = delivery.call_id
                                           AND inviter.username = coalesce(
                                             (SELECT invited_by FROM call_participants AS own
                                              WHERE own.call_id = delivery.call_id
                                                AND own.username = subscription.username), call.initiator)),
                                        call.initiator),
                     'title', (SELECT title FROM call_titles WHERE call_id = delivery.call_id)) AS json
  FROM push_deliveries AS delivery
  JOIN now
  JOIN push_subscriptions AS subscription ON subscription.id = delivery.subscription
  JOIN calls AS call ON call.call_id = delivery.call_id
  WHERE delivery.next_ts <= now.ts AND delivery.until_ts > now.ts;

CREATE VIEW next_push (seconds) AS
-- How long it is until the next attempt that is not due yet. NULL: there is no such attempt.
  SELECT (SELECT min(next_ts) FROM push_deliveries WHERE next_ts > (SELECT ts FROM now)) - (SELECT ts FROM now);

CREATE VIEW do_note_push (subscription, call_id, kind, status) AS
-- The outcome of an attempt: the HTTP status of the answer, NULL without one, and 0 if nothing can be sent to the browser.
  SELECT NULL, NULL, NULL, NULL WHERE 0;

CREATE TRIGGER gone_push_subscription_is_removed
-- 404 and 410 say that the browser has ended it (RFC 8030, section 7.3).
INSTEAD OF INSERT ON do_note_push
WHEN NEW.status IN (0, 404, 410)
BEGIN
  DELETE FROM push_subscriptions WHERE id = NEW.subscription;
END;

CREATE TRIGGER settled_push_is_not_repeated
-- It was delivered, or the push service will never take it. A ring stays until it ends. If it has ended meanwhile, the row
-- is of another kind, which is still due.
INSTEAD OF INSERT ON do_note_push
WHEN NEW.status BETWEEN 200 AND 499 AND NEW.status NOT IN (404, 408, 410, 429)
BEGIN
  UPDATE push_deliveries SET next_ts = NULL
  WHERE subscription = NEW.subscription AND call_id = NEW.call_id AND kind = NEW.kind AND NEW.kind = 'ring';

  DELETE FROM push_deliveries
  WHERE subscription = NEW.subscription AND call_id = NEW.call_id AND kind = NEW.kind AND NEW.kind <> 'ring';
END;

CREATE TRIGGER failed_push_is_retried_while_of_use
-- After 1 second, and after twice as long each time, up to an hour. A sweep deletes what is of no use any more.
INSTEAD OF INSERT ON do_note_push
WHEN NEW.status IS NULL OR NEW.status >= 500 OR NEW.status IN (408, 429)
BEGIN
  UPDATE push_deliveries
  SET attempts = min(attempts + 1, 1000000), next_ts = (SELECT ts FROM now) + min(1 << min(attempts, 12), 3600)
  WHERE subscription = NEW.subscription AND call_id = NEW.call_id AND kind = NEW.kind;
END;
