//! The model's state: people, channels, calls, shares, and a clock.
//!
//! The model follows the documentation and the routes, not the triggers. Where several refusals apply, it allows each of
//! them: their order is not part of the contract.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::limits::{Pair, Window};

/// Index of a person in [`Model::names`].
pub type Person = usize;

/// Number of people at the start of a sequence.
pub const PEOPLE: usize = 5;

/// A person who is never added.
pub const UNKNOWN_PERSON: Person = PEOPLE;

/// An HTTP status and a code.
pub type Refusal = (u16, &'static str);

/// The outcome that the model allows.
#[derive(Debug)]
pub enum Verdict {
    /// The action is done, and the reply has these members.
    Done(Value),
    /// The action is refused for one of these reasons, and nothing changes.
    Refused(Vec<Refusal>),
}

impl Verdict {
    /// Done, with any reply.
    pub fn done() -> Self {
        Self::Done(Value::Null)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    Ringing,
    Active,
    Ended,
    Rejected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParticipantState {
    Pending,
    Accepted,
    Rejected,
    Left,
}

impl CallState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ringing => "ringing",
            Self::Active => "active",
            Self::Ended => "ended",
            Self::Rejected => "rejected",
        }
    }
}

impl ParticipantState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Left => "left",
        }
    }
}

/// The settings that the model knows.
pub struct Limits {
    pub ringing_timeout: f64,
    pub presence_timeout: f64,
    pub presence_interval: f64,
    pub gone_after: f64,
    pub media_buffer_seconds: f64,
    pub media_buffer_max_bytes: usize,
    pub media_chunk_max_bytes: usize,
    pub signals_per_call_max: usize,
    pub signal_max_bytes: usize,
    pub end_for_everyone: bool,
    /// 0 means no limit.
    pub call_max_seconds: f64,
    /// 0 means that a restart ends everything.
    pub restart_grace: f64,
    pub call_people_max: usize,
    pub live_calls_per_person: usize,
    pub live_shares_per_person: usize,
    /// 0 means no limit.
    pub rings_per_pair: usize,
    /// 0 means no limit.
    pub rings_per_person: usize,
    pub refusal_pause: f64,
    pub media_per_person_max_bytes: usize,
    /// Calls do not ring for people on another call.
    pub busy_policy: bool,
}

/// The members of a channel.
pub enum Members {
    /// Everybody may see it; it allows no calls.
    Public,
    /// The people in its name.
    Dm(BTreeSet<Person>),
    /// The people on its list.
    Private(BTreeSet<Person>),
    /// There is no such private channel.
    Unknown,
}

pub struct Channel {
    /// As requests spell it.
    pub requested_name: String,
    /// The canonical name.
    pub name: String,
    pub members: Members,
}

/// The presence of a participant or a sharer.
#[derive(Clone, Copy)]
pub struct Presence {
    /// The newest proof that was stored. `None` after a restart, until the next one.
    pub seen: Option<f64>,
    /// When they depart, unless they prove presence first.
    pub leaves: Option<f64>,
    /// A participant left because nothing proved their presence.
    pub is_gone: bool,
}

impl Presence {
    /// Proved now.
    pub fn proved(now: f64) -> Self {
        Self { seen: Some(now), leaves: None, is_gone: false }
    }

    /// Whether a proof would be stored.
    pub fn is_due(self, now: f64, limits: &Limits) -> bool {
        // A short `gone_after` shortens the interval.
        let interval = limits.presence_interval.min(limits.gone_after / 2.0);
        self.leaves.is_some() || self.seen.is_none_or(|seen| seen + interval <= now)
    }

    /// Stores a proof, at most once an interval.
    pub fn note(&mut self, now: f64, limits: &Limits) {
        if self.is_due(now, limits) {
            *self = Self::proved(now);
        }
    }

    /// The last event stream that proved presence closes.
    pub fn close_stream(&mut self, now: f64, limits: &Limits) {
        *self = Self { seen: Some(now), leaves: Some(now + limits.gone_after), is_gone: false };
    }

    /// The wall clock is set. A departure lies in the future, and moves as far as the proof.
    fn set_clock(&mut self, set: impl Fn(&mut f64), seconds: f64) {
        self.seen.iter_mut().for_each(set);
        self.leaves = self.leaves.map(|leaves| ((leaves + seconds) * 1000.0).round() / 1000.0);
    }

