//! What everybody sees: the questions of the API, and what the model answers.

use base64_simd::STANDARD;
use serde_json::{Value, json};

use crate::calls::Need;
use crate::model::{
    Call, CallState, MIME, Members, Model, Participant, ParticipantState, Person, Signal, Stream, Verdict,
};

/// A question, of somebody, about a call, share or channel by number.
#[derive(Clone, Copy, Debug)]
pub enum Look {
    Incoming(Person),
    History(Person),
    Missed(Person),
    State(Person, Option<usize>),
    Active(Person, usize),
    /// With a cursor that has passed the first signal, or none.
    CallSignals(Person, Option<usize>, bool),
    CallMedia(Person, Option<usize>, Person, bool),
    Shares(Person, usize),
    ShareSignals(Person, Option<usize>, bool),
    ShareMedia(Person, Option<usize>, bool),
}

impl Look {
    pub fn who(self) -> Person {
        match self {
            Self::Incoming(who) | Self::History(who) | Self::Missed(who) => who,
            Self::Active(who, _) | Self::Shares(who, _) | Self::State(who, _) => who,
            Self::CallSignals(who, ..) | Self::CallMedia(who, ..) => who,
            Self::ShareSignals(who, ..) | Self::ShareMedia(who, ..) => who,
        }
    }
}

