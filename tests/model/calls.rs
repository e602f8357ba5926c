//! What the model says of calls.

use serde_json::{Value, json};

use crate::model::{
    Call, CallState, Members, Model, Participant, ParticipantState, Person, Refusal, Signal, Stream, Verdict,
};

/// What somebody has to be, or a call, for something to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Participant,
    OnTheCall,
    Live,
    Active,
}

/// What a signal carries.
pub struct Envelope {
    pub kind: &'static str,
    pub payload: Value,
}

impl Envelope {
    /// What is wrong with it, whoever sends it.
    pub fn flaws(&self, from: Person, to: Person, limit: usize) -> Vec<Refusal> {
        let mut flaws = Vec::new();
        if from == to {
            flaws.push((400, "call_signals_between_two"));
        }
        if !["offer", "answer", "ice_candidate"].contains(&self.kind) {
            flaws.push((400, "call_signals_type_known"));
        }
        if self.payload.is_null() {
            flaws.push((400, "call_signals_payload_is_json"));
        }
        if self.payload.to_string().len() > limit {
            flaws.push((413, "signal_too_large"));
        }
        flaws
    }
}

/// What is wrong with an upload, whoever sends it.
pub fn flaws_of_upload(init: bool, mime: bool, data: &[u8], limit: usize) -> Vec<Refusal> {
    let mut flaws: Vec<Refusal> = Vec::new();
    if data.is_empty() {
        // The handler and the two tables each have a name for it.
        flaws.extend([(400, "chunk_empty"), (400, "call_media_data_not_empty"), (400, "share_media_data_not_empty")]);
    }
    if init && !mime {
        flaws.extend([
            (400, "mime_missing"),
            (400, "call_media_init_has_mime_type"),
            (400, "share_media_init_has_mime_type"),
        ]);
    }
    if data.len() > limit {
        flaws.push((413, "media_chunk_too_large"));
    }
    flaws
}

/// Keeps the newest signals to `to`.
pub fn store_signal(signals: &mut Vec<Signal>, signal: Signal, limit: usize) {
    let to = signal.to;
    signals.push(signal);
    while signals.iter().filter(|signal| signal.to == to).count() > limit {
        let oldest = signals.iter().position(|signal| signal.to == to).unwrap();
        signals.remove(oldest);
    }
}

impl Model {
    /// What keeps somebody from doing something on a call.
    pub fn obstacles(&self, call: Option<usize>, who: Person, needs: &[Need]) -> Vec<Refusal> {
        let Some(call) = self.call(call) else { return vec![(404, "call_not_found")] };
        let mine = call.state_of(who);
        let mut reasons: Vec<Refusal> = Vec::new();
        for need in needs {
            match need {
                Need::Participant if mine.is_none() => reasons.push((403, "not_a_participant")),
                Need::OnTheCall if mine.is_some() && !call.is_on_it(who) => reasons.push((403, "not_accepted")),
                Need::Live if !call.is_live() => reasons.push((409, "call_finished")),
                Need::Active if call.state == CallState::Ringing => reasons.push((409, "call_not_active")),
                _ => {}
            }
        }
        reasons
    }

    pub fn initiate(&mut self, who: Person, channel: usize) -> Verdict {
        let mut reasons = self.why_not_use(channel, who);
        let members = match &self.channels[channel].members {
            Members::Dm(members) | Members::Private(members) => members.clone(),
            Members::Public | Members::Unknown => return Verdict::Refused(reasons),
        };
        if !members.iter().any(|member| *member != who) {
            reasons.push((400, "nobody_to_call"));
        }
        if self.live_call(channel).is_some() {
            reasons.push((409, "channel_has_live_call"));
        }
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let mut call = Call {
            id: String::new(),
            channel,
            initiator: who,
            state: CallState::Ringing,
            started: self.now,
            answered: None,
            ended: None,
            reason: None,
            sharer: None,
            participants: std::collections::BTreeMap::new(),
            signals: vec![],
            media: std::collections::BTreeMap::new(),
            is_pruned: false,
        };
        for member in members {
            let mut participant = self.newcomer(member == who);
            if member == who {
                participant.state = ParticipantState::Accepted;
                participant.joined = Some(self.now);
            }
            call.participants.insert(member, participant);
        }
        self.calls.push(call);
        Verdict::done()
    }

