//! The model of an admin's SQL statements, and of the commands on people and channels.

use crate::calls::Requirement;
use crate::model::{CallState, Members, Model, ParticipantState, Person, Refusal, Role, Verdict};

fn verdict(reasons: Vec<Refusal>) -> Verdict {
    if reasons.is_empty() { Verdict::done() } else { Verdict::Refused(reasons) }
}

impl Model {
    pub fn add_user(&mut self, target: Person) -> Verdict {
        if self.exists[target] {
            return Verdict::Refused(vec![(409, "user_exists")]);
        }
        self.exists[target] = true;
        self.newest_number += 1;
        self.numbers[target] = self.newest_number;
        self.quiet_until[target] = 0.0;
        Verdict::done()
    }

    /// A removed user leaves calls, shares and private channels, and loses pending signals.
    pub fn remove_user(&mut self, target: Person) -> Verdict {
        if !self.exists[target] {
            return Verdict::Refused(vec![(404, "user_not_found")]);
        }
        self.exists[target] = false;
        self.forget_counts(target);
        for call in 0..self.calls.len() {
            if self.calls[call].is_live() {
                self.depart_if_present(call, target);
            }
        }
        for channel in 0..self.channels.len() {
            self.leave_channel(channel, target);
        }
        for share in 0..self.shares.len() {
            if self.shares[share].sharer == target {
                self.end_share(share);
            }
            self.shares[share].signals.retain(|signal| signal.from != target && signal.to != target);
        }
        Verdict::done()
    }

    /// A new member is not out of the channel's call.
    pub fn join_channel(&mut self, channel: usize, target: Person) -> Verdict {
        let exists = self.exists[target];
        let reasons = match &mut self.channels[channel].members {
            Members::Private(_) if !exists => vec![(404, "user_not_found")],
            Members::Private(members) => {
                if members.insert(target) {
                    vec![]
                } else {
                    vec![(409, "already_a_member")]
                }
            }
            _ => vec![(404, "channel_not_found")],
        };
        if let (true, Some(call)) = (reasons.is_empty(), self.live_call(channel))
            && let Some(own) = self.calls[call].participants.get_mut(&target)
        {
            own.removed = None;
        }
        verdict(reasons)
    }

    /// `leave_channel`, the action: it refuses what a removal of a user leaves alone.
    pub fn remove_member(&mut self, channel: usize, target: Person) -> Verdict {
        let exists = self.exists[target];
        match &self.channels[channel].members {
            Members::Private(_) if !exists => Verdict::Refused(vec![(404, "user_not_found")]),
            Members::Private(members) if !members.contains(&target) => {
                Verdict::Refused(vec![(404, "member_not_found")])
            }
            Members::Private(_) => self.leave_channel(channel, target),
            _ => Verdict::Refused(vec![(404, "channel_not_found")]),
        }
    }

    /// A removed member leaves the channel's call, ends their shares there, and returns only by invitation.
    pub fn leave_channel(&mut self, channel: usize, target: Person) -> Verdict {
        let was_member = match &mut self.channels[channel].members {
            Members::Private(members) => members.remove(&target),
            _ => false,
        };
        if !was_member {
            return Verdict::done();
        }
        if let Some(call) = self.live_call(channel)
            && let Some(other) = self.calls[call].participants.get_mut(&target)
        {
            (other.removed, other.was_guest) = (Some(Role::Expelled), true);
            self.depart_if_present(call, target);
        }
        for share in 0..self.shares.len() {
            if self.shares[share].channel == channel {
                if self.shares[share].sharer == target {
                    self.end_share(share);
                }
                self.shares[share].signals.retain(|signal| signal.from != target && signal.to != target);
            }
        }
        Verdict::done()
    }

