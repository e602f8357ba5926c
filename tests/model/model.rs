//! The model's state: people, channels, calls, shares, and a clock.
//!
//! The model follows the documentation and the routes, not the triggers. Where several refusals apply, it allows each of
//! them: their order is not part of the contract.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

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
    /// 0 means no limit.
    pub call_max_seconds: f64,
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

pub struct Participant {
    pub is_initiator: bool,
    pub state: ParticipantState,
    pub joined: Option<f64>,
    pub left: Option<f64>,
    pub invited: f64,
    pub invited_by: Option<Person>,
    pub missed: Option<f64>,
    pub missed_is_seen: bool,
    pub last_seen: f64,
    /// Invited without being a member of the channel.
    pub was_guest: bool,
}

impl Participant {
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
    pub signals: Vec<Signal>,
    pub media: Stream,
    pub is_pruned: bool,
}

pub struct Model {
    pub now: f64,
    pub limits: Limits,
    /// Sorted.
    pub names: Vec<String>,
    pub exists: [bool; PEOPLE + 1],
    pub channels: Vec<Channel>,
    pub calls: Vec<Call>,
    pub shares: Vec<Share>,
}

impl Model {
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
                        due.push(participant.last_seen + self.limits.presence_timeout);
                    }
                    _ => {}
                }
            }
            if call.state == CallState::Active && self.limits.call_max_seconds > 0.0 {
                due.extend(call.answered.map(|answered| answered + self.limits.call_max_seconds));
            }
        }
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
                let Participant { joined, left, invited, missed, last_seen, .. } = participant;
                [joined, left, missed].into_iter().flatten().chain([invited, last_seen]).for_each(set);
            }
        }
        for share in self.shares.iter_mut().filter(|share| share.is_active) {
            set(&mut share.started);
        }
        let streams = self.calls.iter_mut().flat_map(|call| call.media.values_mut());
        let chunks = streams.chain(self.shares.iter_mut().map(|share| &mut share.media));
        chunks.flat_map(|stream| &mut stream.chunks).for_each(|chunk| set(&mut chunk.ts));
        self.now = now;
    }

    /// A server start ends all live calls and shares.
    pub fn restart(&mut self) {
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