    /// Somebody who has just been asked.
    fn newcomer(&self, is_initiator: bool) -> Participant {
        Participant {
            is_initiator,
            state: ParticipantState::Pending,
            joined: None,
            left: None,
            invited: self.now,
            invited_by: None,
            missed: None,
            missed_is_seen: false,
            last_seen: self.now,
            from_outside: false,
        }
    }

    pub fn accept(&mut self, who: Person, call: Option<usize>) -> Verdict {
        let mut reasons = self.obstacles(call, who, &[Need::Live]);
        if let (Some(number), Some(found)) = (call, self.call(call)) {
            let may = match found.participants.get(&who) {
                // Whoever was taken off the channel comes back only if asked in again.
                Some(mine) => mine.is_there() || mine.invited_by.is_some() || self.is_member(found.channel, who),
                None => self.is_member(found.channel, who),
            };
            if !may {
                reasons.push((403, "not_a_member"));
            }
            if reasons.is_empty() {
                if !found.is_on_it(who) {
                    self.answer(number, who);
                }
                return Verdict::done();
            }
        }
        Verdict::Refused(reasons)
    }

    /// Somebody comes on a call, or comes back.
    pub fn answer(&mut self, call: usize, who: Person) {
        let newcomer = self.newcomer(self.calls[call].initiator == who);
        let (now, call) = (self.now, &mut self.calls[call]);
        let mine = call.participants.entry(who).or_insert(newcomer);
        mine.state = ParticipantState::Accepted;
        (mine.joined, mine.left, mine.missed, mine.missed_is_seen) = (Some(now), None, None, false);
        mine.last_seen = now;
        if !mine.is_initiator && call.state == CallState::Ringing {
            call.state = CallState::Active;
            call.answered = Some(now);
        }
    }

    /// It rings for somebody, anew.
    pub fn ring(&mut self, call: usize, who: Person) {
        let is_member = self.is_member(self.calls[call].channel, who);
        let newcomer = self.newcomer(self.calls[call].initiator == who);
        let now = self.now;
        let theirs = self.calls[call].participants.entry(who).or_insert(newcomer);
        theirs.state = ParticipantState::Pending;
        (theirs.invited, theirs.missed, theirs.missed_is_seen) = (now, None, false);
        theirs.from_outside |= !is_member;
    }

    pub fn reject(&mut self, who: Person, call: Option<usize>) -> Verdict {
        let mut reasons = self.obstacles(call, who, &[Need::Participant]);
        if self.call(call).is_some_and(|found| found.state_of(who) != Some(ParticipantState::Pending)) {
            reasons.push((409, "not_pending"));
        }
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        self.depart(call.unwrap(), who, ParticipantState::Rejected);
        Verdict::done()
    }

    pub fn end(&mut self, who: Person, call: Option<usize>) -> Verdict {
        let reasons = self.obstacles(call, who, &[Need::Participant]);
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let call = call.unwrap();
        match self.calls[call].state_of(who) {
            Some(ParticipantState::Accepted) => self.finish(call, CallState::Ended, "hangup", self.now),
            Some(ParticipantState::Pending) => self.depart(call, who, ParticipantState::Left),
            _ => {}
        }
        Verdict::done()
    }

    pub fn leave(&mut self, who: Person, call: Option<usize>) -> Verdict {
        let reasons = self.obstacles(call, who, &[Need::Participant]);
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        self.go(call.unwrap(), who);
        Verdict::done()
    }

    /// Somebody goes, if they are there.
    pub fn go(&mut self, call: usize, who: Person) {
        if self.calls[call].participants.get(&who).is_some_and(Participant::is_there) {
            self.depart(call, who, ParticipantState::Left);
        }
    }