    /// `UPDATE calls SET state = ...`; `None` is an unknown state.
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
            // A ringing call has a pending participant.
            (CallState::Ringing, Some(CallState::Rejected)) => reasons.push((409, "call_still_ringing")),
            (CallState::Active, Some(CallState::Ringing | CallState::Rejected)) => {
                reasons.push((409, "call_move_illegal"));
            }
            (_, Some(CallState::Ended)) => self.finish(call.unwrap(), CallState::Ended, "admin", self.now),
            _ => {}
        }
        verdict(reasons)
    }

    /// `UPDATE call_participants SET state = ...`; `None` is an unknown state.
    pub fn set_participant_state(
        &mut self,
        call: Option<usize>,
        target: Person,
        state: Option<ParticipantState>,
    ) -> Verdict {
        use ParticipantState::{Accepted, Left, Pending, Rejected};
        let Some(found) = self.call(call) else { return Verdict::done() };
        let Some(other) = found.participants.get(&target) else { return Verdict::done() };
        if state == Some(other.state) {
            return Verdict::done();
        }
        let mut reasons: Vec<Refusal> = Vec::new();
        if state.is_none() {
            reasons.push((400, "call_participants_state_known"));
        }
        if !found.is_live() {
            reasons.push((409, "call_finished"));
        } else if let Some(state) = state {
            match (other.state, state) {
                (Accepted, Pending | Rejected) | (Rejected, Left) | (Left, Rejected) => {
                    reasons.push((409, "participant_move_illegal"));
                }
                _ => {}
            }
            if !other.is_present() && matches!(state, Pending | Accepted) && !self.exists[target] {
                reasons.push((404, "user_not_found"));
            }
            if !other.is_present() && state == Accepted {
                reasons.extend(self.join_refusals(found, target));
            }
            if state == Pending {
                reasons.extend(other.invited_by.map_or_else(Vec::new, |inviter| self.request_refusals(inviter)));
                let is_personal = other.invited_by.is_some() || self.is_small(found.channel);
                let caller = other.invited_by.unwrap_or(found.initiator);
                reasons.extend(self.ring_refusals(caller, target, is_personal));
                reasons.extend(self.unavailable_refusals(target));
            } else if state == Accepted {
                reasons.extend(self.full_call_refusals(call));
            }
        }
        if !other.is_present()
            && matches!(state, Some(Pending | Accepted))
            && self.exists[target]
            && other.number != self.numbers[target]
        {
            reasons.push((409, "participant_identity_is_fixed"));
        }
        if let (true, Some(call), Some(state)) = (reasons.is_empty(), call, state) {
            match state {
                Pending => self.ring(call, target, self.calls[call].participants[&target].invited_by),
                Accepted => self.answer(call, target),
                Rejected | Left => self.depart(call, target, state),
            }
        }
        verdict(reasons)
    }

    /// `INSERT INTO call_participants` with the role participant.
    pub fn insert_participant(&mut self, call: Option<usize>, target: Person, state: ParticipantState) -> Verdict {
        let mut reasons = self.call_refusals(call, target, &[Requirement::Live]);
        if let Some(found) = self.call(call) {
            let is_member = self.is_call_member(found, target);
            if !self.exists[target] {
                reasons.push((404, "user_not_found"));
            }
            if found.participants.contains_key(&target) {
                reasons.push((409, "already_in_call"));
            }
            if state == ParticipantState::Accepted && !is_member {
                reasons.push((403, "not_a_member"));
            }
            if self.is_initiator(found, target) && self.exists[target] {
                reasons.push((409, "role_is_wrong"));
            }
            if matches!(state, ParticipantState::Rejected | ParticipantState::Left) {
                reasons.push((409, "participant_move_illegal"));
            }
            if state == ParticipantState::Accepted {
                reasons.extend(self.full_call_refusals(call));
            } else if state == ParticipantState::Pending {
                reasons.extend(self.ring_refusals(found.initiator, target, self.is_small(found.channel)));
                reasons.extend(self.unavailable_refusals(target));
            }
        }
        if reasons.is_empty() {
            match state {
                ParticipantState::Accepted => self.answer(call.unwrap(), target),
                _ => self.ring(call.unwrap(), target, None),
            }
        }
        verdict(reasons)
    }

    /// `UPDATE calls SET screenshare_user = ...`
    pub fn set_sharer(&mut self, call: Option<usize>, target: Option<Person>) -> Verdict {
        let Some(found) = self.call(call) else { return Verdict::done() };
        if found.sharer == target {
            return Verdict::done();
        }
        let mut reasons = Vec::new();
        if !found.is_live() {
            reasons.push((409, "call_finished"));
        } else if let Some(target) = target {
            if found.state == CallState::Ringing {
                reasons.push((409, "call_not_active"));
            }
            if !found.has_accepted(target) {
                reasons.push((403, "sharer_not_accepted"));
            }
        }
        if reasons.is_empty() {
            self.calls[call.unwrap()].sharer = target;
        }
        verdict(reasons)
    }

    /// An UPDATE of an immutable column, which a finished call may refuse as finished.
    pub fn change_immutable(&mut self, call: Option<usize>, code: &'static str) -> Verdict {
        match self.call(call) {
            None => Verdict::done(),
            Some(found) if found.is_live() => Verdict::Refused(vec![(409, code)]),
            Some(_) => Verdict::Refused(vec![(409, code), (409, "call_finished")]),
        }
    }

    /// `INSERT OR REPLACE INTO calls`, by the first person in the first channel, with a final state.
    pub fn replace_call(&mut self, call: Option<usize>) -> Verdict {
        let mut reasons = self.channel_use_refusals(0, 0, (404, "user_not_found"));
        if !self.exists[0] {
            reasons.push((403, "not_a_member"));
        }
        reasons.push((409, "call_move_illegal"));
        if self.call(call).is_some() {
            reasons.push((409, "call_exists"));
        }
        Verdict::Refused(reasons)
    }

    /// `UPDATE calls SET answered_ts = ...`
    pub fn set_answered_ts(&mut self, call: Option<usize>) -> Verdict {
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

    pub fn delete_participant(&mut self, call: Option<usize>, target: Person) -> Verdict {
        let Some(found) = self.call(call) else { return Verdict::done() };
        if !found.participants.contains_key(&target) {
            return Verdict::done();
        }
        if !found.is_live() {
            return Verdict::Refused(vec![(409, "call_finished")]);
        }
        let call = call.unwrap();
        let report_gone = self.calls[call].participants.remove(&target).unwrap();
        if report_gone.is_present() {
            self.apply_departure(call, target, ParticipantState::Left, self.now);
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
