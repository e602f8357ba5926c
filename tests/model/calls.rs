//! The model of calls.

use serde_json::{Value, json};

use crate::model::{
    Call, CallState, Members, Model, Participant, ParticipantState, Person, Presence, Refusal, Role, Signal, Stream,
    Verdict,
};

/// A condition of an action on a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    Participant,
    OnTheCall,
    Live,
    Active,
}

/// The type and payload of a signal.
pub struct SignalBody {
    pub kind: &'static str,
    pub payload: Value,
}

impl SignalBody {
    /// The refusals that its content may cause, for any sender.
    pub fn refusals(&self, from: Person, to: Person, limit: usize) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if from == to {
            refusals.push((400, "call_signals_between_two"));
        }
        if !["offer", "answer", "ice_candidate"].contains(&self.kind) {
            refusals.push((400, "call_signals_type_known"));
        }
        if self.payload.is_null() {
            refusals.push((400, "call_signals_payload_is_json"));
        }
        if self.payload.to_string().len() > limit {
            refusals.push((413, "signal_too_large"));
        }
        refusals
    }
}

/// The refusals that an upload's content may cause, for any sender.
pub fn upload_refusals(init: bool, mime: bool, data: &[u8], limit: usize) -> Vec<Refusal> {
    let mut refusals: Vec<Refusal> = Vec::new();
    if data.is_empty() {
        // The handler and the two tables each have their own code.
        refusals.extend([
            (400, "chunk_empty"),
            (400, "call_media_data_not_empty"),
            (400, "share_media_data_not_empty"),
        ]);
    }
    if init && !mime {
        refusals.extend([
            (400, "mime_missing"),
            (400, "call_media_init_has_mime_type"),
            (400, "share_media_init_has_mime_type"),
        ]);
    }
    if data.len() > limit {
        refusals.push((413, "media_chunk_too_large"));
    }
    refusals
}

/// Stores a signal; of those from one sender to one recipient, only the newest `limit` remain.
pub fn store_signal(signals: &mut Vec<Signal>, signal: Signal, limit: usize) {
    let pair = (signal.from, signal.to);
    signals.push(signal);
    while signals.iter().filter(|signal| (signal.from, signal.to) == pair).count() > limit {
        let oldest = signals.iter().position(|signal| (signal.from, signal.to) == pair).unwrap();
        signals.remove(oldest);
    }
}

impl Model {
    /// The refusals of an action on a call with these requirements.
    pub fn call_refusals(&self, call: Option<usize>, actor: Person, requirements: &[Requirement]) -> Vec<Refusal> {
        let Some(call) = self.call(call) else { return vec![(404, "call_not_found")] };
        let own = self.own(call, actor);
        let mut reasons: Vec<Refusal> = Vec::new();
        for requirement in requirements {
            match requirement {
                Requirement::Participant if own.is_none() => reasons.push((403, "not_a_participant")),
                Requirement::OnTheCall if own.is_some() && !call.has_accepted(actor) => {
                    reasons.push((403, "not_accepted"));
                }
                Requirement::Live if !call.is_live() => reasons.push((409, "call_finished")),
                Requirement::Active if call.state == CallState::Ringing => reasons.push((409, "call_not_active")),
                _ => {}
            }
        }
        reasons
    }