fn round(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

impl Model {
    fn name(&self, who: Person) -> &str {
        &self.names[who]
    }

    fn channel_name(&self, channel: usize) -> &str {
        &self.channels[channel].name
    }

    pub fn sees(&self, look: Look) -> Verdict {
        match look {
            Look::Incoming(who) => Verdict::Done(self.incoming(who)),
            Look::History(who) => Verdict::Done(self.history(who)),
            Look::Missed(who) => Verdict::Done(self.missed(who)),
            Look::State(who, call) => self.state(who, call),
            Look::Active(who, channel) => match self.why_not_look(channel, who) {
                reasons if reasons.is_empty() => Verdict::Done(json!({ "call": self.active(who, channel) })),
                reasons => Verdict::Refused(reasons),
            },
            Look::CallSignals(who, call, after) => match self.obstacles(call, who, &[Need::Participant]) {
                reasons if reasons.is_empty() => {
                    Verdict::Done(self.signals(&self.calls[call.unwrap()].signals, who, after))
                }
                reasons => Verdict::Refused(reasons),
            },
            Look::CallMedia(who, call, sender, after) => match self.obstacles(call, who, &[Need::Participant]) {
                reasons if reasons.is_empty() => {
                    let nothing = Stream::default();
                    let stream = self.calls[call.unwrap()].media.get(&sender).unwrap_or(&nothing);
                    Verdict::Done(buffered(stream, after))
                }
                reasons => Verdict::Refused(reasons),
            },
            Look::Shares(who, channel) => match self.why_not_look(channel, who) {
                reasons if reasons.is_empty() => Verdict::Done(self.shares_in(channel)),
                reasons => Verdict::Refused(reasons),
            },
            Look::ShareSignals(who, share, after) => match self.why_not_watch(share, who) {
                reasons if reasons.is_empty() => {
                    Verdict::Done(self.signals(&self.shares[share.unwrap()].signals, who, after))
                }
                reasons => Verdict::Refused(reasons),
            },
            Look::ShareMedia(who, share, after) => match self.why_not_watch(share, who) {
                reasons if reasons.is_empty() => {
                    let share = &self.shares[share.unwrap()];
                    let mut answer = buffered(&share.media, after);
                    answer["active"] = json!(share.is_active);
                    Verdict::Done(answer)
                }
                reasons => Verdict::Refused(reasons),
            },
        }
    }

    fn incoming(&self, who: Person) -> Value {
        let rings = |call: &&Call| call.is_live() && call.state_of(who) == Some(ParticipantState::Pending);
        let mut calls: Vec<&Call> = self.calls.iter().filter(rings).collect();
        calls.sort_by(|one, other| one.started.total_cmp(&other.started).then(one.id.cmp(&other.id)));
        calls
            .into_iter()
            .map(|call| {
                json!({ "call_id": call.id, "channel": self.channel_name(call.channel),
                        "initiator": self.name(call.initiator), "started_ts": call.started })
            })
            .collect()
    }

    fn state(&self, who: Person, call: Option<usize>) -> Verdict {
        let Some(call) = self.call(call) else { return Verdict::Refused(vec![(404, "call_not_found")]) };
        if call.state_of(who).is_none() && !self.is_member(call.channel, who) {
            return Verdict::Refused(vec![(403, "not_a_member")]);
        }
        let mut participants: Vec<(&Person, &Participant)> = call.participants.iter().collect();
        participants.sort_by_key(|(who, participant)| (!participant.is_initiator, **who));
        let participants: Value = participants
            .into_iter()
            .map(|(who, it)| {
                json!({ "username": self.name(*who), "role": if it.is_initiator { "initiator" } else { "participant" },
                        "state": it.state.name(), "joined_ts": it.joined, "left_ts": it.left })
            })
            .collect();
        Verdict::Done(json!({
            "call_id": call.id, "channel": self.channel_name(call.channel), "initiator": self.name(call.initiator),
            "state": call.state.name(), "started_ts": call.started, "answered_ts": call.answered,
            "ended_ts": call.ended, "screenshare_user": call.sharer.map(|sharer| self.name(sharer)),
            "ended_reason": call.reason, "participants": participants,
        }))
    }

    /// Who is on a call, by name.
    pub fn on_call(&self, call: &Call) -> Vec<&str> {
        call.participants.keys().filter(|who| call.is_on_it(**who)).map(|who| self.name(*who)).collect()
    }

    fn active(&self, who: Person, channel: usize) -> Value {
        let Some(call) = self.live_call(channel).map(|call| &self.calls[call]) else { return Value::Null };
        json!({ "call_id": call.id, "initiator": self.name(call.initiator), "state": call.state.name(),
                "started_ts": call.started, "participants": self.on_call(call), "joined": call.is_on_it(who) })
    }

    /// The finished calls of somebody's channels, and those outside of them that they were asked in to.
    fn history(&self, who: Person) -> Value {
        let theirs = |call: &&Call| {
            let from_outside = call.participants.get(&who).is_some_and(|mine| mine.from_outside);
            !call.is_live() && !call.is_pruned && (from_outside || self.is_member(call.channel, who))
        };
        let mut calls: Vec<&Call> = self.calls.iter().filter(theirs).collect();
        calls.sort_by(|one, other| other.started.total_cmp(&one.started).then(other.id.cmp(&one.id)));
        calls.into_iter().map(|call| self.past(call, who)).collect()
    }

    fn past(&self, call: &Call, who: Person) -> Value {
        let mine = call.participants.get(&who);
        let is_answered = call.answered.is_some();
        // From one's own side. The caller's is that of whoever called, even if an admin has deleted their row.
        let outcome = match mine {
            _ if call.initiator == who => match call.reason {
                _ if is_answered => "answered",
                Some("rejected") => "declined",
                Some("timeout") => "missed",
                _ => "cancelled",
            },
            Some(mine) if mine.joined.is_some() => "answered",
            Some(mine) if mine.missed.is_some() => "missed",
            Some(_) => "declined",
            None if is_answered => "answered",
            None => "missed",
        };
        let mut took_part: Vec<(&Person, &Participant)> =
            call.participants.iter().filter(|(_, it)| it.joined.is_some()).collect();
        took_part.sort_by(|one, other| one.1.joined.partial_cmp(&other.1.joined).unwrap().then(one.0.cmp(other.0)));
        let took_part: Value = took_part
            .into_iter()
            .map(|(who, it)| json!({ "username": self.name(*who), "joined_ts": it.joined, "left_ts": it.left }))
            .collect();
        let duration = call.answered.zip(call.ended).map(|(answered, ended)| round((ended - answered).max(0.0)));
        json!({ "call_id": call.id, "channel": self.channel_name(call.channel), "initiator": self.name(call.initiator),
                "outcome": outcome, "reason": call.reason, "duration": duration, "started_ts": call.started,
                "answered_ts": call.answered, "ended_ts": call.ended, "participants": took_part })
    }

    fn missed(&self, who: Person) -> Value {
        let of_mine = |call: &'_ Call| call.participants.get(&who).and_then(|mine| mine.missed);
        let mut calls: Vec<(&Call, f64)> = self
            .calls
            .iter()
            .filter(|call| !call.is_pruned)
            .filter_map(|call| of_mine(call).map(|missed| (call, missed)))
            .collect();
        calls.sort_by(|one, other| other.1.total_cmp(&one.1).then(other.0.id.cmp(&one.0.id)));
        calls
            .into_iter()
            .map(|(call, missed)| {
                let mine = &call.participants[&who];
                json!({ "call_id": call.id, "channel": self.channel_name(call.channel),
                        "initiator": self.name(call.initiator),
                        "called_by": self.name(mine.invited_by.unwrap_or(call.initiator)),
                        "missed_ts": missed, "seen": mine.missed_is_seen })
            })
            .collect()
    }

    /// Everything missed is noted as seen.
    pub fn see_missed(&mut self, who: Person) -> Verdict {
        for call in &mut self.calls {
            if let Some(mine) = call.participants.get_mut(&who) {
                mine.missed_is_seen = mine.missed.is_some();
            }
        }
        Verdict::done()
    }

    fn signals(&self, signals: &[Signal], who: Person, after: bool) -> Value {
        let mine = signals.iter().filter(|signal| signal.to == who).skip(usize::from(after));
        mine.map(|signal| {
            json!({ "id": signal.id, "from": self.name(signal.from), "type": signal.kind, "payload": signal.payload,
                    "ts": signal.ts })
        })
        .collect()
    }

    /// The id of the first signal or chunk, which a cursor has passed.
    pub fn cursor(&self, look: Look) -> i64 {
        let first = |signals: &[Signal], who| signals.iter().find(|signal| signal.to == who).map(|signal| signal.id);
        let chunk = |stream: &Stream| stream.chunks.first().map(|chunk| chunk.id);
        let found = match look {
            Look::CallSignals(who, call, true) => self.call(call).and_then(|call| first(&call.signals, who)),
            Look::ShareSignals(who, share, true) => self.share(share).and_then(|share| first(&share.signals, who)),
            Look::CallMedia(_, call, sender, true) => self.call(call).and_then(|call| chunk(call.media.get(&sender)?)),
            Look::ShareMedia(_, share, true) => self.share(share).and_then(|share| chunk(&share.media)),
            _ => None,
        };
        found.unwrap_or(0)
    }

    fn shares_in(&self, channel: usize) -> Value {
        let mut shares: Vec<_> =
            self.shares.iter().filter(|share| share.channel == channel && share.is_active).collect();
        shares.sort_by(|one, other| one.started.total_cmp(&other.started).then(one.id.cmp(&other.id)));
        shares
            .into_iter()
            .map(|share| {
                json!({ "share_id": share.id, "channel": self.channel_name(channel), "sharer": self.name(share.sharer),
                        "started_ts": share.started })
            })
            .collect()
    }

    /// Whether a look at the state would be noted, and so is a deed.
    pub fn would_be_noted(&self, who: Person, call: Option<usize>) -> bool {
        self.call(call).and_then(|call| call.participants.get(&who)).is_some_and(|mine| {
            mine.state == ParticipantState::Accepted && mine.last_seen + self.limits.presence_interval <= self.now
        })
    }

    /// What is live has people or somebody to ring: nobody waits in a call for ever.
    pub fn assert_sound(&self) {
        for call in self.calls.iter().filter(|call| call.is_live()) {
            assert!(call.participants.values().any(Participant::is_there), "nobody is in live call {}", call.id);
            assert!(call.state == CallState::Ringing || call.answered.is_some());
            assert!(!matches!(self.channels[call.channel].members, Members::Public | Members::Unknown));
        }
    }
}

fn buffered(stream: &Stream, after: bool) -> Value {
    let chunks: Value = stream
        .chunks
        .iter()
        .skip(usize::from(after))
        .map(|chunk| json!({ "seq": chunk.id, "data": STANDARD.encode_to_string(&chunk.data) }))
        .collect();
    let init = stream.init.as_ref();
    json!({ "mime_type": init.map(|_| MIME), "init": init.map(|data| STANDARD.encode_to_string(data)), "chunks": chunks })
}
