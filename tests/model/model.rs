//! What there is, as the server's promises have it: people, channels, calls and shares, and a clock that is stepped.
//!
//! It is written from README and from what the routes promise, not from the triggers, and says of every step what may be
//! answered. Where several reasons refuse, any of them may be told: their order is no promise.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Who, by number; names are the runner's.
pub type Person = usize;

/// So many people are there at the start of a sequence.
pub const PEOPLE: usize = 5;

/// Somebody whom nobody ever adds.
pub const NOBODY: Person = PEOPLE;

/// An HTTP status and a code.
pub type Refusal = (u16, &'static str);

/// What may be answered.
#[derive(Debug)]
pub enum Verdict {
    /// It is done, and the answer has these members.
    Done(Value),
    /// It is refused for one of these reasons, and nothing has changed.
    Refused(Vec<Refusal>),
}

impl Verdict {
    /// Done, and no more is promised of the answer.
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

/// The settings that matter here.
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
    /// 0 is never.
    pub call_max_seconds: f64,
}

/// The members of a channel.
pub enum Members {
    /// Everybody may see it, and nobody may call in it.
    Public,
    /// Those in its name.
    Dm(BTreeSet<Person>),
    /// Those on its list.
    Private(BTreeSet<Person>),
    /// There is no such private channel.
    Unknown,
}

pub struct Channel {
    /// As people spell it.
    pub spelled: String,
    /// As it is called everywhere.
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
    /// Asked in while not a member of the channel.
    pub from_outside: bool,
}

impl Participant {
    /// Asked, or on the call.
    pub fn is_there(&self) -> bool {
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

/// What one sender has uploaded.
#[derive(Default)]
pub struct Stream {
    pub init: Option<Vec<u8>>,
    pub chunks: Vec<Chunk>,
}

/// The MIME type of every init segment here.
pub const MIME: &str = "video/webm";

impl Stream {
    pub fn take(&mut self, init: bool, data: Vec<u8>, now: f64, limits: &Limits) {
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
    /// An admin has pruned it from the history.
    pub is_pruned: bool,
}

impl Call {
    pub fn is_live(&self) -> bool {
        matches!(self.state, CallState::Ringing | CallState::Active)
    }

    /// The state of somebody who takes or took part.
    pub fn state_of(&self, who: Person) -> Option<ParticipantState> {
        self.participants.get(&who).map(|participant| participant.state)
    }

    pub fn is_on_it(&self, who: Person) -> bool {
        self.state_of(who) == Some(ParticipantState::Accepted)
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
    /// In the order of the alphabet.
    pub names: Vec<String>,
    pub exists: [bool; PEOPLE + 1],
    pub channels: Vec<Channel>,
    pub calls: Vec<Call>,
    pub shares: Vec<Share>,
}

impl Model {
    pub fn is_member(&self, channel: usize, who: Person) -> bool {
        match &self.channels[channel].members {
            Members::Dm(members) | Members::Private(members) => members.contains(&who),
            Members::Public | Members::Unknown => false,
        }
    }

    /// Why somebody may not look at a channel.
    pub fn why_not_look(&self, channel: usize, who: Person) -> Vec<Refusal> {
        match self.channels[channel].members {
            Members::Public => vec![(403, "channel_not_callable")],
            _ if !self.is_member(channel, who) => vec![(403, "not_a_member")],
            _ => vec![],
        }
    }

    /// Why somebody may not call or share in a channel: the same, and everybody in a DM's name has to be there.
    pub fn why_not_use(&self, channel: usize, who: Person) -> Vec<Refusal> {
        let mut reasons = self.why_not_look(channel, who);
        if let Members::Dm(members) = &self.channels[channel].members
            && members.iter().any(|member| !self.exists[*member])
        {
            reasons.push((404, "user_not_found"));
        }
        reasons
    }

    /// The call of a number, if it is one and is not pruned.
    pub fn call(&self, call: Option<usize>) -> Option<&Call> {
        self.calls.get(call?).filter(|call| !call.is_pruned)
    }

    /// The share of a number, if it is one and is not pruned.
    pub fn share(&self, share: Option<usize>) -> Option<&Share> {
        self.shares.get(share?).filter(|share| !share.is_pruned)
    }

    pub fn live_call(&self, channel: usize) -> Option<usize> {
        self.calls.iter().position(|call| call.channel == channel && call.is_live())
    }

    /// When something is due next.
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

    /// Does what is due now. Of what is due at one instant the order is no promise, so sequences are made so that different
    /// limits never fall on one.
    pub fn sweep(&mut self) {
        for call in 0..self.calls.len() {
            if self.calls[call].is_live() {
                self.time_out(call);
            }
            if self.calls[call].state == CallState::Active {
                self.look_for_the_unseen(call);
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

    /// A server starts: what a run before it left live has lost its people.
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