    pub fn initiate(&mut self, actor: Person, channel: usize) -> Verdict {
        let mut reasons = self.channel_use_refusals(channel, actor, (404, "user_not_found"));
        let members = match &self.channels[channel].members {
            Members::Dm(members) | Members::Private(members) => members.clone(),
            Members::Public | Members::Unknown => return Verdict::Refused(reasons),
        };
        if !members.iter().any(|member| *member != actor) {
            reasons.push((400, "nobody_to_call"));
        }
        if self.live_call(channel).is_some() {
            reasons.push((409, "channel_has_live_call"));
        }
        reasons.extend(self.request_refusals(actor));
        reasons.extend(self.live_call_refusals(actor));
        let is_personal = self.is_small(channel);
        for callee in members.iter().filter(|member| **member != actor) {
            reasons.extend(self.ring_refusals(actor, *callee, is_personal));
        }
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let mut call = Call {
            id: String::new(),
            channel,
            initiator: actor,
            state: CallState::Ringing,
            started: self.now,
            answered: None,
            ended: None,
            reason: None,
            sharer: None,
            newest_number: self.newest_number,
            participants: std::collections::BTreeMap::new(),
            signals: vec![],
            media: std::collections::BTreeMap::new(),
            is_pruned: false,
        };
        self.count_request(actor);
        for member in members {
            if member != actor {
                self.count_ring(actor, member);
            }
            let mut participant = self.new_participant(member, member == actor);
            if member == actor {
                participant.state = ParticipantState::Accepted;
                participant.joined = Some(self.now);
            } else if let Some(reason) = self.unavailable(member) {
                participant.state = ParticipantState::Rejected;
                (participant.left, participant.missed) = (Some(self.now), Some(self.now));
                participant.missed_reason = Some(reason);
            }
            call.participants.insert(member, participant);
        }
        let rings = call.participants.values().any(|it| it.state == ParticipantState::Pending);
        self.calls.push(call);
        if !rings {
            self.finish(self.calls.len() - 1, CallState::Rejected, "busy", self.now);
        }
        Verdict::done()
    }

    /// A participant who has just been invited.
    fn new_participant(&self, actor: Person, is_initiator: bool) -> Participant {
        Participant {
            is_initiator,
            state: ParticipantState::Pending,
            joined: None,
            left: None,
            invited: self.now,
            invited_by: None,
            missed: None,
            missed_is_seen: false,
            missed_reason: None,
            presence: Presence::proved(self.now),
            was_guest: false,
            number: self.numbers[actor],
            removed: None,
        }
    }

    pub fn accept(&mut self, actor: Person, call: Option<usize>) -> Verdict {
        let mut reasons = self.call_refusals(call, actor, &[Requirement::Live]);
        if self.call(call).is_some_and(|found| !found.has_accepted(actor)) {
            reasons.extend(self.full_call_refusals(call));
        }
        if let (Some(number), Some(found)) = (call, self.call(call)) {
            reasons.extend(self.join_refusals(found, actor));
            if reasons.is_empty() {
                if found.has_accepted(actor) {
                    let own = self.calls[number].participants.get_mut(&actor).unwrap();
                    own.presence = Presence::proved(self.now);
                } else {
                    self.answer(number, actor);
                }
                return Verdict::done();
            }
        }
        Verdict::Refused(reasons)
    }

    /// The refusals of joining without an invitation.
    pub fn join_refusals(&self, call: &Call, actor: Person) -> Vec<Refusal> {
        match self.role(call, actor) {
            Role::Removed => vec![(403, "removed_from_call")],
            Role::Stranger | Role::Expelled => vec![(403, "not_a_member")],
            Role::Participant | Role::Member => vec![],
        }
    }

    /// The row of a removed user makes way for a later user of that name.
    fn clear_earlier_participant(&mut self, call: usize, actor: Person) {
        if self.own(&self.calls[call], actor).is_none() {
            self.calls[call].participants.remove(&actor);
        }
    }

    /// Lets a participant join, or join again.
    pub fn answer(&mut self, call: usize, actor: Person) {
        self.clear_earlier_participant(call, actor);
        if self.calls[call].participants.contains_key(&actor) {
            self.reset_refusals(call, actor);
        }
        let new_participant = self.new_participant(actor, self.is_initiator(&self.calls[call], actor));
        let (now, call) = (self.now, &mut self.calls[call]);
        let own = call.participants.entry(actor).or_insert(new_participant);
        (own.state, own.removed) = (ParticipantState::Accepted, None);
        (own.joined, own.left, own.missed, own.missed_is_seen) = (Some(now), None, None, false);
        own.missed_reason = None;
        own.presence = Presence::proved(now);
        if !own.is_initiator && call.state == CallState::Ringing {
            call.state = CallState::Active;
            call.answered = Some(now);
        }
    }

    /// Invites a participant, or invites them again.
    pub fn ring(&mut self, call: usize, actor: Person, invited_by: Option<Person>) {
        self.count_ring(invited_by.unwrap_or(self.calls[call].initiator), actor);
        if let Some(inviter) = invited_by {
            self.count_request(inviter);
        }
        self.clear_earlier_participant(call, actor);
        let is_member = self.is_call_member(&self.calls[call], actor);
        let new_participant = self.new_participant(actor, self.is_initiator(&self.calls[call], actor));
        let now = self.now;
        let other = self.calls[call].participants.entry(actor).or_insert(new_participant);
        (other.state, other.left, other.removed) = (ParticipantState::Pending, None, None);
        (other.invited, other.missed, other.missed_is_seen, other.presence.is_gone) = (now, None, false, false);
        (other.invited_by, other.missed_reason) = (invited_by, None);
        other.was_guest |= !is_member;
    }

