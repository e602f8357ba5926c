//! Every SQL statement that the server and the commands run, in one place: a test explains the plan of each, and the doors of
//! [`crate::database`] take nothing else.
//!
//! The statements do not decide anything; they say what somebody wants, or ask a view. Parameters are numbered.

/// A statement of this module, the only thing that the doors of the database run.
#[derive(Debug)]
pub struct Statement {
    name: &'static str,
    sql: &'static str,
}

impl Statement {
    /// The statement's name in this module, for logs and tests.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its SQL text.
    #[must_use]
    pub fn sql(&self) -> &'static str {
        self.sql
    }
}

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* pub static $name: Statement = Statement { name: stringify!($name), sql: $sql };)*

        /// All of them, in the order of this file.
        pub static ALL: &[&Statement] = &[$(&$name),*];
    };
}

/// The name of the channel that `?1` spells: a DM's sorted, every other as it is. The same as the rule
/// `one_live_call_a_channel` stores, for questions about channels that nobody has used yet.
macro_rules! named_channel {
    () => {
        "(SELECT CASE WHEN ?1 GLOB 'dm:*' \
           THEN (SELECT 'dm:' || group_concat(username, ':') \
                 FROM (SELECT DISTINCT value AS username \
                       FROM json_each('[' || replace(json_quote(substr(?1, 4)), ':', '\",\"') || ']') ORDER BY value)) \
           ELSE ?1 END)"
    };
}

