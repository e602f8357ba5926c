-- Answers: what a person learns of an action that they have just carried out. The server reads them in the write of the
-- action. Answers that do not depend on what it finds are not here.

CREATE VIEW action_answers (action, id, person, json) AS
-- `id` is the call or share. `person` is who acted, for an invitation and for a report the one that it is about.
  SELECT 'initiate', own.call_id, own.username,
         json_object('busy', json((SELECT json_group_array(username)
                                   FROM (SELECT username FROM call_participants
                                         WHERE call_id = own.call_id AND missed_reason IS NOT NULL ORDER BY username))),
                     'call_id', own.call_id,
                     'joined_ts', own.joined_ts,
                     'participants', json((SELECT json_group_array(username)
                                           FROM (SELECT username FROM call_participants
                                                 WHERE call_id = own.call_id ORDER BY username))))
  FROM call_participants AS own
  UNION ALL
  SELECT 'accept', own.call_id, own.username,
         json_object('joined_ts', own.joined_ts,
                     'last_signal_id', coalesce((SELECT max(id) FROM call_signals
                                                 WHERE call_id = own.call_id AND to_user = own.username), 0),
                     'participants', json((SELECT json_group_array(username)
                                           FROM (SELECT username FROM call_participants
                                                 WHERE call_id = own.call_id AND state = 'accepted' ORDER BY username))),
                     'status', 'ok')
  FROM call_participants AS own
  UNION ALL
  SELECT 'invite', call_id, username,
         json_object('busy', json(CASE WHEN missed_reason IS NULL THEN '[]' ELSE json_array(username) END), 'status', 'ok')
  FROM call_participants
  UNION ALL
  SELECT 'gone', call_id, username, json_object('status', 'removed') FROM gone_participants
  UNION ALL
  SELECT 'call_media', call_id, username,
         json_object('seq', (SELECT max(id) FROM call_media
                             WHERE call_id = participant.call_id AND sender = participant.username AND is_init = 0),
                     'status', 'ok')
  FROM call_participants AS participant
  UNION ALL
  SELECT 'share_media', share_id, sharer,
         json_object('seq', (SELECT max(id) FROM share_media WHERE share_id = share.share_id AND is_init = 0),
                     'status', 'ok')
  FROM screenshares AS share;