    /// Invites a person for whom it does not ring. Who was on the call keeps the state and the time of leaving.
    fn miss(&mut self, call: usize, target: Person, invited_by: Person, reason: &'static str) {
        self.count_ring(invited_by, target);
        self.count_request(invited_by);
        self.clear_earlier_participant(call, target);
        let is_member = self.is_call_member(&self.calls[call], target);
        let new_participant = Participant {
            state: ParticipantState::Rejected,
            left: Some(self.now),
            ..self.new_participant(target, self.is_initiator(&self.calls[call], target))
        };
        let now = self.now;
        let other = self.calls[call].participants.entry(target).or_insert(new_participant);
        (other.invited, other.invited_by, other.removed) = (now, Some(invited_by), None);
        (other.missed, other.missed_is_seen, other.missed_reason) = (Some(now), false, Some(reason));
        other.was_guest |= !is_member;
    }

    pub fn reject(&mut self, actor: Person, call: Option<usize>) -> Verdict {
        let mut reasons = self.call_refusals(call, actor, &[Requirement::Participant]);
        if self.call(call).is_some_and(|found| found.state_of(actor) != Some(ParticipantState::Pending)) {
            reasons.push((409, "not_pending"));
        }
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        self.depart(call.unwrap(), actor, ParticipantState::Rejected);
        Verdict::done()
    }

    pub fn end(&mut self, actor: Person, call: Option<usize>) -> Verdict {
        let reasons = self.call_refusals(call, actor, &[Requirement::Participant]);
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let call = call.unwrap();
        let is_accepted = self.calls[call].state_of(actor) == Some(ParticipantState::Accepted);
        if is_accepted && (self.limits.end_for_everyone || self.calls[call].state == CallState::Ringing) {
            self.finish(call, CallState::Ended, "hangup", self.now);
        } else {
            self.depart_if_present(call, actor);
        }
        Verdict::done()
    }

    pub fn leave(&mut self, actor: Person, call: Option<usize>) -> Verdict {
        let reasons = self.call_refusals(call, actor, &[Requirement::Participant]);
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        self.depart_if_present(call.unwrap(), actor);
        Verdict::done()
    }

    /// Lets a pending or accepted participant leave; no effect on others.
    pub fn depart_if_present(&mut self, call: usize, actor: Person) {
        if self.calls[call].participants.get(&actor).is_some_and(Participant::is_present) {
            self.depart(call, actor, ParticipantState::Left);
        }
    }

    pub fn invite(&mut self, actor: Person, call: Option<usize>, target: Person) -> Verdict {
        let mut reasons =
            self.call_refusals(call, actor, &[Requirement::Participant, Requirement::OnTheCall, Requirement::Live]);
        if actor == target {
            reasons.push((400, "cannot_invite_oneself"));
        }
        if !self.exists[target] {
            reasons.push((404, "user_not_found"));
        }
        if self.call(call).is_some_and(|found| found.has_accepted(target)) {
            reasons.push((409, "already_in_call"));
        }
        let is_pending = self.call(call).is_some_and(|it| it.state_of(target) == Some(ParticipantState::Pending));
        if !is_pending {
            reasons.extend(self.request_refusals(actor));
            reasons.extend(self.ring_refusals(actor, target, true));
        }
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let reason = self.unavailable(target).filter(|_| !is_pending);
        match reason {
            Some(reason) => self.miss(call.unwrap(), target, actor, reason),
            None if !is_pending => self.ring(call.unwrap(), target, Some(actor)),
            None => {}
        }
        let busy: Vec<&str> = reason.iter().map(|_| self.names[target].as_str()).collect();
        Verdict::Done(json!({ "busy": busy }))
    }

