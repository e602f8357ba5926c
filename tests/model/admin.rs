//! What the model says of what an admin does: at a shell, with SQL, and with the commands about people and channels.

use crate::calls::Need;
use crate::model::{CallState, Members, Model, ParticipantState, Person, Refusal, Verdict};

fn verdict(reasons: Vec<Refusal>) -> Verdict {
    if reasons.is_empty() { Verdict::done() } else { Verdict::Refused(reasons) }
}

impl Model {
    pub fn add_user(&mut self, whom: Person) -> Verdict {
        if self.exists[whom] {
            return Verdict::Refused(vec![(409, "user_exists")]);
        }
        self.exists[whom] = true;
        Verdict::done()
    }

    /// A removed person leaves calls, shares and private channels, and takes along what was for them.
    pub fn remove_user(&mut self, whom: Person) -> Verdict {
        self.exists[whom] = false;
        for call in 0..self.calls.len() {
            if self.calls[call].is_live() {
                self.go(call, whom);
            }
        }
        for channel in 0..self.channels.len() {
            self.quit(channel, whom);
        }
        for share in 0..self.shares.len() {
            if self.shares[share].sharer == whom {
                self.end_share(share);
            }
            self.shares[share].signals.retain(|signal| signal.from != whom && signal.to != whom);
        }
        Verdict::done()
    }

    pub fn join(&mut self, channel: usize, whom: Person) -> Verdict {
        let exists = self.exists[whom];
        let reasons = match &mut self.channels[channel].members {
            Members::Private(_) if !exists => vec![(404, "user_not_found")],
            Members::Private(members) => match members.insert(whom) {
                true => vec![],
                false => vec![(409, "already_a_member")],
            },
            _ => vec![(404, "channel_not_found"), (404, "user_not_found")],
        };
        verdict(reasons)
    }

    /// Whoever is taken off a private channel leaves its call, for good unless asked in again, and shares nothing there.
    pub fn quit(&mut self, channel: usize, whom: Person) -> Verdict {
        let was_member = match &mut self.channels[channel].members {
            Members::Private(members) => members.remove(&whom),
            _ => false,
        };
        if !was_member {
            return Verdict::done();
        }
        if let Some(call) = self.live_call(channel)
            && let Some(theirs) = self.calls[call].participants.get_mut(&whom)
        {
            (theirs.invited_by, theirs.from_outside) = (None, false);
            self.go(call, whom);
        }
        for share in 0..self.shares.len() {
            if self.shares[share].channel == channel {
                if self.shares[share].sharer == whom {
                    self.end_share(share);
                }
                self.shares[share].signals.retain(|signal| signal.from != whom && signal.to != whom);
            }
        }
        Verdict::done()
    }

    /// `UPDATE calls SET state = ...`; `None` is a state that there is not.
    pub fn set_call_state(&mut self, call: Option<usize>, state: Option<CallState>) -> Verdict {
        let Some(found) = self.call(call) else { return Verdict::done() };
        let mut reasons = Vec::new();
        if state == Some(found.state) {
            return Verdict::done();
        }
        if state.is_none() {
            reasons.push((400, "calls_state_known"));
        }
        match (found.state, state) {
            (CallState::Ended | CallState::Rejected, _) => reasons.push((409, "call_finished")),
            (CallState::Ringing, Some(CallState::Active)) => reasons.push((409, "call_not_answered")),
            // One that is ringing has somebody to ring.
            (CallState::Ringing, Some(CallState::Rejected)) => reasons.push((409, "call_still_ringing")),
            (CallState::Active, Some(CallState::Ringing | CallState::Rejected)) => {
                reasons.push((409, "call_move_illegal"));
            }
            (_, Some(CallState::Ended)) => self.finish(call.unwrap(), CallState::Ended, "admin", self.now),
            _ => {}
        }
        verdict(reasons)
    }

    /// `UPDATE call_participants SET state = ...`; `None` is a state that there is not.
    pub fn set_participant_state(
        &mut self,
        call: Option<usize>,
        whom: Person,
        state: Option<ParticipantState>,
    ) -> Verdict {
        use ParticipantState::{Accepted, Left, Pending, Rejected};
        let Some(found) = self.call(call) else { return Verdict::done() };
        let Some(theirs) = found.participants.get(&whom) else { return Verdict::done() };
        if state == Some(theirs.state) {
            return Verdict::done();
        }
        let mut reasons: Vec<Refusal> = Vec::new();
        if state.is_none() {
            reasons.push((400, "call_participants_state_known"));
        }
        if !found.is_live() {
            reasons.push((409, "call_finished"));
        } else if let Some(state) = state {
            match (theirs.state, state) {
                (Accepted, Pending | Rejected) | (Rejected, Left) | (Left, Rejected) => {
                    reasons.push((409, "participant_move_illegal"));
                }
                _ => {}
            }
            if !theirs.is_there() && matches!(state, Pending | Accepted) && !self.exists[whom] {
                reasons.push((404, "user_not_found"));
            }
            if !theirs.is_there()
                && state == Accepted
                && theirs.invited_by.is_none()
                && !self.is_member(found.channel, whom)
            {
                reasons.push((403, "not_a_member"));
            }
        }
        if let (true, Some(call), Some(state)) = (reasons.is_empty(), call, state) {
            match state {
                Pending => self.ring(call, whom),
                Accepted => self.answer(call, whom),
                Rejected | Left => self.depart(call, whom, state),
            }
        }
        verdict(reasons)
    }

