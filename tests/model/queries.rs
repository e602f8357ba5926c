//! The queries of the API, and the model's replies.

use base64_simd::STANDARD;
use serde_json::{Value, json};

use crate::calls::Requirement;
use crate::model::{
    Call, CallState, MIME, Members, Model, Participant, ParticipantState, Person, Refusal, Role, Share, Signal, Stream,
    Verdict,
};

/// A query of a person about a call, share or channel, each by index.
#[derive(Clone, Copy, Debug)]
pub enum Query {
    Incoming(Person),
    History(Person),
    Missed(Person),
    State(Person, Option<usize>),
    Active(Person, usize),
    /// `true` is with a cursor after the first signal or chunk.
    CallSignals(Person, Option<usize>, bool),
    CallMedia(Person, Option<usize>, Person, bool),
    Shares(Person, usize),
    ShareSignals(Person, Option<usize>, bool),
    ShareMedia(Person, Option<usize>, bool),
}

impl Query {
    pub fn actor(self) -> Person {
        match self {
            Self::Incoming(actor)
            | Self::History(actor)
            | Self::Missed(actor)
            | Self::Active(actor, _)
            | Self::Shares(actor, _)
            | Self::State(actor, _)
            | Self::CallSignals(actor, ..)
            | Self::CallMedia(actor, ..)
            | Self::ShareSignals(actor, ..)
            | Self::ShareMedia(actor, ..) => actor,
        }
    }
}