    pub fn remove(&mut self, actor: Person, call: Option<usize>, target: Person) -> Verdict {
        let mut reasons =
            self.call_refusals(call, actor, &[Requirement::Participant, Requirement::OnTheCall, Requirement::Live]);
        if let Some(found) = self.call(call) {
            if !self.is_initiator(found, actor) {
                reasons.push((403, "not_the_initiator"));
            }
            if !found.participants.get(&target).is_some_and(Participant::is_present) {
                reasons.push((409, "not_in_call"));
            }
        }
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        self.depart_if_present(call.unwrap(), target);
        self.calls[call.unwrap()].participants.get_mut(&target).unwrap().removed =
            (actor != target).then_some(Role::Removed);
        Verdict::Done(json!({ "status": "removed" }))
    }

    pub fn report_gone(&mut self, actor: Person, call: Option<usize>, target: Person) -> Verdict {
        let reasons =
            self.call_refusals(call, actor, &[Requirement::Participant, Requirement::OnTheCall, Requirement::Live]);
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let call = call.unwrap();
        let unseen = self.calls[call].participants.get(&target).is_some_and(|other| {
            let is_unseen = other.presence.seen.is_some_and(|seen| seen + self.limits.gone_after <= self.now);
            other.state == ParticipantState::Accepted && is_unseen
        });
        if unseen && actor != target {
            self.lose(call, target);
        }
        let is_gone = self.calls[call].participants.get(&target).is_some_and(|other| other.presence.is_gone);
        Verdict::Done(json!({ "status": if is_gone { "removed" } else { "ignored" } }))
    }

    pub fn signal(&mut self, actor: Person, call: Option<usize>, to: Person, signal_body: SignalBody) -> Verdict {
        let mut reasons =
            self.call_refusals(call, actor, &[Requirement::Participant, Requirement::OnTheCall, Requirement::Live]);
        if let Some(found) = self.call(call)
            && actor != to
            && !found.participants.get(&to).is_some_and(Participant::is_present)
        {
            reasons.push((403, "recipient_not_in_call"));
        }
        reasons.extend(signal_body.refusals(actor, to, self.limits.signal_max_bytes));
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let signal =
            Signal { id: 0, from: actor, to, kind: signal_body.kind, payload: signal_body.payload, ts: self.now };
        store_signal(&mut self.calls[call.unwrap()].signals, signal, self.limits.signals_per_call_max);
        Verdict::done()
    }

    pub fn share_screen(&mut self, actor: Person, call: Option<usize>, on: bool) -> Verdict {
        let reasons = self.call_refusals(
            call,
            actor,
            &[Requirement::Participant, Requirement::OnTheCall, Requirement::Live, Requirement::Active],
        );
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let sharer = &mut self.calls[call.unwrap()].sharer;
        *sharer = if on { Some(actor) } else { sharer.filter(|sharer| *sharer != actor) };
        Verdict::done()
    }

    pub fn upload(&mut self, actor: Person, call: Option<usize>, (init, mime): (bool, bool), data: Vec<u8>) -> Verdict {
        let mut reasons =
            self.call_refusals(call, actor, &[Requirement::Participant, Requirement::OnTheCall, Requirement::Live]);
        reasons.extend(upload_refusals(init, mime, &data, self.limits.media_chunk_max_bytes));
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let stream: &mut Stream = self.calls[call.unwrap()].media.entry(actor).or_default();
        stream.store(init, data, self.now, &self.limits);
        self.limit_media(actor);
        Verdict::done()
    }

    /// Reading the state of a call proves presence.
    pub fn note_presence(&mut self, actor: Person, call: Option<usize>) {
        if let Some(found) = call.and_then(|call| self.calls.get_mut(call))
            && let Some(own) = found.participants.get_mut(&actor)
            && own.state == ParticipantState::Accepted
        {
            own.presence.note(self.now, &self.limits);
        }
    }

    /// The last event stream of a participant that named the call closes.
    pub fn close_stream(&mut self, actor: Person, call: Option<usize>) -> Verdict {
        if let Some(found) = call.and_then(|call| self.calls.get_mut(call))
            && let Some(own) = found.participants.get_mut(&actor)
            && own.state == ParticipantState::Accepted
        {
            own.presence.close_stream(self.now, &self.limits);
        }
        Verdict::done()
    }

    /// A participant whose presence nothing proves leaves.
    fn lose(&mut self, call: usize, actor: Person) {
        self.calls[call].participants.get_mut(&actor).unwrap().presence.is_gone = true;
        self.depart_if_present(call, actor);
    }