    /// `INSERT INTO call_participants` with the role participant.
    pub fn put_participant(&mut self, call: Option<usize>, whom: Person, state: ParticipantState) -> Verdict {
        let mut reasons = self.obstacles(call, whom, &[Need::Live]);
        if let Some(found) = self.call(call) {
            let is_member = self.is_member(found.channel, whom);
            if !self.exists[whom] {
                reasons.push((404, "user_not_found"));
            }
            if found.participants.contains_key(&whom) {
                reasons.push((409, "already_in_call"));
            }
            if state == ParticipantState::Accepted && !is_member {
                reasons.push((403, "not_a_member"));
            }
            if found.state == CallState::Ringing && !is_member {
                reasons.push((409, "call_not_active"));
            }
            if found.initiator == whom {
                reasons.push((409, "role_is_wrong"));
            }
            if matches!(state, ParticipantState::Rejected | ParticipantState::Left) {
                reasons.push((409, "participant_move_illegal"));
            }
        }
        if reasons.is_empty() {
            match state {
                ParticipantState::Accepted => self.answer(call.unwrap(), whom),
                _ => self.ring(call.unwrap(), whom),
            }
        }
        verdict(reasons)
    }

    /// `UPDATE calls SET screenshare_user = ...`
    pub fn set_sharer(&mut self, call: Option<usize>, whom: Option<Person>) -> Verdict {
        let Some(found) = self.call(call) else { return Verdict::done() };
        if found.sharer == whom {
            return Verdict::done();
        }
        let mut reasons = Vec::new();
        if !found.is_live() {
            reasons.push((409, "call_finished"));
        } else if let Some(whom) = whom {
            if found.state == CallState::Ringing {
                reasons.push((409, "call_not_active"));
            }
            if !found.is_on_it(whom) {
                reasons.push((403, "sharer_not_accepted"));
            }
        }
        if reasons.is_empty() {
            self.calls[call.unwrap()].sharer = whom;
        }
        verdict(reasons)
    }

    /// An UPDATE of what never changes, which may be refused for the call's end as well.
    pub fn tamper(&mut self, call: Option<usize>, code: &'static str) -> Verdict {
        match self.call(call) {
            None => Verdict::done(),
            Some(found) if found.is_live() => Verdict::Refused(vec![(409, code)]),
            Some(_) => Verdict::Refused(vec![(409, code), (409, "call_finished")]),
        }
    }

    /// `INSERT OR REPLACE INTO calls`, in the first channel by the first person, with a state that no call begins in.
    pub fn replace_call(&mut self, call: Option<usize>) -> Verdict {
        let mut reasons = self.why_not_use(0, 0);
        reasons.push((409, "call_move_illegal"));
        if self.call(call).is_some() {
            reasons.push((409, "call_exists"));
        }
        Verdict::Refused(reasons)
    }

    /// `UPDATE calls SET answered_ts = ...` to a time at which nothing happened.
    pub fn move_answer(&mut self, call: Option<usize>) -> Verdict {
        verdict(match self.call(call).map(|found| found.state) {
            None => vec![],
            Some(CallState::Ringing) => vec![(409, "call_not_answered")],
            Some(CallState::Active) => vec![(409, "answered_ts_is_final")],
            Some(_) => vec![(409, "call_finished")],
        })
    }

    pub fn delete_call(&mut self, call: Option<usize>) -> Verdict {
        match self.call(call) {
            None => Verdict::done(),
            Some(found) if found.is_live() => Verdict::Refused(vec![(409, "call_is_live")]),
            Some(_) => {
                self.calls[call.unwrap()].is_pruned = true;
                Verdict::done()
            }
        }
    }

    pub fn delete_participant(&mut self, call: Option<usize>, whom: Person) -> Verdict {
        let Some(found) = self.call(call) else { return Verdict::done() };
        if !found.participants.contains_key(&whom) {
            return Verdict::done();
        }
        if !found.is_live() {
            return Verdict::Refused(vec![(409, "call_finished")]);
        }
        let call = call.unwrap();
        let gone = self.calls[call].participants.remove(&whom).unwrap();
        if gone.is_there() {
            self.conclude(call, whom, ParticipantState::Left, self.now);
        }
        Verdict::done()
    }

    /// `UPDATE screenshares SET state = ...`
    pub fn set_share_state(&mut self, share: Option<usize>, active: bool) -> Verdict {
        match self.share(share).map(|found| found.is_active) {
            Some(false) if active => return Verdict::Refused(vec![(409, "share_ended")]),
            Some(true) if !active => self.end_share(share.unwrap()),
            _ => {}
        }
        Verdict::done()
    }

    pub fn delete_share(&mut self, share: Option<usize>) -> Verdict {
        match self.share(share).map(|found| found.is_active) {
            Some(true) => return Verdict::Refused(vec![(409, "share_is_active")]),
            Some(false) => self.shares[share.unwrap()].is_pruned = true,
            None => {}
        }
        Verdict::done()
    }
}