fn round(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

impl Model {
    fn name(&self, actor: Person) -> &str {
        &self.names[actor]
    }

    fn channel_name(&self, channel: usize) -> &str {
        &self.channels[channel].name
    }

    pub fn reply_to(&self, query: Query) -> Verdict {
        match query {
            Query::Incoming(actor) => Verdict::Done(self.incoming(actor)),
            Query::History(actor) => Verdict::Done(self.history(actor)),
            Query::Missed(actor) => Verdict::Done(self.missed(actor)),
            Query::State(actor, call) => self.state(actor, call),
            Query::Active(actor, channel) => match self.active_refusals(channel, actor) {
                reasons if reasons.is_empty() => Verdict::Done(json!({ "call": self.active(actor, channel) })),
                reasons => Verdict::Refused(reasons),
            },
            Query::CallSignals(actor, call, after) => {
                match self.read_refusals(call, actor, &[Requirement::Participant]) {
                    reasons if reasons.is_empty() => {
                        Verdict::Done(self.signals(&self.calls[call.unwrap()].signals, actor, after))
                    }
                    reasons => Verdict::Refused(reasons),
                }
            }
            Query::CallMedia(actor, call, sender, after) => {
                match self.read_refusals(call, actor, &[Requirement::Participant, Requirement::OnTheCall]) {
                    reasons if reasons.is_empty() => {
                        let nothing = Stream::default();
                        let stream = self.calls[call.unwrap()].media.get(&sender).unwrap_or(&nothing);
                        Verdict::Done(media_reply(stream, after))
                    }
                    reasons => Verdict::Refused(reasons),
                }
            }
            Query::Shares(actor, channel) => match self.channel_read_refusals(channel, actor) {
                reasons if reasons.is_empty() => Verdict::Done(self.active_shares(channel, actor)),
                reasons => Verdict::Refused(reasons),
            },
            Query::ShareSignals(actor, share, after) => match self.share_read_refusals(share, actor) {
                reasons if reasons.is_empty() => {
                    Verdict::Done(self.signals(&self.shares[share.unwrap()].signals, actor, after))
                }
                reasons => Verdict::Refused(reasons),
            },
            Query::ShareMedia(actor, share, after) => match self.share_read_refusals(share, actor) {
                reasons if reasons.is_empty() => {
                    let share = &self.shares[share.unwrap()];
                    let mut answer = media_reply(&share.media, after);
                    answer["active"] = json!(share.is_active);
                    Verdict::Done(answer)
                }
                reasons => Verdict::Refused(reasons),
            },
        }
    }

    /// The refusals of reading a part of a call. Who was removed from a live call is out.
    fn read_refusals(&self, call: Option<usize>, actor: Person, requirements: &[Requirement]) -> Vec<Refusal> {
        let mut reasons = self.call_refusals(call, actor, requirements);
        if let Some(call) = self.call(call)
            && matches!(self.role(call, actor), Role::Removed | Role::Expelled)
        {
            reasons.extend(self.join_refusals(call, actor));
        }
        reasons
    }

    fn active_refusals(&self, channel: usize, actor: Person) -> Vec<Refusal> {
        let mut reasons = self.channel_read_refusals(channel, actor);
        if let Some(call) = self.live_call(channel) {
            reasons.extend(self.join_refusals(&self.calls[call], actor));
        }
        reasons
    }

    fn incoming(&self, actor: Person) -> Value {
        let rings = |call: &&Call| call.is_live() && call.state_of(actor) == Some(ParticipantState::Pending);
        let mut calls: Vec<&Call> = self.calls.iter().filter(rings).collect();
        calls.sort_by(|one, other| one.started.total_cmp(&other.started).then(one.id.cmp(&other.id)));
        calls
            .into_iter()
            .map(|call| {
                json!({ "call_id": call.id, "channel": self.channel_name(call.channel),
                        "initiator": self.name(call.initiator),
                        "initiator_display_name": self.initiator_display_name(call), "started_ts": call.started })
            })
            .collect()
    }

    fn state(&self, actor: Person, call: Option<usize>) -> Verdict {
        let Some(call) = self.call(call) else { return Verdict::Refused(vec![(404, "call_not_found")]) };
        let reasons = self.join_refusals(call, actor);
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let mut participants: Vec<(&Person, &Participant)> = call.participants.iter().collect();
        participants.sort_by_key(|(actor, participant)| (!participant.is_initiator, **actor));
        let participants: Value = participants
            .into_iter()
            .map(|(actor, it)| {
                json!({ "username": self.name(*actor), "display_name": self.display_name(*actor, it.number), "role": if it.is_initiator { "initiator" } else { "participant" },
                        "state": it.state.name(), "joined_ts": it.joined, "left_ts": it.left, "absence": it.absence() })
            })
            .collect();
        Verdict::Done(json!({
            "call_id": call.id, "channel": self.channel_name(call.channel), "initiator": self.name(call.initiator),
            "state": call.state.name(), "started_ts": call.started, "answered_ts": call.answered,
            "waiting": [], "ended_ts": call.ended, "screenshare_user": call.sharer.map(|sharer| self.name(sharer)),
            "ended_reason": call.reason, "participants": participants,
        }))
    }

    /// The names of the accepted participants.
    pub fn accepted_names(&self, call: &Call) -> Vec<&str> {
        call.participants.keys().filter(|actor| call.has_accepted(**actor)).map(|actor| self.name(*actor)).collect()
    }

    fn active(&self, actor: Person, channel: usize) -> Value {
        let Some(call) = self.live_call(channel).map(|call| &self.calls[call]) else { return Value::Null };
        json!({ "call_id": call.id, "initiator": self.name(call.initiator), "state": call.state.name(),
                "started_ts": call.started, "participants": self.accepted_names(call), "joined": call.has_accepted(actor) })
    }

    /// Finished calls of the person's channels, and those that they were invited to as a guest.
    fn history(&self, actor: Person) -> Value {
        let other = |call: &&Call| {
            let was_guest = self.own(call, actor).is_some_and(|own| own.was_guest);
            !call.is_live() && !call.is_pruned && (was_guest || self.is_call_member(call, actor))
        };
        let mut calls: Vec<&Call> = self.calls.iter().filter(other).collect();
        calls.sort_by(|one, other| other.started.total_cmp(&one.started).then(other.id.cmp(&one.id)));
        calls.into_iter().map(|call| self.past(call, actor)).collect()
    }

    fn past(&self, call: &Call, actor: Person) -> Value {
        let own = self.own(call, actor);
        let is_answered = call.answered.is_some();
        // The outcome for this person. The initiator keeps theirs even if an admin deletes their row.
        let outcome = match own {
            _ if self.is_initiator(call, actor) => match call.reason {
                _ if is_answered => "answered",
                Some("rejected") => "declined",
                Some("timeout" | "busy") => "missed",
                _ => "cancelled",
            },
            Some(own) if own.joined.is_some() => "answered",
            Some(own) if own.missed.is_some() => "missed",
            Some(_) => "declined",
            None if is_answered => "answered",
            None => "missed",
        };
        let mut took_part: Vec<(&Person, &Participant)> =
            call.participants.iter().filter(|(_, it)| it.joined.is_some()).collect();
        took_part.sort_by(|one, other| one.1.joined.partial_cmp(&other.1.joined).unwrap().then(one.0.cmp(other.0)));
        let took_part: Value = took_part
            .into_iter()
            .map(|(actor, it)| {
                // Of the last visit, and not of the ringing before an answer.
                let begun = it.joined.zip(call.answered).map(|(joined, answered)| joined.max(answered));
                let seconds = begun.zip(it.left).map(|(begun, left)| round((left - begun).max(0.0)));
                json!({ "username": self.name(*actor), "display_name": self.display_name(*actor, it.number),
                        "joined_ts": it.joined, "left_ts": it.left, "seconds": seconds })
            })
            .collect();
        let absent: Value = call
            .participants
            .iter()
            .filter(|(_, it)| it.joined.is_none())
            .map(|(actor, it)| {
                let outcome = if it.missed.is_some() { "missed" } else { "declined" };
                json!({ "username": self.name(*actor), "display_name": self.display_name(*actor, it.number),
                        "outcome": outcome })
            })
            .collect();
        let duration = call.answered.zip(call.ended).map(|(answered, ended)| round((ended - answered).max(0.0)));
        json!({ "call_id": call.id, "channel": self.channel_name(call.channel), "initiator": self.name(call.initiator),
                "initiator_display_name": self.initiator_display_name(call), "outcome": outcome, "reason": call.reason,
                "missed_reason": own.and_then(Participant::missed_reason), "duration": duration, "started_ts": call.started,
                "answered_ts": call.answered, "ended_ts": call.ended, "participants": took_part,
                "absent": absent })
    }

    fn missed(&self, actor: Person) -> Value {
        let of_mine = |call: &'_ Call| self.own(call, actor).and_then(|own| own.missed);
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
                let own = &call.participants[&actor];
                let inviter =
                    own.invited_by.and_then(|inviter| call.participants.get(&inviter).map(|it| (inviter, it)));
                let called_by_display_name = match inviter {
                    Some((inviter, it)) => self.display_name(inviter, it.number),
                    None => {
                        own.invited_by.map_or_else(|| self.initiator_display_name(call), |by| self.names[by].clone())
                    }
                };
                json!({ "call_id": call.id, "channel": self.channel_name(call.channel),
                        "initiator": self.name(call.initiator),
                        "initiator_display_name": self.initiator_display_name(call),
                        "called_by_display_name": called_by_display_name,
                        "called_by": self.name(own.invited_by.unwrap_or(call.initiator)),
                        "missed_ts": missed, "reason": own.missed_reason(), "seen": own.missed_is_seen })
            })
            .collect()
    }

    /// Marks all missed calls as seen.
    pub fn mark_missed_seen(&mut self, actor: Person) -> Verdict {
        for call in &mut self.calls {
            if let Some(own) = call.participants.get_mut(&actor).filter(|own| own.number == self.numbers[actor]) {
                own.missed_is_seen = own.missed.is_some();
            }
        }
        Verdict::done()
    }

    fn signals(&self, signals: &[Signal], actor: Person, after: bool) -> Value {
        let own = signals.iter().filter(|signal| signal.to == actor).skip(usize::from(after));
        own.map(|signal| {
            json!({ "id": signal.id, "from": self.name(signal.from), "type": signal.kind, "payload": signal.payload,
                    "ts": signal.ts })
        })
        .collect()
    }

    /// The id of the first signal or chunk; 0 without a cursor.
    pub fn first_id(&self, query: Query) -> i64 {
        let first =
            |signals: &[Signal], actor| signals.iter().find(|signal| signal.to == actor).map(|signal| signal.id);
        let chunk = |stream: &Stream| stream.chunks.first().map(|chunk| chunk.id);
        let found = match query {
            Query::CallSignals(actor, call, true) => self.call(call).and_then(|call| first(&call.signals, actor)),
            Query::ShareSignals(actor, share, true) => self.share(share).and_then(|share| first(&share.signals, actor)),
            Query::CallMedia(_, call, sender, true) => self.call(call).and_then(|call| chunk(call.media.get(&sender)?)),
            Query::ShareMedia(_, share, true) => self.share(share).and_then(|share| chunk(&share.media)),
            _ => None,
        };
        found.unwrap_or(0)
    }

    fn active_shares(&self, channel: usize, actor: Person) -> Value {
        let is_theirs = |share: &Share| self.is_member_since(channel, actor, share.newest_number);
        let mut shares: Vec<_> = self
            .shares
            .iter()
            .filter(|share| share.channel == channel && share.is_active && is_theirs(share))
            .collect();
        shares.sort_by(|one, other| one.started.total_cmp(&other.started).then(one.id.cmp(&other.id)));
        shares
            .into_iter()
            .map(|share| {
                json!({ "share_id": share.id, "channel": self.channel_name(channel), "sharer": self.name(share.sharer),
                        "sharer_display_name": self.display_name(share.sharer, self.numbers[share.sharer]),
                        "started_ts": share.started })
            })
            .collect()
    }

    /// Whether reading the call's state would write presence.
    pub fn would_note_presence(&self, actor: Person, call: Option<usize>) -> bool {
        self.call(call)
            .and_then(|call| call.participants.get(&actor))
            .is_some_and(|own| own.state == ParticipantState::Accepted && own.presence.is_due(self.now, &self.limits))
    }

    /// A live call has a pending or accepted participant.
    pub fn assert_invariants(&self) {
        for call in self.calls.iter().filter(|call| call.is_live()) {
            assert!(call.participants.values().any(Participant::is_present), "nobody is in live call {}", call.id);
            assert!(call.state == CallState::Ringing || call.answered.is_some());
            assert!(!matches!(self.channels[call.channel].members, Members::Public | Members::Unknown));
        }
    }
}

fn media_reply(stream: &Stream, after: bool) -> Value {
    let chunks: Value = stream
        .chunks
        .iter()
        .skip(usize::from(after))
        .map(|chunk| json!({ "seq": chunk.id, "data": STANDARD.encode_to_string(&chunk.data) }))
        .collect();
    let init = stream.init.as_ref();
    json!({ "mime_type": init.map(|_| MIME), "init": init.map(|data| STANDARD.encode_to_string(data)), "chunks": chunks })
}
