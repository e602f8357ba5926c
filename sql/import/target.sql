-- Takes over what source.sql has from the original MiniMost. The command `import` runs this in a file of ours without users,
-- calls and channels, while its rules are dropped: nothing here starts, ends or rings, so no rule applies, and there are no
-- events. The rules come back in the same transaction, and integrity_violations must be empty then.
--
-- OR IGNORE leaves out what a CHECK or key of our tables refuses. The report at the end counts it.

-- People

CREATE TEMP TABLE times_of_people (username TEXT COLLATE NOCASE, ts REAL);

INSERT INTO times_of_people (username, ts)
  SELECT username, password_set_ts FROM auth_users
  UNION ALL SELECT username, set_ts FROM auth_password_history
  UNION ALL SELECT user, last_seen FROM presence_presence
  UNION ALL SELECT created_by, created_ts FROM presence_private_channels
  UNION ALL SELECT username, joined_ts FROM presence_private_channel_members
  UNION ALL SELECT initiator, started_ts FROM presence_calls
  UNION ALL SELECT username, coalesce(invited_ts, joined_ts, left_ts) FROM presence_call_participants
  UNION ALL SELECT sharer, started_ts FROM presence_screenshares;

CREATE INDEX temp.times_by_person ON times_of_people (username, ts);

-- The original does not store when a person was added: it is at the latest the first time that is known of them. A
-- password hash stays as it is until its person logs in. People see the name.
INSERT OR IGNORE INTO users (username, password_hash, created_ts, display_name, events_after)
SELECT username, password_hash,
       coalesce((SELECT min(ts) FROM times_of_people AS seen WHERE seen.username = auth_users.username), present.ts),
       username, newest_event
FROM auth_users, clock,
     (SELECT CAST((julianday('now') - 2440587.5) * 86400000.0 + 0.5 AS INTEGER) / 1000.0 AS ts) AS present
WHERE clock.id = 1
ORDER BY auth_users.rowid;

INSERT INTO person_counts (username) SELECT username FROM users;

CREATE TEMP TABLE dm_parts (
  -- The names in the names of DMs, cut as the view dm_names cuts them.
  spelling TEXT, name TEXT, PRIMARY KEY (spelling, name)
) WITHOUT ROWID;

INSERT OR IGNORE INTO dm_parts (spelling, name)
SELECT used.channel, part.value
FROM (SELECT channel FROM presence_calls UNION SELECT channel FROM presence_screenshares) AS used,
     json_each('[' || replace(json_quote(substr(used.channel, 4)), ':', '","') || ']') AS part
WHERE used.channel GLOB 'dm:*';

CREATE TEMP TABLE people (
  -- Who is meant by each name in the file. Wherever people type a name, the original keeps the case that they typed. A name
  -- without a user is that of a person who deleted the account, or of nobody: it stays in the history.
  spelling TEXT PRIMARY KEY, username TEXT NOT NULL, number INTEGER
) WITHOUT ROWID;

INSERT INTO people (spelling, username, number)
SELECT named.spelling, coalesce(person.username, named.spelling), person.number
FROM (SELECT created_by AS spelling FROM presence_private_channels WHERE created_by IS NOT NULL
      UNION SELECT username FROM presence_private_channel_members
      UNION SELECT initiator FROM presence_calls
      UNION SELECT username FROM presence_call_participants
      UNION SELECT sharer FROM presence_screenshares
      UNION SELECT name FROM dm_parts) AS named
LEFT JOIN users AS person ON person.username = named.spelling COLLATE NOCASE;

-- A number that is never used again tells a person without an account from a later user of that name.
INSERT INTO sqlite_sequence (name, seq)
SELECT 'users', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'users');

UPDATE people
SET number = (SELECT seq FROM sqlite_sequence WHERE name = 'users') + nameless.ordinal
FROM (SELECT spelling, row_number() OVER (ORDER BY spelling) AS ordinal FROM people WHERE number IS NULL) AS nameless
WHERE people.spelling = nameless.spelling;

UPDATE sqlite_sequence SET seq = max(seq, (SELECT coalesce(max(number), 0) FROM people)) WHERE name = 'users';

-- Channels

-- Names of calls contain the ids, so they stay. Titles have at most 200 characters here.
INSERT OR IGNORE INTO private_channels (id, name, created_by, created_ts)
SELECT id, substr(name, 1, 200), username, created_ts
FROM presence_private_channels LEFT JOIN people ON people.spelling = created_by;