    pub fn invite(&mut self, who: Person, call: Option<usize>, whom: Person) -> Verdict {
        let mut reasons = self.obstacles(call, who, &[Need::Participant, Need::OnTheCall, Need::Live, Need::Active]);
        if who == whom {
            reasons.push((400, "cannot_invite_oneself"));
        }
        if !self.exists[whom] {
            reasons.push((404, "user_not_found"));
        }
        if self.call(call).is_some_and(|found| found.is_on_it(whom)) {
            reasons.push((409, "already_in_call"));
        }
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let call = call.unwrap();
        if self.calls[call].state_of(whom) != Some(ParticipantState::Pending) {
            self.ring(call, whom);
            self.calls[call].participants.get_mut(&whom).unwrap().invited_by = Some(who);
        }
        Verdict::done()
    }

    pub fn remove(&mut self, who: Person, call: Option<usize>, whom: Person) -> Verdict {
        let mut reasons = self.obstacles(call, who, &[Need::Participant, Need::Live]);
        if let Some(found) = self.call(call) {
            if found.initiator != who {
                reasons.push((403, "not_the_initiator"));
            }
            if !found.participants.get(&whom).is_some_and(Participant::is_there) {
                reasons.push((409, "not_in_call"));
            }
        }
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        self.go(call.unwrap(), whom);
        Verdict::Done(json!({ "status": "removed" }))
    }

    pub fn gone(&mut self, who: Person, call: Option<usize>, whom: Person) -> Verdict {
        let reasons = self.obstacles(call, who, &[Need::Participant, Need::OnTheCall, Need::Live]);
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let call = call.unwrap();
        let unseen = self.calls[call].participants.get(&whom).is_some_and(|theirs| {
            theirs.state == ParticipantState::Accepted && theirs.last_seen + self.limits.gone_after <= self.now
        });
        if unseen && who != whom {
            self.go(call, whom);
            return Verdict::Done(json!({ "status": "removed" }));
        }
        Verdict::Done(json!({ "status": "ignored" }))
    }

    pub fn signal(&mut self, who: Person, call: Option<usize>, to: Person, envelope: Envelope) -> Verdict {
        let mut reasons = self.obstacles(call, who, &[Need::Participant, Need::OnTheCall, Need::Live]);
        if let Some(found) = self.call(call)
            && who != to
            && !found.participants.get(&to).is_some_and(Participant::is_there)
        {
            reasons.push((403, "recipient_not_in_call"));
        }
        reasons.extend(envelope.flaws(who, to, self.limits.signal_max_bytes));
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let signal = Signal { id: 0, from: who, to, kind: envelope.kind, payload: envelope.payload, ts: self.now };
        store_signal(&mut self.calls[call.unwrap()].signals, signal, self.limits.signals_per_call_max);
        Verdict::done()
    }

    pub fn share_screen(&mut self, who: Person, call: Option<usize>, on: bool) -> Verdict {
        let reasons = self.obstacles(call, who, &[Need::Participant, Need::OnTheCall, Need::Live, Need::Active]);
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let sharer = &mut self.calls[call.unwrap()].sharer;
        match on {
            true => *sharer = Some(who),
            false => *sharer = sharer.filter(|sharer| *sharer != who),
        }
        Verdict::done()
    }

    pub fn upload(&mut self, who: Person, call: Option<usize>, (init, mime): (bool, bool), data: Vec<u8>) -> Verdict {
        let mut reasons = self.obstacles(call, who, &[Need::Participant, Need::OnTheCall, Need::Live]);
        reasons.extend(flaws_of_upload(init, mime, &data, self.limits.media_chunk_max_bytes));
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let stream: &mut Stream = self.calls[call.unwrap()].media.entry(who).or_default();
        stream.take(init, data, self.now, &self.limits);
        Verdict::done()
    }

    /// A look at the state, which is noted at most every so often.
    pub fn look_at_state(&mut self, who: Person, call: Option<usize>) {
        let (now, interval) = (self.now, self.limits.presence_interval);
        if let Some(found) = call.and_then(|call| self.calls.get_mut(call))
            && let Some(mine) = found.participants.get_mut(&who)
            && mine.state == ParticipantState::Accepted
            && mine.last_seen + interval <= now
        {
            mine.last_seen = now;
        }
    }

