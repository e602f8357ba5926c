-- Who may use a channel for a call or a share. Both tables ask here, so that the answers cannot differ.

-- `INSERT INTO channel_use (channel, username)` refuses whoever may not call or share in the channel; it never holds a row.
-- The name may be any spelling of a DM's.
CREATE VIEW channel_use (channel, username) AS
  SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT) WHERE 0;

-- Public channels have no members to ring, strangers learn nothing about a channel, and a DM with somebody who is not (or no
-- longer) there cannot be used. In this order: what a stranger is told must not depend on who is registered.
CREATE TRIGGER channel_is_used_by_its_members
INSTEAD OF INSERT ON channel_use
BEGIN
  SELECT RAISE(ABORT, 'channel_not_callable')
  WHERE NEW.channel IS NULL OR NOT (NEW.channel GLOB 'dm:*' OR NEW.channel GLOB 'private:*');

  SELECT RAISE(ABORT, 'not_a_member')
  WHERE CASE WHEN NEW.channel GLOB 'dm:*'
             THEN NEW.username GLOB '*:*'
               OR instr(':' || substr(NEW.channel, 4) || ':', ':' || NEW.username || ':') = 0
             ELSE NOT EXISTS (SELECT 1 FROM private_channel_members
                              WHERE channel = NEW.channel AND username = NEW.username) END;

  SELECT RAISE(ABORT, 'user_not_found')
  WHERE NEW.channel GLOB 'dm:*'
    AND EXISTS (SELECT 1 FROM json_each('[' || replace(json_quote(substr(NEW.channel, 4)), ':', '","') || ']') AS member
                WHERE NOT EXISTS (SELECT 1 FROM users WHERE username = member.value));
END;

-- `INSERT INTO dm_channel (channel)` notes the members of a DM when it is first used; it never holds a row.
CREATE VIEW dm_channel (channel) AS
  SELECT CAST(NULL AS TEXT) WHERE 0;

-- The members of a DM are in its name; noting them makes the channels of a person a search.
CREATE TRIGGER dm_members_come_from_its_name
INSTEAD OF INSERT ON dm_channel
WHEN NEW.channel GLOB 'dm:*' AND NOT EXISTS (SELECT 1 FROM dm_members WHERE channel = NEW.channel)
BEGIN
  INSERT INTO dm_members (channel, username)
  SELECT NEW.channel, value FROM json_each('[' || replace(json_quote(substr(NEW.channel, 4)), ':', '","') || ']')
  ORDER BY value;
END;

-- A DM's members are its name.
CREATE TRIGGER dm_membership_is_fixed
BEFORE UPDATE ON dm_members
WHEN (NEW.channel, NEW.username) IS NOT (OLD.channel, OLD.username)
BEGIN
  SELECT RAISE(ABORT, 'membership_is_fixed');
END;

-- Nobody becomes a member of a DM whose name does not say so.
CREATE TRIGGER dm_member_is_in_its_name
BEFORE INSERT ON dm_members
WHEN NEW.channel NOT GLOB 'dm:*' OR NEW.username GLOB '*:*'
  OR instr(':' || substr(NEW.channel, 4) || ':', ':' || NEW.username || ':') = 0
BEGIN
  SELECT RAISE(ABORT, 'membership_is_fixed');
END;