-- A title with control characters, or with white space alone, is refused here.
INSERT INTO private_channels (id, name, created_by, created_ts)
SELECT id, 'Channel ' || id, username, created_ts
FROM presence_private_channels LEFT JOIN people ON people.spelling = created_by
WHERE id NOT IN (SELECT id FROM private_channels);

-- An id is never used again, also that of a deleted channel: a new channel must not inherit old calls.
INSERT INTO sqlite_sequence (name, seq)
SELECT 'private_channels', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'private_channels');

UPDATE sqlite_sequence
SET seq = max(seq, (SELECT coalesce(max(seq), 0) FROM presence_sqlite_sequence WHERE name = 'private_channels'))
WHERE name = 'private_channels';

-- The same person in two spellings is one member, since the earlier time.
INSERT OR IGNORE INTO private_channel_members (channel_id, username, joined_ts)
SELECT member.channel_id, person.username, member.joined_ts
FROM presence_private_channel_members AS member
JOIN people ON people.spelling = member.username
JOIN users AS person ON person.username = people.username
JOIN private_channels AS channel ON channel.id = member.channel_id
ORDER BY member.joined_ts;

CREATE TEMP TABLE channel_names (
  -- The canonical name of each channel that was used. The original has dm:bob:alice and dm:alice:bob as two channels, and
  -- takes private:01 and private:1:x for private:1. A public channel has no row: it has no calls and shares here.
  spelling TEXT PRIMARY KEY, channel TEXT NOT NULL
) WITHOUT ROWID;

INSERT INTO channel_names (spelling, channel)
SELECT used.channel,
       CASE WHEN used.channel GLOB 'dm:*'
            THEN (SELECT 'dm:' || group_concat(username, ':')
                  FROM (SELECT DISTINCT username FROM dm_parts JOIN people ON people.spelling = dm_parts.name
                        WHERE dm_parts.spelling = used.channel ORDER BY username))
            ELSE 'private:' || CAST(substr(used.channel, 9) AS INTEGER) END
FROM (SELECT channel FROM presence_calls UNION SELECT channel FROM presence_screenshares) AS used
WHERE used.channel GLOB 'dm:*' OR used.channel GLOB 'private:[0-9]*';

CREATE INDEX temp.channels_by_name ON channel_names (channel);

-- Calls

CREATE INDEX temp.signals_by_call ON presence_call_signals (call_id);
CREATE INDEX temp.media_by_call ON presence_call_media (call_id);
CREATE INDEX temp.media_by_share ON presence_share_media (share_id);

CREATE TEMP TABLE call_facts (
  -- What the original does not store, or stores elsewhere.
  call_id   TEXT PRIMARY KEY,
  first_answer_ts REAL,                                    -- the first joining of a callee
  last_ts   REAL NOT NULL,                                 -- the newest time that is known of the call
  was_left  INTEGER NOT NULL                               -- 0: people are on it, and nobody left when it ended
) WITHOUT ROWID;

INSERT INTO call_facts (call_id, first_answer_ts, last_ts, was_left)
SELECT call.call_id,
       min(CASE WHEN person.username <> call.initiator COLLATE NOCASE THEN person.joined_ts END),
       max(call.started_ts, coalesce(call.answered_ts, 0), coalesce(max(person.joined_ts), 0),
           coalesce(max(person.left_ts), 0), coalesce(max(person.last_seen_ts), 0),
           coalesce((SELECT max(ts) FROM presence_call_signals AS signal WHERE signal.call_id = call.call_id), 0),
           coalesce((SELECT max(ts) FROM presence_call_media AS media WHERE media.call_id = call.call_id), 0)),
       coalesce(max(person.state = 'accepted'), 0) = 0 OR coalesce(max(person.left_ts = call.ended_ts), 0)
FROM presence_calls AS call
LEFT JOIN presence_call_participants AS person ON person.call_id = call.call_id
GROUP BY call.call_id;

CREATE TEMP TABLE old_calls (
  -- The calls as they are here. In the original:
  --   * every accept moves answered_ts; the first answer is the first joining of a callee
  --   * a rejection ends an active call as rejected; here that is ended
  --   * a call that nobody answers is rejected at the first look at it after 30 seconds
  --   * who hangs up leaves at the instant at which the call ends; the start of the server ends calls, and nobody leaves
  -- A live call has ended with its server, which did not store when: at the newest time that is known of it.
  call_id   TEXT PRIMARY KEY,
  channel   TEXT NOT NULL,
  initiator TEXT NOT NULL,
  state     TEXT NOT NULL,
  started_ts REAL NOT NULL,
  answered_ts REAL,
  ended_ts  REAL NOT NULL,
  ended_reason TEXT NOT NULL
) WITHOUT ROWID;