    /// Ends a participation, with its effects on the call.
    pub fn depart(&mut self, call: usize, actor: Person, state: ParticipantState) {
        if state == ParticipantState::Rejected {
            self.count_refusal(call, actor);
        }
        let now = self.now;
        let own = self.calls[call].participants.get_mut(&actor).unwrap();
        (own.state, own.left) = (state, Some(now));
        self.apply_departure(call, actor, state, now);
    }

    /// A departure rejects a ringing call without a pending callee, and ends an active one with fewer than two
    /// participants. A rejection does not end an active call, unless nobody remains.
    pub fn apply_departure(&mut self, number: usize, actor: Person, state: ParticipantState, at: f64) {
        let call = &mut self.calls[number];
        call.sharer = call.sharer.filter(|sharer| *sharer != actor);
        call.signals.retain(|signal| signal.from != actor && signal.to != actor);
        let present = call.participants.values().filter(|participant| participant.is_present()).count();
        let callees = call.participants.values().filter(|it| !it.is_initiator && it.is_present()).count();
        let timed_out = call.participants.values().any(|it| it.missed.is_some() && it.missed_reason.is_none());
        if call.state == CallState::Ringing && callees == 0 {
            self.finish(number, CallState::Rejected, if timed_out { "timeout" } else { "rejected" }, at);
        } else if state == ParticipantState::Left && present < 2 {
            self.finish(number, CallState::Ended, "hangup", self.now);
        } else if present == 0 {
            self.finish(number, CallState::Ended, "abandoned", self.now);
        }
    }

    /// Finishes a call and drops its signals and media. Pending invitations are missed.
    pub fn finish(&mut self, call: usize, state: CallState, reason: &'static str, at: f64) {
        let call = &mut self.calls[call];
        (call.state, call.reason, call.ended, call.sharer) = (state, Some(reason), Some(at), None);
        for participant in call.participants.values_mut() {
            match participant.state {
                ParticipantState::Accepted => {}
                ParticipantState::Pending => participant.missed = Some(at),
                _ => continue,
            }
            (participant.state, participant.left) = (ParticipantState::Left, Some(at));
        }
        call.signals.clear();
        call.media.clear();
    }

    /// Expired invitations are missed.
    pub fn expire_invitations(&mut self, call: usize) {
        let limit = self.limits.ringing_timeout;
        let has_expired = |it: &Participant| it.state == ParticipantState::Pending && it.invited + limit <= self.now;
        let mut expired: Vec<(Person, bool, f64)> = self.calls[call]
            .participants
            .iter()
            .filter(|(_, it)| has_expired(it))
            .map(|(actor, it)| (*actor, it.is_initiator, it.invited + limit))
            .collect();
        // The initiator first: after the last callee, the end of the call would decide the initiator's state.
        expired.sort_by(|one, other| other.1.cmp(&one.1).then(one.2.total_cmp(&other.2)));
        for (actor, _, at) in expired {
            let other = self.calls[call].participants.get_mut(&actor).unwrap();
            (other.state, other.missed, other.left) = (ParticipantState::Rejected, Some(at), Some(at));
            self.apply_departure(call, actor, ParticipantState::Rejected, at);
        }
    }

    /// Unseen participants leave. If all are unseen, the call ends as abandoned, or by the restart that all are lost since.
    pub fn remove_unseen(&mut self, call: usize) {
        let now = self.now;
        let accepted = self.calls[call].participants.iter().filter(|(_, it)| it.state == ParticipantState::Accepted);
        let (unseen, seen): (Vec<_>, Vec<_>) = accepted.partition(|(_, it)| it.presence.end(&self.limits) <= now);
        let unseen: Vec<Person> = unseen.into_iter().map(|(actor, _)| *actor).collect();
        if unseen.is_empty() {
            return;
        }
        if seen.is_empty() {
            let is_awaited = |actor: &Person| self.calls[call].participants[actor].presence.seen.is_none();
            let reason = if unseen.iter().all(is_awaited) { "restart" } else { "abandoned" };
            return self.finish(call, CallState::Ended, reason, now);
        }
        for actor in unseen {
            if self.calls[call].has_accepted(actor) {
                self.lose(call, actor);
            }
        }
    }
}