    /// Somebody who was asked or on the call is so no longer, and the call draws its conclusions.
    pub fn depart(&mut self, call: usize, who: Person, state: ParticipantState) {
        let now = self.now;
        let mine = self.calls[call].participants.get_mut(&who).unwrap();
        if mine.state == ParticipantState::Accepted {
            mine.left = Some(now);
        }
        mine.state = state;
        self.conclude(call, who, state, now);
    }

    /// What a call makes of a departure: it is rejected when nobody is left who could answer it, and over when fewer than two
    /// are left by somebody's leaving. A rejection never ends an active call, unless it leaves nobody at all.
    pub fn conclude(&mut self, number: usize, who: Person, state: ParticipantState, at: f64) {
        let call = &mut self.calls[number];
        call.sharer = call.sharer.filter(|sharer| *sharer != who);
        call.signals.retain(|signal| signal.from != who && signal.to != who);
        let there = call.participants.values().filter(|participant| participant.is_there()).count();
        let callees = call.participants.values().filter(|it| !it.is_initiator && it.is_there()).count();
        let timed_out = call.participants.values().any(|participant| participant.missed.is_some());
        if call.state == CallState::Ringing && callees == 0 {
            self.finish(number, CallState::Rejected, if timed_out { "timeout" } else { "rejected" }, at);
        } else if state == ParticipantState::Left && there < 2 {
            self.finish(number, CallState::Ended, "hangup", self.now);
        } else if there == 0 {
            self.finish(number, CallState::Ended, "abandoned", self.now);
        }
    }

    /// A call is over, and with it its signals and media. Whoever was still asked has missed it.
    pub fn finish(&mut self, call: usize, state: CallState, reason: &'static str, at: f64) {
        let call = &mut self.calls[call];
        (call.state, call.reason, call.ended, call.sharer) = (state, Some(reason), Some(at), None);
        for participant in call.participants.values_mut() {
            match participant.state {
                ParticipantState::Accepted => participant.left = Some(at),
                ParticipantState::Pending => participant.missed = Some(at),
                _ => continue,
            }
            participant.state = ParticipantState::Left;
        }
        call.signals.clear();
        call.media.clear();
    }

    /// Invitations whose time is over have been missed.
    pub fn time_out(&mut self, call: usize) {
        let limit = self.limits.ringing_timeout;
        let is_late = |it: &Participant| it.state == ParticipantState::Pending && it.invited + limit <= self.now;
        let mut late: Vec<(Person, f64)> = self.calls[call]
            .participants
            .iter()
            .filter(|(_, it)| is_late(it))
            .map(|(who, it)| (*who, it.invited + limit))
            .collect();
        // The initiator first, whom the end of the call would settle otherwise.
        let initiator = self.calls[call].initiator;
        late.sort_by(|one, other| (one.0 != initiator).cmp(&(other.0 != initiator)).then(one.1.total_cmp(&other.1)));
        for (who, at) in late {
            let theirs = self.calls[call].participants.get_mut(&who).unwrap();
            (theirs.state, theirs.missed) = (ParticipantState::Rejected, Some(at));
            self.conclude(call, who, ParticipantState::Rejected, at);
        }
    }

    /// Whom nobody has seen for long leaves; seen by nobody, the call was abandoned.
    pub fn look_for_the_unseen(&mut self, call: usize) {
        let (now, limit) = (self.now, self.limits.presence_timeout);
        let on_it = self.calls[call].participants.iter().filter(|(_, it)| it.state == ParticipantState::Accepted);
        let (unseen, seen): (Vec<_>, Vec<_>) = on_it.partition(|(_, it)| it.last_seen + limit <= now);
        let unseen: Vec<Person> = unseen.into_iter().map(|(who, _)| *who).collect();
        if unseen.is_empty() {
            return;
        }
        if seen.is_empty() {
            return self.finish(call, CallState::Ended, "abandoned", now);
        }
        for who in unseen {
            self.go(call, who);
        }
    }
}