INSERT INTO old_calls (call_id, channel, initiator, state, started_ts, answered_ts, ended_ts, ended_reason)
SELECT call_id, channel, initiator,
       CASE WHEN ended_reason IN ('rejected', 'timeout') THEN 'rejected' ELSE 'ended' END,
       started_ts, answered_ts, ended_ts, ended_reason
FROM (SELECT call_id, channel, initiator, started_ts, answered_ts, ended_ts,
             CASE WHEN state = 'ringing' OR (state = 'rejected' AND answered_ts IS NULL)
                  THEN CASE WHEN state = 'ringing' OR ended_ts - started_ts > 30 THEN 'timeout' ELSE 'rejected' END
                  WHEN state = 'active' OR (state = 'ended' AND NOT was_left) THEN 'restart'
                  ELSE 'hangup' END AS ended_reason
      FROM (SELECT call.call_id, channel_names.channel, people.username AS initiator, call.state, call.started_ts,
                   CASE WHEN state <> 'ringing'
                        THEN min(coalesce(call.answered_ts, first_answer_ts), coalesce(first_answer_ts, call.answered_ts))
                   END AS answered_ts,
                   CASE WHEN state = 'ringing' THEN call.started_ts + 30
                        WHEN state = 'active' THEN last_ts
                        ELSE coalesce(call.ended_ts, last_ts) END AS ended_ts,
                   was_left
            FROM presence_calls AS call
            JOIN call_facts USING (call_id)
            JOIN people ON people.spelling = call.initiator
            JOIN channel_names ON channel_names.spelling = call.channel));

INSERT OR IGNORE INTO calls (call_id, channel, initiator, state, started_ts, answered_ts, ended_ts, ended_reason,
                             newest_number)
SELECT call_id, channel, initiator, state, started_ts, answered_ts, ended_ts, ended_reason, seq
FROM old_calls, sqlite_sequence
WHERE sqlite_sequence.name = 'users';

-- Nobody is on a call that is over. Who was still pending missed it, and so did those for whom it timed out; that they
-- know of it keeps calls of years ago out of their notices. Who answered and rejected later has left. Of a person in two
-- spellings, the row of the one who joined is taken.
INSERT OR IGNORE INTO call_participants (call_id, username, role, state, joined_ts, left_ts, invited_ts, missed_ts,
                                         missed_seen_ts, visible_after, number)
SELECT call_id, username, CASE WHEN is_callee THEN 'participant' ELSE 'initiator' END,
       CASE WHEN joined_ts IS NULL AND is_callee AND (state = 'rejected' OR (is_missed AND ended_reason = 'timeout'))
            THEN 'rejected' ELSE 'left' END,
       joined_ts, left_ts, CASE WHEN is_callee THEN invited_ts END,
       CASE WHEN is_missed THEN left_ts END, CASE WHEN is_missed THEN left_ts END,
       CASE WHEN is_guest THEN newest_event END, number
FROM (SELECT call.call_id, people.username, people.number, person.state, call.ended_reason, person.joined_ts,
             coalesce(person.invited_ts, call.started_ts) AS invited_ts,
             coalesce(person.left_ts, call.ended_ts) AS left_ts,
             people.username <> call.initiator AS is_callee,
             person.state = 'pending'
               OR (person.state = 'rejected' AND person.joined_ts IS NULL AND call.ended_reason = 'timeout'
                   AND coalesce(person.left_ts, call.ended_ts) - coalesce(person.invited_ts, call.started_ts) > 30)
               AS is_missed,
             CASE WHEN call.channel GLOB 'dm:*'
                  THEN instr(':' || substr(call.channel, 4) || ':', ':' || people.username || ':') = 0
                  ELSE NOT EXISTS (SELECT 1 FROM private_channel_members AS member
                                   WHERE member.channel = call.channel AND member.username = people.username)
             END AS is_guest
      FROM presence_call_participants AS person
      JOIN old_calls AS call ON call.call_id = person.call_id
      JOIN people ON people.spelling = person.username
      WHERE call.call_id IN (SELECT call_id FROM calls)), clock
WHERE clock.id = 1
ORDER BY joined_ts IS NULL;

-- Screen shares

-- All have ended. Ids of calls and shares are distinct, because their signals share a table.
INSERT OR IGNORE INTO screenshares (share_id, channel, sharer, state, started_ts, ended_ts, newest_number)
SELECT share.share_id, channel_names.channel, people.username, 'ended', share.started_ts,
       coalesce(share.ended_ts,
                max(share.started_ts,
                    coalesce((SELECT max(ts) FROM presence_call_signals AS signal WHERE signal.call_id = share.share_id), 0),
                    coalesce((SELECT max(ts) FROM presence_share_media AS media WHERE media.share_id = share.share_id), 0))),
       sqlite_sequence.seq