    /// When they are absent.
    pub fn end(self, limits: &Limits) -> f64 {
        let unseen = self.seen.map_or(f64::INFINITY, |seen| seen + limits.presence_timeout);
        unseen.min(self.leaves.unwrap_or(f64::INFINITY))
    }
}

pub struct Participant {
    pub is_initiator: bool,
    pub state: ParticipantState,
    pub joined: Option<f64>,
    pub left: Option<f64>,
    pub invited: f64,
    pub invited_by: Option<Person>,
    pub missed: Option<f64>,
    pub missed_is_seen: bool,
    /// Why the last invitation did not ring.
    pub missed_reason: Option<&'static str>,
    pub presence: Presence,
    /// Invited without being a member of the channel, or removed from the channel during the call.
    pub was_guest: bool,
    /// Of the person, in [`Model::numbers`].
    pub number: usize,
    /// Removed by the initiator (`Removed`) or from the channel (`Expelled`), until invited or a member again.
    pub removed: Option<Role>,
}

impl Participant {
    /// Why the participant missed the last invitation.
    pub fn missed_reason(&self) -> Option<&'static str> {
        self.missed.map(|_| self.missed_reason.unwrap_or("unanswered"))
    }

    /// Why the participant is not on the call.
    pub fn absence(&self) -> Option<&'static str> {
        let is_rejected = matches!(self.state, ParticipantState::Rejected);
        is_rejected.then(|| self.missed_reason().unwrap_or("declined"))
    }

    /// Whether the participant is pending or accepted.
    pub fn is_present(&self) -> bool {
        matches!(self.state, ParticipantState::Pending | ParticipantState::Accepted)
    }
}

pub struct Signal {
    pub id: i64,
    pub from: Person,
    pub to: Person,
    pub kind: &'static str,
    pub payload: Value,
    pub ts: f64,
}

pub struct Chunk {
    pub id: i64,
    pub data: Vec<u8>,
    pub ts: f64,
}

/// The media of one sender.
#[derive(Default)]
pub struct Stream {
    pub init: Option<Vec<u8>>,
    pub chunks: Vec<Chunk>,
}

/// The MIME type of all init segments.
pub const MIME: &str = "video/webm";

impl Stream {
    /// The bytes of the init segment and the chunks.
    pub fn size(&self) -> usize {
        self.init.as_ref().map_or(0, Vec::len) + self.chunks.iter().map(|chunk| chunk.data.len()).sum::<usize>()
    }

    pub fn store(&mut self, init: bool, data: Vec<u8>, now: f64, limits: &Limits) {
        if init {
            self.init = Some(data);
            return;
        }
        self.chunks.push(Chunk { id: 0, data, ts: now });
        let kept = |chunks: &[Chunk]| chunks.iter().map(|chunk| chunk.data.len()).sum::<usize>();
        while self.chunks.len() > 1 && kept(&self.chunks) > limits.media_buffer_max_bytes {
            self.chunks.remove(0);
        }
    }
}

pub struct Call {
    pub id: String,
    pub channel: usize,
    pub initiator: Person,
    pub state: CallState,
    pub started: f64,
    pub answered: Option<f64>,
    pub ended: Option<f64>,
    pub reason: Option<&'static str>,
    pub sharer: Option<Person>,
    pub participants: BTreeMap<Person, Participant>,
    pub signals: Vec<Signal>,
    pub media: BTreeMap<Person, Stream>,
    /// The newest user at its start.
    pub newest_number: usize,
    /// An admin has deleted it from the history.
    pub is_pruned: bool,
}

impl Call {
    pub fn is_live(&self) -> bool {
        matches!(self.state, CallState::Ringing | CallState::Active)
    }

    /// The state of a person who takes or took part.
    pub fn state_of(&self, actor: Person) -> Option<ParticipantState> {
        self.participants.get(&actor).map(|participant| participant.state)
    }

    pub fn has_accepted(&self, actor: Person) -> bool {
        self.state_of(actor) == Some(ParticipantState::Accepted)
    }
}

pub struct Share {
    pub id: String,
    pub channel: usize,
    pub sharer: Person,
    pub is_active: bool,
    pub started: f64,
    pub presence: Presence,
    pub signals: Vec<Signal>,
    pub media: Stream,
    /// The newest user at its start.
    pub newest_number: usize,
    pub is_pruned: bool,
}