statements! {
    // ---- the clock

    /// Pins the clock at `?1` seconds and thereby sweeps what is due.
    PIN_CLOCK = "UPDATE clock SET pinned_ts = ?1 WHERE id = 1";
    /// Gives the clock back to the machine.
    FREE_CLOCK = "UPDATE clock SET pinned_ts = NULL WHERE id = 1";
    /// One row, whether a sweep would find anything.
    ANYTHING_DUE = "SELECT is_due FROM due";
    /// What a run before this one left live is over.
    START_SERVER = "INSERT INTO start_server (ts) SELECT ts FROM now";

    // ---- people and sessions

    /// Adds user `?1` with password hash `?2`.
    ADD_USER = "INSERT INTO users (username, password_hash, created_ts) SELECT ?1, ?2, ts FROM now";
    /// Name and time of creation of every user.
    LIST_USERS = "SELECT username, datetime(created_ts, 'unixepoch') FROM users ORDER BY username";
    /// The password hash of user `?1`, if there is one.
    PASSWORD_HASH = "SELECT password_hash FROM users WHERE username = ?1";
    /// Sets the password hash of user `?1` to `?2`; answers the name if there is such a user.
    SET_PASSWORD = "UPDATE users SET password_hash = ?2 WHERE username = ?1 RETURNING username";
    /// Removes user `?1`; answers the name if there was one.
    REMOVE_USER = "DELETE FROM users WHERE username = ?1 RETURNING username";
    /// A session for user `?2` with token hash `?1`, for `?3` seconds, or as long as the settings say if that is NULL.
    ADD_SESSION = "INSERT INTO sessions (token_hash, username, created_ts, expires_ts) \
        SELECT ?1, ?2, ts, ts + coalesce(?3, (SELECT value FROM settings WHERE name = 'session_ttl')) FROM now";
    /// The same after a login, if the password hash is still `?3`: it may have been changed while it was verified.
    ADD_SESSION_AFTER_LOGIN = "INSERT INTO sessions (token_hash, username, created_ts, expires_ts) \
        SELECT ?1, username, now.ts, now.ts + (SELECT value FROM settings WHERE name = 'session_ttl') \
        FROM users, now WHERE username = ?2 AND password_hash = ?3";
    /// User and expiry of the session with token hash `?1`, if it is valid now.
    FIND_SESSION = "SELECT username, expires_ts, created_ts FROM live_sessions WHERE token_hash = ?1";
    /// Ends the session with token hash `?1`.
    END_SESSION = "DELETE FROM sessions WHERE token_hash = ?1";
    /// Notes that somebody at address `?2` tries to log in as `?1`; answers the attempt's id.
    NOTE_LOGIN_ATTEMPT = "INSERT INTO login_attempts (username, address, ts) SELECT ?1, ?2, ts FROM now RETURNING id";
    /// Forgets attempt `?1`, which succeeded.
    FORGET_LOGIN_ATTEMPT = "DELETE FROM login_attempts WHERE id = ?1";
    /// The seconds until name `?1` and address `?2` may try again.
    LOGIN_RETRY_AFTER = "SELECT max( \
          coalesce((SELECT ts FROM login_attempts WHERE username = ?1 ORDER BY ts DESC \
                    LIMIT 1 OFFSET (SELECT CAST(value AS INTEGER) - 1 FROM settings WHERE name = 'login_attempts_per_name')), 0), \
          coalesce((SELECT ts FROM login_attempts WHERE address = ?2 ORDER BY ts DESC \
                    LIMIT 1 OFFSET (SELECT CAST(value AS INTEGER) - 1 FROM settings WHERE name = 'login_attempts_per_address')), 0)) \
        + (SELECT value FROM settings WHERE name = 'login_window') - (SELECT ts FROM now)";

    // ---- private channels

    /// Adds a private channel with title `?1`, made by `?2`; answers its id.
    ADD_CHANNEL = "INSERT INTO private_channels (name, created_by, created_ts) SELECT ?1, ?2, ts FROM now RETURNING id";
    /// Makes `?1` a member of the channel that was added last.
    JOIN_NEWEST_CHANNEL = "INSERT INTO private_channel_members (channel_id, username, joined_ts) \
        SELECT (SELECT max(id) FROM private_channels), ?1, ts FROM now";
    /// Makes `?2` a member of channel `?1`.
    JOIN_CHANNEL = "INSERT INTO private_channel_members (channel_id, username, joined_ts) SELECT ?1, ?2, ts FROM now";
    /// Takes `?2` off channel `?1`; answers the name if it was on it.
    LEAVE_CHANNEL = "DELETE FROM private_channel_members WHERE channel_id = ?1 AND username = ?2 RETURNING username";
    /// Name, title and members of every private channel.
    LIST_CHANNELS = "SELECT 'private:' || id, name, \
          (SELECT group_concat(username, ', ') FROM (SELECT username FROM private_channel_members \
                                                     WHERE channel_id = private_channels.id ORDER BY username)) \
        FROM private_channels ORDER BY id";

    // ---- calls

    /// `?3` calls channel `?2`; the call's id is `?1`.
    INITIATE_CALL = "INSERT INTO initiate_call (call_id, channel, initiator) VALUES (?1, ?2, ?3)";
    /// Everybody who was called or is calling in call `?1`.
    ALL_PARTICIPANTS = "SELECT username FROM call_participants WHERE call_id = ?1 ORDER BY username";
    /// The live call of channel `?1`.
    LIVE_CALL_ID = concat!("SELECT call_id FROM calls WHERE channel = ", named_channel!(), " AND state IN ('ringing', 'active')");
    /// What rings for `?1` now.
    INCOMING_CALLS = "SELECT call_id, channel, initiator, started_ts FROM incoming_calls WHERE username = ?1 \
        ORDER BY started_ts, call_id";
    /// `?2` answers or joins call `?1`.
    ACCEPT_CALL = "INSERT INTO accept_call (call_id, username) VALUES (?1, ?2)";
    /// Who is on call `?1`.
    ACCEPTED_PARTICIPANTS = "SELECT username FROM call_participants WHERE call_id = ?1 AND state = 'accepted' ORDER BY username";
    /// The newest signal of call `?1` to `?2`, 0 if there is none.
    LAST_SIGNAL_ID = "SELECT coalesce(max(id), 0) FROM call_signals WHERE call_id = ?1 AND to_user = ?2";
    /// `?2` declines call `?1`.
    REJECT_CALL = "INSERT INTO reject_call (call_id, username) VALUES (?1, ?2)";
    /// `?2` hangs up call `?1` for everyone.
    END_CALL = "INSERT INTO end_call (call_id, username) VALUES (?1, ?2)";
    /// `?2` goes from call `?1`.
    LEAVE_CALL = "INSERT INTO leave_call (call_id, username) VALUES (?1, ?2)";
    /// `?3` asks `?2` to call `?1`.
    INVITE_TO_CALL = "INSERT INTO invite_to_call (call_id, username, invited_by) VALUES (?1, ?2, ?3)";
    /// `?2` claims (`?3` = 1) or releases (0) the screen in call `?1`.
    SHARE_SCREEN_IN_CALL = "INSERT INTO share_screen_in_call (call_id, username, sharing) VALUES (?1, ?2, ?3)";
    /// The state of call `?1`, as JSON, and its version; why `?2` may not see it, a code or NULL; whether it is time to note that
    /// `?2` is there; and for how many seconds all of this holds if nothing is written: not at all while anybody is rung, since
    /// time alone ends that, and otherwise until it is time for such a note.
    CALL_STATE_FOR = "SELECT json, version, \
          CASE WHEN NOT EXISTS (SELECT 1 FROM call_readers WHERE call_id = ?1 AND username = ?2) THEN 'not_a_member' END, \
          EXISTS (SELECT 1 FROM unnoted_participants WHERE call_id = ?1 AND username = ?2), \
          CASE WHEN EXISTS (SELECT 1 FROM calls WHERE call_id = ?1 AND state = 'ringing') \
              OR EXISTS (SELECT 1 FROM call_participants WHERE call_id = ?1 AND state = 'pending') THEN 0.0 \
            ELSE coalesce((SELECT last_seen_ts FROM call_participants \
                           WHERE call_id = ?1 AND username = ?2 AND state = 'accepted'), (SELECT ts FROM now)) \
              + (SELECT value FROM settings WHERE name = 'presence_interval') - (SELECT ts FROM now) END \
        FROM call_state_json WHERE call_id = ?1";
    /// Why `?2` may not read signals and media of call `?1`: a code, or NULL.
    WHY_NOT_TAKE_PART = "SELECT CASE \
          WHEN EXISTS (SELECT 1 FROM call_participants WHERE call_id = ?1 AND username = ?2) THEN NULL \
          WHEN EXISTS (SELECT 1 FROM calls WHERE call_id = ?1) THEN 'not_a_participant' ELSE 'call_not_found' END";
    /// The state of call `?1`, as JSON.
    CALL_STATE = "SELECT json FROM call_state_json WHERE call_id = ?1";
    /// Why `?2` may not look at channel `?1`: a code, or NULL.
    WHY_NOT_READ_CHANNEL = "SELECT CASE \
          WHEN NOT (?1 GLOB 'dm:*' OR ?1 GLOB 'private:*') THEN 'channel_not_callable' \
          WHEN ?1 GLOB 'dm:*' AND instr(':' || substr(?1, 4) || ':', ':' || ?2 || ':') = 0 THEN 'not_a_member' \
          WHEN ?1 GLOB 'private:*' AND NOT EXISTS (SELECT 1 FROM private_channel_members WHERE channel = ?1 AND username = ?2) \
            THEN 'not_a_member' END";
    /// The live call of channel `?1` for `?2`, as JSON.
    ACTIVE_CALL = concat!("SELECT json_object('call_id', call_id, 'initiator', initiator, 'state', state, 'started_ts', started_ts, \
          'participants', json((SELECT json_group_array(username) FROM (SELECT username FROM call_participants \
             WHERE call_id = call.call_id AND state = 'accepted' ORDER BY username))), \
          'joined', json(CASE WHEN EXISTS (SELECT 1 FROM call_participants \
             WHERE call_id = call.call_id AND username = ?2 AND state = 'accepted') THEN 'true' ELSE 'false' END)) \
        FROM current_calls AS call \
        WHERE call_id = (SELECT call_id FROM calls WHERE channel = ", named_channel!(), " AND state IN ('ringing', 'active')) \
          AND state IN ('ringing', 'active')");

    /// `?3` takes `?2` off call `?1`.
    REMOVE_FROM_CALL = "INSERT INTO remove_from_call (call_id, username, removed_by) VALUES (?1, ?2, ?3)";
    /// `?3` says that the connection to `?2` in call `?1` broke.
    REPORT_GONE = "INSERT INTO report_gone (call_id, username, reported_by) VALUES (?1, ?2, ?3)";
    /// Whether `?2` is on call `?1`.
    IS_ACCEPTED = "SELECT EXISTS (SELECT 1 FROM call_participants WHERE call_id = ?1 AND username = ?2 AND state = 'accepted')";

    // ---- presence

    /// `?1` is there: on call `?2`, or, if that is NULL, on all of theirs.
    SEEN = "INSERT INTO seen (username, call_id) VALUES (?1, ?2)";
    /// For whom it is time to note that they are there.
    UNNOTED_PARTICIPANTS = "SELECT DISTINCT username FROM unnoted_participants";

    // ---- history

    /// The `?5` newest finished calls of `?1` before the one at time `?3` with id `?4`, in channel `?2` or, if that is NULL,
    /// in all. Of each channel just as many are looked at, however long its history is.
    HISTORY = "WITH mine (channel) AS ( \
          SELECT channel FROM private_channel_members WHERE username = ?1 AND (?2 IS NULL OR channel = ?2) \
          UNION ALL SELECT channel FROM dm_members WHERE username = ?1 AND (?2 IS NULL OR channel = ?2)), \
        candidates (call_id) AS ( \
          SELECT call.call_id FROM mine CROSS JOIN calls AS call \
          WHERE call.call_id IN (SELECT call_id FROM calls \
                                 WHERE channel = mine.channel AND state IN ('ended', 'rejected') \
                                   AND (started_ts, call_id) < (?3, ?4) \
                                 ORDER BY started_ts DESC, call_id DESC LIMIT ?5) \
          UNION SELECT call_id FROM call_participants WHERE username = ?1 AND events_after IS NOT NULL) \
        SELECT json_object('call_id', past.call_id, 'channel', channel, 'initiator', initiator, 'outcome', outcome, \
          'reason', ended_reason, 'duration', duration, 'started_ts', started_ts, 'answered_ts', answered_ts, \
          'ended_ts', ended_ts, 'participants', json(took_part)) \
        FROM candidates CROSS JOIN personal_history AS past ON past.call_id = candidates.call_id AND past.username = ?1 \
        WHERE (?2 IS NULL OR channel = ?2) AND (started_ts, past.call_id) < (?3, ?4) \
        ORDER BY started_ts DESC, past.call_id DESC LIMIT ?5";
    /// The name of the channel that `?1` spells.
    NAMED_CHANNEL = concat!("SELECT ", named_channel!());
    /// When call `?1` began.
    CALL_STARTED_TS = "SELECT started_ts FROM calls WHERE call_id = ?1";
    /// The calls that `?1` missed since `?2`, newest first.
    MISSED_CALLS = "SELECT call_id, channel, initiator, called_by, missed_ts, seen FROM missed_calls \
        WHERE username = ?1 AND missed_ts > ?2 ORDER BY missed_ts DESC, call_id DESC LIMIT 500";
    /// `?1` has taken note of what they missed up to `?2`, or, if that is NULL, of all.
    MISSED_CALLS_SEEN = "UPDATE call_participants SET missed_seen_ts = (SELECT ts FROM now) \
        WHERE username = ?1 AND missed_ts IS NOT NULL AND missed_ts <= coalesce(?2, 9e999) AND missed_seen_ts IS NULL";

    // ---- events

    /// The number of the newest event there ever was.
    NEWEST_EVENT = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)";
    /// The number of the oldest event that is still there.
    OLDEST_EVENT = "SELECT min(id) FROM events";
    /// The events after `?1`, a page of them.
    EVENTS_AFTER = "SELECT id, kind, call_id, username, detail FROM events WHERE id > ?1 ORDER BY id LIMIT 500";
    /// Who may see event `?1`.
    EVENT_RECIPIENTS = "SELECT DISTINCT username FROM event_recipients WHERE id = ?1";
    /// The events after `?2` that `?1` may see, at most `?3`.
    EVENTS_FOR = "SELECT id, kind, call_id, about, detail FROM event_recipients WHERE username = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
    /// Call `?1` as it rings for `?2`, if it still does.
    INCOMING_CALL = "SELECT json_object('call_id', call_id, 'channel', channel, 'initiator', initiator, 'started_ts', started_ts) \
        FROM incoming_calls WHERE username = ?2 AND call_id = ?1";
    /// Signal `?1` to `?2`, if it is still there.
    SIGNAL = "SELECT call_id, json_object('id', id, 'from', from_user, 'type', signal_type, 'payload', json(payload), 'ts', ts) \
        FROM call_signals WHERE id = ?1 AND to_user = ?2";
    /// Share `?1` as JSON.
    SHARE = "SELECT json_object('share_id', share_id, 'channel', channel, 'sharer', sharer, 'state', state, \
          'started_ts', started_ts, 'ended_ts', ended_ts) FROM screenshares WHERE share_id = ?1";
    /// The states of the calls that go on now for `?1`, as JSON.
    LIVE_CALLS_OF = "SELECT json FROM call_state_json \
        WHERE call_id IN (SELECT call_id FROM live_calls_of WHERE username = ?1) ORDER BY call_id";
    /// The active shares in the channels of `?1`.
    ACTIVE_SCREENSHARES_OF = "SELECT json_object('share_id', share_id, 'channel', screenshares.channel, 'sharer', sharer, \
          'state', state, 'started_ts', started_ts, 'ended_ts', ended_ts) \
        FROM channel_members AS member JOIN screenshares ON screenshares.channel = member.channel AND state = 'active' \
        WHERE member.username = ?1 ORDER BY started_ts, share_id";

    // ---- what a client's first screen needs

    /// The channels of `?1` with title and members, as JSON.
    CHANNELS_OF = "SELECT json_object('channel', mine.channel, \
          'title', (SELECT name FROM private_channels WHERE 'private:' || id = mine.channel AND id = CAST(substr(mine.channel, 9) AS INTEGER)), \
          'members', json((SELECT json_group_array(username) FROM (SELECT username FROM channel_members \
                           WHERE channel = mine.channel ORDER BY username)))) \
        FROM channel_members AS mine WHERE mine.username = ?1 ORDER BY mine.channel";
    /// Everybody but `?1`, whom they can call.
    OTHER_USERS = "SELECT username FROM users WHERE username <> ?1 ORDER BY username";

    // ---- signals

    /// `?2` sends `?3` a signal of type `?4` with payload `?5` in call `?1`.
    SEND_CALL_SIGNAL = "INSERT INTO send_call_signal (call_id, from_user, to_user, signal_type, payload) VALUES (?1, ?2, ?3, ?4, ?5)";
    /// The same in share `?1`.
    SEND_SHARE_SIGNAL = "INSERT INTO send_share_signal (share_id, from_user, to_user, signal_type, payload) VALUES (?1, ?2, ?3, ?4, ?5)";
    /// The signals of call or share `?1` to `?2` after id `?3`.
    SIGNALS_AFTER = "SELECT id, from_user, signal_type, payload, ts FROM call_signals \
        WHERE call_id = ?1 AND to_user = ?2 AND id > ?3 ORDER BY id";

    /// The ICE servers that clients use, as JSON.
    ICE_SERVERS = "SELECT value FROM settings WHERE name = 'ice_servers'";

    // ---- media of calls

    /// The largest chunk that may be uploaded, in bytes.
    MEDIA_CHUNK_MAX_BYTES = "SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'media_chunk_max_bytes'";
    /// `?2` uploads a chunk to call `?1`: init segment or not `?3`, MIME type `?4`, bytes `?5`; answers its id.
    UPLOAD_CALL_MEDIA = "INSERT INTO call_media (call_id, sender, is_init, mime_type, ts, stream_start, data) \
        SELECT ?1, ?2, ?3, ?4, ts, \
          CASE WHEN ?3 = 0 THEN coalesce((SELECT stream_start + length(data) FROM call_media \
                                          WHERE call_id = ?1 AND sender = ?2 AND is_init = 0 ORDER BY id DESC LIMIT 1), 0) END, \
          ?5 \
        FROM now RETURNING id";
    /// MIME type and bytes of the newest init segment of `?2` in call `?1`.
    CALL_INIT_SEGMENT = "SELECT mime_type, data FROM call_media WHERE call_id = ?1 AND sender = ?2 AND is_init = 1 \
        ORDER BY id DESC LIMIT 1";
    /// The chunks of `?2` in call `?1` after id `?3`.
    CALL_CHUNKS_AFTER = "SELECT id, data FROM call_media WHERE call_id = ?1 AND sender = ?2 AND is_init = 0 AND id > ?3 ORDER BY id";

    // ---- standalone shares

    /// `?3` shares a screen in channel `?2`; the share's id is `?1`.
    START_SCREENSHARE = "INSERT INTO start_screenshare (share_id, channel, sharer) VALUES (?1, ?2, ?3)";
    /// `?2` stops share `?1`.
    STOP_SCREENSHARE = "INSERT INTO stop_screenshare (share_id, username) VALUES (?1, ?2)";
    /// The active shares of channel `?1`.
    ACTIVE_SCREENSHARES = concat!("SELECT share_id, channel, sharer, started_ts FROM screenshares WHERE channel = ",
        named_channel!(), " AND state = 'active' ORDER BY started_ts, share_id");
    /// Why `?2` may not watch share `?1`: a code, or NULL.
    WHY_NOT_WATCH_SHARE = "SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM screenshares WHERE share_id = ?1) THEN 'share_not_found' \
          WHEN NOT EXISTS (SELECT 1 FROM channel_members \
                           WHERE channel = (SELECT channel FROM screenshares WHERE share_id = ?1) AND username = ?2) \
            THEN 'not_a_member' END";
    /// Whether share `?1` is active.
    SHARE_IS_ACTIVE = "SELECT state = 'active' FROM screenshares WHERE share_id = ?1";
    /// `?2` uploads a chunk to share `?1`: init segment or not `?3`, MIME type `?4`, bytes `?5`.
    UPLOAD_SHARE_MEDIA = "INSERT INTO upload_share_media (share_id, username, is_init, mime_type, data) VALUES (?1, ?2, ?3, ?4, ?5)";
    /// The id of the newest chunk of share `?1`.
    NEWEST_SHARE_CHUNK = "SELECT max(id) FROM share_media WHERE share_id = ?1 AND is_init = 0";
    /// MIME type and bytes of the newest init segment of share `?1`.
    SHARE_INIT_SEGMENT = "SELECT mime_type, data FROM share_media WHERE share_id = ?1 AND is_init = 1 ORDER BY id DESC LIMIT 1";
    /// The chunks of share `?1` after id `?2`.
    SHARE_CHUNKS_AFTER = "SELECT id, data FROM share_media WHERE share_id = ?1 AND is_init = 0 AND id > ?2 ORDER BY id";

    // ---- what the codes mean

    /// Every code with its HTTP status and sentence.
    REFUSALS = "SELECT code, status, sentence FROM refusals ORDER BY code";
    /// Whether the server answers: reads one row of the file.
    HEALTH = "SELECT ts FROM now";
}