FROM sqlite_sequence, presence_screenshares AS share
JOIN people ON people.spelling = share.sharer
JOIN channel_names ON channel_names.spelling = share.channel
WHERE sqlite_sequence.name = 'users' AND share.share_id NOT IN (SELECT call_id FROM calls);

-- The members of a DM that was used, as do_add_dm stores them; people without an account have no row. It is in the lists of
-- those who answered a call there, and of its caller, as answered_dm_is_listed has it.
INSERT INTO dm_members (channel, username, listed)
SELECT DISTINCT used.channel, people.username,
       EXISTS (SELECT 1 FROM calls AS call JOIN call_participants AS answered ON answered.call_id = call.call_id
               WHERE call.channel = used.channel AND answered.role = 'participant' AND answered.joined_ts IS NOT NULL
                 AND people.username IN (answered.username, call.initiator))
FROM (SELECT channel FROM calls UNION SELECT channel FROM screenshares) AS used
JOIN channel_names ON channel_names.channel = used.channel
JOIN dm_parts ON dm_parts.spelling = channel_names.spelling
JOIN people ON people.spelling = dm_parts.name
JOIN users ON users.username = people.username;

-- The report

CREATE TEMP TABLE report (
  -- What was taken and what was left out, in the order of its lines.
  id    INTEGER PRIMARY KEY,
  line  TEXT NOT NULL,
  count INTEGER                                            -- NULL: the line has no number
);

INSERT INTO report (count, line)
  SELECT count(*), 'users' FROM users
  UNION ALL SELECT count(*), 'private channels' FROM private_channels
  UNION ALL SELECT count(*), 'members of private channels' FROM private_channel_members
  UNION ALL SELECT count(*), 'calls' FROM calls
  UNION ALL SELECT count(*), 'participants of calls' FROM call_participants
  UNION ALL SELECT count(*), 'screen shares' FROM screenshares
  UNION ALL SELECT count(*), 'calls that were live, and have ended' FROM presence_calls
            WHERE state IN ('ringing', 'active') AND call_id IN (SELECT call_id FROM calls)
  UNION ALL SELECT count(*), 'private channels with a new title, because theirs cannot be printed'
            FROM presence_private_channels AS old JOIN private_channels AS new USING (id)
            WHERE new.name <> substr(old.name, 1, 200)
  UNION ALL SELECT count(*), 'left out: users whose names are not possible here' FROM auth_users
            WHERE username NOT IN (SELECT username FROM users)
  UNION ALL SELECT count(*), 'left out: members of private channels who are not users, or are members already'
            FROM presence_private_channel_members
  UNION ALL SELECT count(*), 'left out: calls of public channels, which have none here'
            FROM presence_calls WHERE channel NOT IN (SELECT spelling FROM channel_names)
  UNION ALL SELECT count(*), 'left out: calls whose ids are not possible here'
            FROM old_calls WHERE call_id NOT IN (SELECT call_id FROM calls)
  UNION ALL SELECT count(*), 'left out: participants of calls that were not taken, or who are in the call already'
            FROM presence_call_participants
  UNION ALL SELECT count(*), 'left out: screen shares of public channels, which have none here'
            FROM presence_screenshares WHERE channel NOT IN (SELECT spelling FROM channel_names)
  UNION ALL SELECT count(*), 'left out: screen shares whose ids are not possible here, or are those of calls'
            FROM presence_screenshares
            WHERE channel IN (SELECT spelling FROM channel_names) AND share_id NOT IN (SELECT share_id FROM screenshares)
  UNION ALL SELECT sum(count), 'left out: malformed rows of ' || name FROM skipped GROUP BY name;

UPDATE report SET count = count - (SELECT count(*) FROM private_channel_members)
WHERE line GLOB 'left out: members of private channels *';

UPDATE report SET count = count - (SELECT count(*) FROM call_participants)
WHERE line GLOB 'left out: participants *';

DELETE FROM report WHERE count = 0;

INSERT INTO report (line)
VALUES ('left out: chat, signals, media, sessions, login pauses, password resets and personal settings');

INSERT INTO command_log (ts, change, subject)
SELECT CAST((julianday('now') - 2440587.5) * 86400000.0 + 0.5 AS INTEGER) / 1000.0, 'imported',
       (SELECT count(*) FROM users) || ' users and ' || (SELECT count(*) FROM calls) || ' calls of the original MiniMost';
