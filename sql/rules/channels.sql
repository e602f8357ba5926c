-- Channels: their names, their members, and who may use them.
--
-- Three views are functions of a channel's name: without WHERE spelling = json_quote(NAME) they have no rows. The
-- hidden column `json` of json_each is its argument (https://sqlite.org/vtab.html#tabfunc2).

CREATE VIEW dm_names (spelling, username) AS
-- A function: the names in the name of a DM, in the order and as often as it has them.
--   SELECT username FROM dm_names WHERE spelling = json_quote('dm:bob:alice')
  SELECT dm.json, name.value
  FROM json_each AS dm
  CROSS JOIN json_each('[' || replace(json_quote(substr(dm.value, 4)), ':', '","') || ']') AS name
  WHERE dm.value GLOB 'dm:*';

CREATE VIEW canonical_channels (spelling, channel) AS
-- A function: the canonical name of a channel. dm:bob:alice and dm:alice:bob:bob are both dm:alice:bob. A name in
-- dm_members is canonical: most requests use a DM that was used before.
--   SELECT channel FROM canonical_channels WHERE spelling = json_quote('dm:bob:alice')
  SELECT given.json,
         CASE WHEN EXISTS (SELECT 1 FROM dm_members WHERE channel = given.value) THEN given.value
              WHEN given.value GLOB 'dm:*'
              THEN (SELECT 'dm:' || group_concat(username, ':')
                    FROM (SELECT DISTINCT username FROM dm_names WHERE spelling = given.json ORDER BY username))
              ELSE given.value END
  FROM json_each AS given;

CREATE VIEW named_channels (spelling, channel) AS
-- A function: the canonical name of the channel that a person names. ext:ID is a channel of the host application whose user
-- they are; one that it does not have is as unknown as private:0.
--   SELECT channel FROM named_channels WHERE spelling = json_array('ext:C024BE91L', 'bob')
  SELECT given.json,
         CASE WHEN given.value GLOB 'ext:*'
              THEN coalesce((SELECT 'private:' || named.id
                             FROM users AS person
                             JOIN private_channels AS named
                               ON named.issuer = person.issuer AND named.external_id = substr(given.value, 5)
                             WHERE person.username = json_extract(given.json, '$[1]')),
                            'private:unknown')
              ELSE (SELECT channel FROM canonical_channels WHERE spelling = json_quote(given.value)) END
  FROM json_each AS given
  WHERE given.key = 0;

CREATE VIEW channel_access (spelling, channel, username, access) AS
-- A function: who may read and use a channel. `access` is 'granted' or the code of the refusal. The members of a DM are in
-- its name, used or not. Public channels have no members to ring.
--   SELECT access FROM channel_access WHERE spelling = json_quote('dm:bob:alice') AND username = 'bob'
-- The order of the names in a DM makes no difference here, so only the column `channel` needs the canonical name.
  SELECT given.json, (SELECT channel FROM named_channels WHERE spelling = json_array(given.value, person.username)),
         person.username,
         CASE WHEN given.value GLOB 'dm:*'
              THEN CASE WHEN instr(':' || substr(given.value, 4) || ':', ':' || person.username || ':') = 0
                        THEN 'not_a_member' ELSE 'granted' END
              WHEN given.value GLOB 'private:*'
              THEN CASE WHEN NOT EXISTS (SELECT 1 FROM private_channel_members
                                         WHERE channel = given.value AND username = person.username)
                        THEN 'not_a_member' ELSE 'granted' END
              WHEN given.value GLOB 'ext:*'
              THEN CASE WHEN NOT EXISTS (SELECT 1 FROM private_channels AS named
                                         JOIN private_channel_members AS member ON member.channel_id = named.id
                                         WHERE named.issuer = person.issuer
                                           AND named.external_id = substr(given.value, 5)
                                           AND member.username = person.username)
                        THEN 'not_a_member' ELSE 'granted' END
              ELSE 'channel_not_callable' END
  FROM json_each AS given CROSS JOIN users AS person;

CREATE VIEW check_channel_name (channel) AS
-- Refuses a spelling that no channel has. json_quote must not see a NUL, after which other functions read nothing.
  SELECT NULL WHERE 0;

CREATE TRIGGER channel_name_is_short_and_printable
-- Control characters are those of ASCII and of ISO 6429. 2,200 bytes have room for 32 of the longest names.
INSTEAD OF INSERT ON check_channel_name
WHEN NEW.channel GLOB '*[^ -~]*' OR instr(NEW.channel, char(0)) > 0 OR length(NEW.channel) > 2200
BEGIN
  SELECT RAISE(ABORT, 'channel_name_malformed')
  WHERE instr(NEW.channel, char(0)) > 0
     OR NEW.channel GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*';

  SELECT RAISE(ABORT, 'channel_name_too_long')
  WHERE length(CAST(NEW.channel AS BLOB)) > 2200;
END;

CREATE VIEW check_channel_access (channel, username) AS
-- Refuses a person who may not call or share in a channel. Calls and shares both pass here.
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER only_members_use_a_channel
-- The order matters: a stranger must not learn which names are registered. Tables contain canonical names only; the
-- actions initiate_call and start_screenshare take any spelling.
INSTEAD OF INSERT ON check_channel_access
BEGIN
  SELECT RAISE(ABORT, 'channel_not_callable')
  WHERE NEW.channel IS NULL OR NOT (NEW.channel GLOB 'dm:*' OR NEW.channel GLOB 'private:*');

  SELECT RAISE(ABORT, 'not_a_member')
  WHERE NOT EXISTS (SELECT 1 FROM channel_access
                    WHERE spelling = json_quote(NEW.channel) AND username = NEW.username AND access = 'granted');

  SELECT RAISE(ABORT, 'channel_name_not_canonical')
  WHERE NEW.channel IS NOT (SELECT channel FROM canonical_channels WHERE spelling = json_quote(NEW.channel));

  SELECT RAISE(ABORT, 'too_many_names')
  WHERE NEW.channel GLOB 'dm:*'
    AND length(NEW.channel) - length(replace(NEW.channel, ':', ''))
      > (SELECT value FROM settings WHERE name = 'dm_names_max');

  SELECT RAISE(ABORT, 'channel_name_too_long')
  WHERE length(NEW.channel) > 2200;
END;

CREATE VIEW unregistered_names (spelling, username) AS
-- A function: the names in the name of a DM that nobody has who may be in one. Guests who came by a link may not.
--   SELECT username FROM unregistered_names WHERE spelling = json_quote('dm:alice:ghost')
  SELECT spelling, username FROM dm_names
  WHERE NOT EXISTS (SELECT 1 FROM users WHERE users.username = dm_names.username AND guest_of IS NULL);

CREATE VIEW channel_members AS
-- The members of private channels, and of DMs that were used. channel_access also knows DMs that were not.
  SELECT channel, username FROM private_channel_members
  UNION ALL
  SELECT channel, username FROM dm_members;

CREATE VIEW listed_channels (channel, username) AS
-- The channels of a person, as GET /me lists them: private channels, and the DMs in which they answered a call, somebody
-- answered theirs, or one of both signalled in a share of the other. A DM that others merely use does not fill the list.
-- Its members have access, and get its events, all the same.
  SELECT channel, username FROM private_channel_members
  UNION ALL
  SELECT channel, username FROM dm_members WHERE listed;

CREATE TRIGGER answered_dm_is_listed
-- For the person who answers, and for the caller. A guest is no member of the channel, so there is no row to list.
AFTER UPDATE OF state ON call_participants
WHEN NEW.state = 'accepted' AND NEW.role = 'participant' AND OLD.state IS NOT 'accepted'
  AND EXISTS (SELECT 1 FROM calls AS call JOIN dm_members AS member ON member.channel = call.channel
              WHERE call.call_id = NEW.call_id AND member.username IN (NEW.username, call.initiator)
                AND NOT member.listed)
BEGIN
  UPDATE dm_members SET listed = 1
  WHERE channel = (SELECT channel FROM calls WHERE call_id = NEW.call_id) AND NOT listed
    AND username IN (NEW.username, (SELECT initiator FROM calls WHERE call_id = NEW.call_id));
END;

CREATE TRIGGER late_joined_dm_is_listed
-- As answered_dm_is_listed, for a member who was not called.
AFTER INSERT ON call_participants
WHEN NEW.state = 'accepted' AND NEW.role = 'participant'
BEGIN
  UPDATE dm_members SET listed = 1
  WHERE channel = (SELECT channel FROM calls WHERE call_id = NEW.call_id) AND NOT listed
    AND username IN (NEW.username, (SELECT initiator FROM calls WHERE call_id = NEW.call_id));
END;

CREATE VIEW do_add_dm (channel) AS
-- Stores the members of a DM at its first use: INSERT INTO do_add_dm (channel).
  SELECT NULL WHERE 0;

CREATE TRIGGER dm_members_come_from_its_name
-- With a row a member, the channels of a person are a search. The row of a removed user is missing, and a later user of
-- that name gets one now. A canonical name has as many colons as names.
INSTEAD OF INSERT ON do_add_dm
WHEN NEW.channel GLOB 'dm:*'
  AND (SELECT count(*) FROM dm_members WHERE channel = NEW.channel)
    < length(NEW.channel) - length(replace(NEW.channel, ':', ''))
BEGIN
  INSERT INTO dm_members (channel, username)
  SELECT NEW.channel, username FROM dm_names
  WHERE spelling = json_quote(NEW.channel)
    AND NOT EXISTS (SELECT 1 FROM dm_members WHERE channel = NEW.channel AND username = dm_names.username)
  ORDER BY username;
END;

CREATE TRIGGER dm_membership_is_fixed
-- The members of a DM are in its name.
BEFORE UPDATE ON dm_members
WHEN (NEW.channel, NEW.username) IS NOT (OLD.channel, OLD.username)
BEGIN
  SELECT RAISE(ABORT, 'membership_is_fixed');
END;

CREATE TRIGGER dm_member_is_in_its_name
-- The members of a DM are in its name.
BEFORE INSERT ON dm_members
WHEN NEW.channel NOT GLOB 'dm:*' OR NEW.username GLOB '*:*'
  OR instr(':' || substr(NEW.channel, 4) || ':', ':' || NEW.username || ':') = 0
  OR NEW.channel IS NOT (SELECT channel FROM canonical_channels WHERE spelling = json_quote(NEW.channel))
BEGIN
  SELECT RAISE(ABORT, 'membership_is_fixed');
END;

-- What an admin does with private channels

CREATE VIEW check_private_channel (channel) AS
-- Refuses a name, such as private:7, that no private channel has.
  SELECT NULL WHERE 0;

CREATE TRIGGER unknown_private_channel_is_refused
-- An UPDATE or DELETE of another number would change nothing, silently.
INSTEAD OF INSERT ON check_private_channel
BEGIN
  SELECT RAISE(ABORT, 'channel_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM private_channels
                    WHERE id = CAST(substr(NEW.channel, 9) AS INTEGER) AND NEW.channel = 'private:' || id);
END;

CREATE VIEW add_channel (title, members) AS
-- Adds a private channel with the next number. Its members are a JSON list of names; the first is its creator:
--   INSERT INTO add_channel (title, members) VALUES ('Team', '["alice", "bob"]')
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER add_channel_adds_its_members
-- The new channel has the largest number. A name that is there twice is one member.
INSTEAD OF INSERT ON add_channel
BEGIN
  SELECT RAISE(ABORT, 'members_are_a_json_list')
  WHERE NOT CASE WHEN json_valid(NEW.members) THEN json_type(NEW.members) = 'array' ELSE NEW.members IS NULL END;

  SELECT RAISE(ABORT, 'members_are_a_json_list')
  WHERE EXISTS (SELECT 1 FROM json_each(NEW.members) WHERE type <> 'text');

  INSERT INTO private_channels (name, created_by, created_ts)
  SELECT coalesce(NEW.title, ''), json_extract(NEW.members, '$[0]'), ts FROM now;

  INSERT INTO private_channel_members (channel_id, username, joined_ts)
  SELECT (SELECT max(id) FROM private_channels), value, (SELECT ts FROM now)
  FROM (SELECT DISTINCT value FROM json_each(NEW.members))
  ORDER BY value;
END;

CREATE VIEW rename_channel (channel, title) AS
-- Changes the title: INSERT INTO rename_channel (channel, title) VALUES ('private:1', 'The team').
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER rename_channel_changes_the_title
-- The name private:1 stays.
INSTEAD OF INSERT ON rename_channel
BEGIN
  INSERT INTO check_private_channel (channel) VALUES (NEW.channel);

  UPDATE private_channels SET name = coalesce(NEW.title, '') WHERE id = CAST(substr(NEW.channel, 9) AS INTEGER);
END;

CREATE VIEW remove_channel (channel) AS
-- Removes a private channel and ends its call: INSERT INTO remove_channel (channel) VALUES ('private:1').
  SELECT NULL WHERE 0;

CREATE TRIGGER remove_channel_deletes_it
-- deleted_channel_ends_its_call_and_memberships follows.
INSTEAD OF INSERT ON remove_channel
BEGIN
  INSERT INTO check_private_channel (channel) VALUES (NEW.channel);

  DELETE FROM private_channels WHERE id = CAST(substr(NEW.channel, 9) AS INTEGER);
END;

CREATE VIEW join_channel (channel, username) AS
-- Makes a person a member: INSERT INTO join_channel (channel, username) VALUES ('private:1', 'bob').
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER join_channel_adds_a_member
-- member_and_channel_exist refuses unknown people, and members.
INSTEAD OF INSERT ON join_channel
BEGIN
  INSERT INTO check_private_channel (channel) VALUES (NEW.channel);

  INSERT INTO private_channel_members (channel_id, username, joined_ts)
  SELECT CAST(substr(NEW.channel, 9) AS INTEGER), NEW.username, ts FROM now;
END;

CREATE VIEW leave_channel (channel, username) AS
-- Ends a membership: INSERT INTO leave_channel (channel, username) VALUES ('private:1', 'bob').
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER leave_channel_removes_a_member
-- removed_member_leaves_the_channel follows.
INSTEAD OF INSERT ON leave_channel
BEGIN
  INSERT INTO check_private_channel (channel) VALUES (NEW.channel);

  INSERT INTO check_user (username) VALUES (NEW.username);

  SELECT RAISE(ABORT, 'member_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM private_channel_members
                    WHERE channel_id = CAST(substr(NEW.channel, 9) AS INTEGER) AND username = NEW.username);

  DELETE FROM private_channel_members
  WHERE channel_id = CAST(substr(NEW.channel, 9) AS INTEGER) AND username = NEW.username;
END;

-- Rules about private channels

CREATE TRIGGER private_channel_is_added_once
-- INSERT OR REPLACE would give a channel's calls to another channel.
BEFORE INSERT ON private_channels
WHEN EXISTS (SELECT 1 FROM private_channels WHERE id = NEW.id)
BEGIN
  SELECT RAISE(ABORT, 'channel_exists');
END;

CREATE TRIGGER private_channel_id_is_fixed
-- Calls contain the id, and host applications know their own. OF id would miss its other names, rowid and _rowid_.
BEFORE UPDATE ON private_channels
WHEN (NEW.id, NEW.issuer, NEW.external_id) IS NOT (OLD.id, OLD.issuer, OLD.external_id)
BEGIN
  SELECT RAISE(ABORT, 'channel_id_is_fixed');
END;

CREATE TRIGGER deleted_channel_ends_its_call_and_memberships
-- Nobody could join the call of a deleted channel. The call ends before the members go, whose leaving would record a
-- hang-up.
AFTER DELETE ON private_channels
BEGIN
  UPDATE calls SET state = 'ended', ended_reason = 'admin' WHERE channel = 'private:' || OLD.id AND is_live;

  DELETE FROM private_channel_members WHERE channel_id = OLD.id;
END;

CREATE TRIGGER member_and_channel_exist
-- An unknown channel is refused first.
BEFORE INSERT ON private_channel_members
BEGIN
  SELECT RAISE(ABORT, 'channel_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM private_channels WHERE id = NEW.channel_id);

  SELECT RAISE(ABORT, 'user_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM users WHERE username = NEW.username);

  SELECT RAISE(ABORT, 'already_a_member')
  WHERE EXISTS (SELECT 1 FROM private_channel_members WHERE channel_id = NEW.channel_id AND username = NEW.username);
END;

CREATE TRIGGER new_member_may_join_the_call
-- A removed person is out of the channel's call until invited again, or a member again.
AFTER INSERT ON private_channel_members
BEGIN
  UPDATE call_participants SET removed_from = NULL
  WHERE username = NEW.username AND removed_from IS NOT NULL
    AND call_id IN (SELECT call_id FROM calls WHERE channel = 'private:' || NEW.channel_id AND is_live);
END;

CREATE TRIGGER membership_is_fixed
-- Changing a membership would bypass the rules about leaving. Delete it and add another.
BEFORE UPDATE ON private_channel_members
WHEN (NEW.channel_id, NEW.username) IS NOT (OLD.channel_id, OLD.username)
BEGIN
  SELECT RAISE(ABORT, 'membership_is_fixed');
END;

CREATE TRIGGER removed_member_leaves_the_channel
-- A removed member is off the channel's call and share, loses pending signals, and is out of the call until invited or a
-- member again.
AFTER DELETE ON private_channel_members
BEGIN
  DELETE FROM call_signals
  WHERE call_id IN (SELECT share_id FROM screenshares WHERE channel = OLD.channel AND state = 'active')
    AND (to_user = OLD.username OR from_user = OLD.username);

  UPDATE screenshares SET state = 'ended'
  WHERE channel = OLD.channel AND sharer = OLD.username AND state = 'active';

  UPDATE call_participants
  SET state = CASE WHEN in_call THEN 'left' ELSE state END, removed_from = 'channel',
      visible_after = coalesce(visible_after, (SELECT newest_event FROM clock))
  WHERE username = OLD.username
    AND call_id IN (SELECT call_id FROM calls WHERE channel = OLD.channel AND is_live);
END;

CREATE VIEW channel_json (username, channel, json) AS
-- The channels of a person, as GET /me gives them.
  SELECT mine.username, mine.channel,
         json_object(
           'channel', mine.channel,
           'title', (SELECT name FROM private_channels
                     WHERE id = CAST(substr(mine.channel, 9) AS INTEGER) AND mine.channel GLOB 'private:*'),
           'external_id', (SELECT external_id FROM private_channels
                           WHERE id = CAST(substr(mine.channel, 9) AS INTEGER) AND mine.channel GLOB 'private:*'),
           'members', json((SELECT json_group_array(username)
                            FROM (SELECT username FROM private_channel_members WHERE channel = mine.channel
                                  UNION
                                  SELECT username FROM dm_names WHERE spelling = json_quote(mine.channel)
                                  ORDER BY username))))
  FROM listed_channels AS mine;

CREATE TRIGGER private_channels_id_leaves_room
-- An id near the end of the numbers would leave none for later rows.
BEFORE INSERT ON private_channels
WHEN NEW.id > (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'private_channels') + 1000000
BEGIN
  SELECT RAISE(ABORT, 'id_too_large');
END;
