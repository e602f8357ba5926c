-- The rules of screens that are shared in a channel outside a call.

-- A share begins active. Replacing a row would begin an ended share anew.
CREATE TRIGGER share_starts_active
BEFORE INSERT ON screenshares
BEGIN
  SELECT RAISE(ABORT, 'share_exists')
  WHERE EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.share_id)
     OR EXISTS (SELECT 1 FROM calls WHERE call_id = NEW.share_id);
  SELECT RAISE(ABORT, 'share_move_illegal')
  WHERE NEW.state = 'ended';
END;

-- Signals of calls and shares lie in one table under their ids.
CREATE TRIGGER call_id_is_no_share_id
BEFORE INSERT ON calls
WHEN EXISTS (SELECT 1 FROM screenshares WHERE share_id = NEW.call_id)
BEGIN
  SELECT RAISE(ABORT, 'call_exists');
END;

-- Members share in their channels, nobody else.
CREATE TRIGGER share_is_by_a_member
BEFORE INSERT ON screenshares
BEGIN
  INSERT INTO channel_use (channel, username) VALUES (NEW.channel, NEW.sharer);
END;

-- One active share a person and channel: a new one ends the old. As with calls, the name of a DM is sorted first.
CREATE TRIGGER new_share_ends_the_earlier
AFTER INSERT ON screenshares
BEGIN
  UPDATE screenshares
  SET channel = (SELECT 'dm:' || group_concat(username, ':')
                 FROM (SELECT DISTINCT value AS username
                       FROM json_each('[' || replace(json_quote(substr(NEW.channel, 4)), ':', '","') || ']')
                       ORDER BY value))
  WHERE share_id = NEW.share_id AND channel GLOB 'dm:*';

  INSERT INTO dm_channel (channel) SELECT channel FROM screenshares WHERE share_id = NEW.share_id;

  UPDATE screenshares SET state = 'ended'
  WHERE channel = (SELECT channel FROM screenshares WHERE share_id = NEW.share_id)
    AND sharer = NEW.sharer AND state = 'active' AND share_id <> NEW.share_id;

  INSERT INTO announce (kind, call_id, username) VALUES ('share_started', NEW.share_id, NEW.sharer);
END;

-- Which share it is, whose and where never changes, but for the sorting above.
CREATE TRIGGER share_identity_is_fixed
BEFORE UPDATE ON screenshares
WHEN (NEW.share_id, NEW.sharer) IS NOT (OLD.share_id, OLD.sharer)
  OR (NEW.channel IS NOT OLD.channel
      AND (OLD.channel NOT GLOB 'dm:*' OR EXISTS (SELECT 1 FROM dm_members WHERE channel = OLD.channel)))
BEGIN
  SELECT RAISE(ABORT, 'share_identity_is_fixed');
END;

-- An ended share never changes again. Until its end is stamped it is still being ended.
CREATE TRIGGER ended_share_is_final
BEFORE UPDATE ON screenshares
WHEN OLD.state = 'ended' AND OLD.ended_ts IS NOT NULL
  AND (NEW.state, NEW.started_ts, NEW.ended_ts) IS NOT (OLD.state, OLD.started_ts, OLD.ended_ts)
BEGIN
  SELECT RAISE(ABORT, 'share_ended');
END;

-- Every ended share says when, and viewers hear of it.
CREATE TRIGGER ended_share_is_stamped_and_announced
AFTER UPDATE OF state ON screenshares
WHEN OLD.state = 'active' AND NEW.state = 'ended'
BEGIN
  UPDATE screenshares SET ended_ts = coalesce(ended_ts, (SELECT ts FROM now)) WHERE share_id = NEW.share_id;
  INSERT INTO announce (kind, call_id, username) VALUES ('share_stopped', NEW.share_id, NEW.sharer);
END;

-- What ends takes its signals with it.
CREATE TRIGGER ended_share_drops_signals
AFTER UPDATE OF state ON screenshares
WHEN OLD.state = 'active' AND NEW.state = 'ended'
BEGIN
  DELETE FROM call_signals WHERE call_id = NEW.share_id;
END;

-- What ends takes its media with it.
CREATE TRIGGER ended_share_drops_media
AFTER UPDATE OF state ON screenshares
WHEN OLD.state = 'active' AND NEW.state = 'ended'
BEGIN
  DELETE FROM share_media WHERE share_id = NEW.share_id;
END;

-- Deleting a share that viewers watch would leave its signals and media behind.
CREATE TRIGGER active_share_cannot_be_deleted
BEFORE DELETE ON screenshares
WHEN OLD.state = 'active'
BEGIN
  SELECT RAISE(ABORT, 'share_is_active');
END;

-- A removed person shares nothing.
CREATE TRIGGER removed_user_stops_sharing
AFTER DELETE ON users
BEGIN
  UPDATE screenshares SET state = 'ended' WHERE sharer = OLD.username AND state = 'active';
END;

-- Nobody shares in a channel that they are not a member of; losing the whole channel takes every membership.
CREATE TRIGGER removed_member_stops_sharing
AFTER DELETE ON private_channel_members
BEGIN
  UPDATE screenshares SET state = 'ended'
  WHERE channel = OLD.channel AND sharer = OLD.username AND state = 'active';
END;

-- Nor do they get at what others told them there.
CREATE TRIGGER removed_member_takes_share_signals_along
AFTER DELETE ON private_channel_members
BEGIN
  DELETE FROM call_signals
  WHERE call_id IN (SELECT share_id FROM screenshares WHERE channel = OLD.channel AND state = 'active')
    AND (to_user = OLD.username OR from_user = OLD.username);
END;

-- The same where the members are in the channel's name: whoever is given that name later is another person.
CREATE TRIGGER removed_user_takes_share_signals_along
AFTER DELETE ON users
BEGIN
  DELETE FROM call_signals
  WHERE call_id IN (SELECT share_id FROM screenshares
                    WHERE state = 'active' AND channel IN (SELECT channel FROM dm_members WHERE username = OLD.username))
    AND (to_user = OLD.username OR from_user = OLD.username);
END;
