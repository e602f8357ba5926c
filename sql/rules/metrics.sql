-- What a monitor reads of the tables. The server adds the numbers of its process.

CREATE VIEW metrics (name, label, label_value, value, meaning) AS
-- GET /metrics: a number a row, of this moment. Of a number with a label there is a row for each value of the label.
  SELECT 'minimost_calls_live_calls', 'state', 'ringing', (SELECT count(*) FROM calls WHERE state = 'ringing'),
         'Live calls by state.'
  UNION ALL
  SELECT 'minimost_calls_live_calls', 'state', 'active', (SELECT count(*) FROM calls WHERE state = 'active'),
         'Live calls by state.'
  UNION ALL
  SELECT 'minimost_calls_ringing_invitations', NULL, NULL,
         (SELECT count(*) FROM call_participants WHERE state = 'pending'),
         'Invitations that ring.'
  UNION ALL
  SELECT 'minimost_calls_people_on_calls', NULL, NULL,
         (SELECT count(*) FROM call_participants WHERE state = 'accepted'),
         'People on a call, counted in each.'
  UNION ALL
  SELECT 'minimost_calls_shares', NULL, NULL, (SELECT count(*) FROM screenshares WHERE state = 'active'),
         'Screen shares outside calls.'
  UNION ALL
  SELECT 'minimost_calls_sessions', NULL, NULL, (SELECT count(*) FROM sessions),
         'Sessions and tokens of users.'
  UNION ALL
  SELECT 'minimost_calls_people', NULL, NULL, (SELECT count(*) FROM users),
         'Registered users.'
  UNION ALL
  SELECT 'minimost_calls_events', NULL, NULL, (SELECT count(*) FROM events),
         'Events in the event log, without signals.'
  UNION ALL
  SELECT 'minimost_calls_webhook_deliveries', 'state', 'waiting',
         (SELECT count(*) FROM webhook_deliveries WHERE given_up_ts IS NULL),
         'Deliveries to webhooks by state.'
  UNION ALL
  SELECT 'minimost_calls_webhook_deliveries', 'state', 'given_up', (SELECT count(*) FROM webhook_failures),
         'Deliveries to webhooks by state.'
  UNION ALL
  SELECT 'minimost_calls_file_bytes', NULL, NULL,
         (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size),
         'Size of the database, without its write-ahead log.';