pub struct Model {
    pub now: f64,
    pub limits: Limits,
    /// Sorted.
    pub names: Vec<String>,
    pub exists: [bool; PEOPLE + 1],
    /// A user who was removed and added again is another person, with another number.
    pub numbers: [usize; PEOPLE + 1],
    pub newest_number: usize,
    /// Until when no call rings for a person.
    pub quiet_until: [f64; PEOPLE + 1],
    pub channels: Vec<Channel>,
    pub calls: Vec<Call>,
    pub shares: Vec<Share>,
    pub requests: BTreeMap<Person, Window>,
    pub pairs: BTreeMap<(Person, Person), Pair>,
}

/// What a person is to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Participant,
    /// By the initiator, from a live call, until invited or a member again.
    Removed,
    /// From the channel, as `Removed`.
    Expelled,
    Member,
    Stranger,
}

impl Model {
    /// The participation of a person. That of an earlier user of the same name is not theirs.
    pub fn own<'a>(&self, call: &'a Call, actor: Person) -> Option<&'a Participant> {
        call.participants.get(&actor).filter(|own| own.number == self.numbers[actor])
    }

    /// Whether a person is a member of the call's channel, and, in a DM, was one when it began.
    pub fn is_call_member(&self, call: &Call, actor: Person) -> bool {
        self.is_member_since(call.channel, actor, call.newest_number)
    }

    pub fn is_member_since(&self, channel: usize, actor: Person, newest_number: usize) -> bool {
        let is_dm = matches!(self.channels[channel].members, Members::Dm(_));
        self.is_member(channel, actor) && (!is_dm || self.numbers[actor] <= newest_number)
    }

    pub fn is_initiator(&self, call: &Call, actor: Person) -> bool {
        call.initiator == actor && self.numbers[actor] <= call.newest_number
    }

    pub fn role(&self, call: &Call, actor: Person) -> Role {
        match self.own(call, actor) {
            Some(own) if call.is_live() && !own.is_present() => own.removed.unwrap_or(Role::Participant),
            Some(_) => Role::Participant,
            None if self.is_call_member(call, actor) => Role::Member,
            None => Role::Stranger,
        }
    }

    /// What people see of the user with this number: the first user of a name has a display name.
    pub fn display_name(&self, actor: Person, number: usize) -> String {
        let is_first = number <= PEOPLE && number == self.numbers[actor] && self.exists[actor];
        if is_first { format!("{} the First", self.names[actor]) } else { self.names[actor].clone() }
    }

    /// What people see of the initiator.
    pub fn initiator_display_name(&self, call: &Call) -> String {
        let number = if self.is_initiator(call, call.initiator) { self.numbers[call.initiator] } else { 0 };
        self.display_name(call.initiator, number)
    }

    pub fn is_member(&self, channel: usize, actor: Person) -> bool {
        match &self.channels[channel].members {
            Members::Dm(members) | Members::Private(members) => members.contains(&actor),
            Members::Public | Members::Unknown => false,
        }
    }

    /// The refusals of reading a channel.
    pub fn channel_read_refusals(&self, channel: usize, actor: Person) -> Vec<Refusal> {
        match self.channels[channel].members {
            Members::Public => vec![(403, "channel_not_callable")],
            _ if !self.is_member(channel, actor) => vec![(403, "not_a_member")],
            _ => vec![],
        }
    }

    /// The refusals of calling or sharing in a channel: those of reading it, and `unregistered` unless all people in a
    /// DM's name exist.
    pub fn channel_use_refusals(&self, channel: usize, actor: Person, unregistered: Refusal) -> Vec<Refusal> {
        let mut reasons = self.channel_read_refusals(channel, actor);
        if let Members::Dm(members) = &self.channels[channel].members
            && members.iter().any(|member| !self.exists[*member])
        {
            reasons.push(unregistered);
        }
        reasons
    }

    /// The call with this index, unless it was deleted.
    pub fn call(&self, call: Option<usize>) -> Option<&Call> {
        self.calls.get(call?).filter(|call| !call.is_pruned)
    }

    /// The share with this index, unless it was deleted.
    pub fn share(&self, share: Option<usize>) -> Option<&Share> {
        self.shares.get(share?).filter(|share| !share.is_pruned)
    }

    pub fn live_call(&self, channel: usize) -> Option<usize> {
        self.calls.iter().position(|call| call.channel == channel && call.is_live())
    }

    /// The time of the next change that time alone causes.
    pub fn next_due(&self) -> Option<f64> {
        let mut due = Vec::new();
        for call in self.calls.iter().filter(|call| call.is_live()) {
            for participant in call.participants.values() {
                match participant.state {
                    ParticipantState::Pending => due.push(participant.invited + self.limits.ringing_timeout),
                    ParticipantState::Accepted if call.state == CallState::Active => {
                        due.push(participant.presence.end(&self.limits));
                    }
                    _ => {}
                }
            }
            if call.state == CallState::Active && self.limits.call_max_seconds > 0.0 {
                due.extend(call.answered.map(|answered| answered + self.limits.call_max_seconds));
            }
        }
        due.extend(self.shares.iter().filter(|share| share.is_active).map(|share| share.presence.end(&self.limits)));
        let streams = self.calls.iter().flat_map(|call| call.media.values());
        let chunks = streams.chain(self.shares.iter().map(|share| &share.media)).flat_map(|stream| &stream.chunks);
        due.extend(chunks.map(|chunk| chunk.ts + self.limits.media_buffer_seconds));
        due.into_iter().min_by(f64::total_cmp)
    }

    /// Applies what is due. The order of changes at one instant is not part of the contract, so no two limits fall on one
    /// instant.
    pub fn sweep(&mut self) {
        for call in 0..self.calls.len() {
            if self.calls[call].is_live() {
                self.expire_invitations(call);
            }
            if self.calls[call].state == CallState::Active {
                self.remove_unseen(call);
            }
            let limit = self.limits.call_max_seconds;
            if self.calls[call].state == CallState::Active
                && limit > 0.0
                && self.calls[call].answered.is_some_and(|answered| answered + limit <= self.now)
            {
                self.finish(call, CallState::Ended, "max_duration", self.now);
            }
        }
        for share in 0..self.shares.len() {
            let found = &self.shares[share];
            if found.is_active && found.presence.end(&self.limits) <= self.now {
                self.end_share(share);
            }
        }
        let oldest = self.now - self.limits.media_buffer_seconds;
        let streams = self.calls.iter_mut().flat_map(|call| call.media.values_mut());
        for stream in streams.chain(self.shares.iter_mut().map(|share| &mut share.media)) {
            stream.chunks.retain(|chunk| chunk.ts > oldest);
        }
    }

    /// What is live, and the age of media, measure elapsed time: their times move with the wall clock, in milliseconds.
    pub fn set_clock(&mut self, seconds: f64) {
        let to_milliseconds = |time: f64| (time * 1000.0).round() / 1000.0;
        let now = to_milliseconds(self.now + seconds);
        let set = |time: &mut f64| *time = to_milliseconds(*time + seconds).min(now);
        for call in self.calls.iter_mut().filter(|call| call.is_live()) {
            set(&mut call.started);
            call.answered.iter_mut().for_each(set);
            for participant in call.participants.values_mut() {
                let Participant { joined, left, invited, missed, presence, .. } = participant;
                [joined, left, missed].into_iter().flatten().chain([invited]).for_each(set);
                presence.set_clock(set, seconds);
            }
        }
        for share in self.shares.iter_mut().filter(|share| share.is_active) {
            set(&mut share.started);
            share.presence.set_clock(set, seconds);
        }
        let streams = self.calls.iter_mut().flat_map(|call| call.media.values_mut());
        let chunks = streams.chain(self.shares.iter_mut().map(|share| &mut share.media));
        chunks.flat_map(|stream| &mut stream.chunks).for_each(|chunk| set(&mut chunk.ts));
        self.requests.values_mut().for_each(|window| window.set_clock(set));
        self.pairs.values_mut().for_each(|pair| pair.set_clock(set));
        self.now = now;
    }

    /// A server start ends all live calls and shares, or gives their people time to return. Signals and media are lost.
    pub fn restart(&mut self) {
        if self.limits.restart_grace > 0.0 {
            let awaited = Presence { seen: None, leaves: Some(self.now + self.limits.restart_grace), is_gone: false };
            for call in self.calls.iter_mut().filter(|call| call.is_live()) {
                for participant in call.participants.values_mut() {
                    if participant.state == ParticipantState::Accepted {
                        participant.presence = awaited;
                    }
                }
                call.signals.clear();
                call.media.clear();
            }
            for share in self.shares.iter_mut().filter(|share| share.is_active) {
                share.presence = awaited;
                share.signals.clear();
                share.media = Stream::default();
            }
            return;
        }
        for call in 0..self.calls.len() {
            if self.calls[call].is_live() {
                self.finish(call, CallState::Ended, "restart", self.now);
            }
        }
        for share in 0..self.shares.len() {
            self.end_share(share);
        }
    }
}
