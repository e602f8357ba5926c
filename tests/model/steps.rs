//! The steps of a sequence. Calls and shares are numbers, which the state of the model resolves.

use crate::model::{CallState, ParticipantState, Person};

/// The transport of a step that allows both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Http,
    Sql,
}

/// A call or share: live ones first, then by age, newest first. [`UNKNOWN_ID`] is one that does not exist.
pub type Nth = u8;
pub const UNKNOWN_ID: Nth = u8::MAX;

/// Numbers from here on stand for a person for whom the action can succeed. See [`Action::with_people`].
pub const LIKELY: Person = 100;

/// The signals that a step sends.
#[derive(Clone, Copy, Debug)]
pub enum SignalKind {
    Offer,
    Candidate,
    Misspelt,
    Null,
    TooLarge,
}

/// The uploads that a step makes.
#[derive(Clone, Copy, Debug)]
pub enum UploadKind {
    Init,
    Chunk(u8),
    InitWithoutMime,
    Empty,
    TooLarge,
}

/// An action by `actor`, on `target`.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    Initiate {
        actor: Person,
        channel: usize,
    },
    Accept {
        actor: Person,
        call: Nth,
    },
    Reject {
        actor: Person,
        call: Nth,
    },
    End {
        actor: Person,
        call: Nth,
    },
    Leave {
        actor: Person,
        call: Nth,
    },
    Invite {
        actor: Person,
        call: Nth,
        target: Person,
    },
    Remove {
        actor: Person,
        call: Nth,
        target: Person,
    },
    ReportGone {
        actor: Person,
        call: Nth,
        target: Person,
    },
    Signal {
        actor: Person,
        call: Nth,
        target: Person,
        kind: SignalKind,
    },
    ShareScreen {
        actor: Person,
        call: Nth,
        on: bool,
    },
    UploadMedia {
        actor: Person,
        call: Nth,
        upload: UploadKind,
    },
    ReadState {
        actor: Person,
        call: Nth,
    },
    /// The last event stream that names the call.
    CloseStream {
        actor: Person,
        call: Nth,
    },
    ReadSignals {
        actor: Person,
        call: Nth,
        after: bool,
    },
    ReadMedia {
        actor: Person,
        call: Nth,
        target: Person,
        after: bool,
    },
    ReadActiveCall {
        actor: Person,
        channel: usize,
    },
    ReadIncoming {
        actor: Person,
    },
    ReadHistory {
        actor: Person,
    },
    ReadMissed {
        actor: Person,
    },
    MarkMissedSeen {
        actor: Person,
    },
    /// Do not disturb.
    SetQuiet {
        actor: Person,
        seconds: f64,
    },
    StartShare {
        actor: Person,
        channel: usize,
    },
    StopShare {
        actor: Person,
        share: Nth,
    },
    ShareSignal {
        actor: Person,
        share: Nth,
        target: Person,
        kind: SignalKind,
    },
    UploadShareMedia {
        actor: Person,
        share: Nth,
        upload: UploadKind,
    },
    CloseShareStream {
        actor: Person,
        share: Nth,
    },
    ReadShareSignals {
        actor: Person,
        share: Nth,
        after: bool,
    },
    ReadShareMedia {
        actor: Person,
        share: Nth,
        after: bool,
    },
    ReadShares {
        actor: Person,
        channel: usize,
    },
    JoinChannel {
        target: Person,
        channel: usize,
    },
    LeaveChannel {
        target: Person,
        channel: usize,
    },
    AddUser {
        target: Person,
    },
    RemoveUser {
        target: Person,
    },
    SetCallState {
        call: Nth,
        state: Option<CallState>,
    },
    SetParticipantState {
        call: Nth,
        target: Person,
        state: Option<ParticipantState>,
    },
    InsertParticipant {
        call: Nth,
        target: Person,
        state: ParticipantState,
    },
    SetSharer {
        call: Nth,
        target: Option<Person>,
    },
    SetAnsweredTs {
        call: Nth,
    },
    ChangeInitiator {
        call: Nth,
    },
    /// With OR REPLACE, and a final state.
    ReplaceCall {
        call: Nth,
    },
    ChangeRole {
        call: Nth,
        target: Person,
    },
    DeleteCall {
        call: Nth,
    },
    DeleteParticipant {
        call: Nth,
        target: Person,
    },
    SetShareState {
        share: Nth,
        active: bool,
    },
    DeleteShare {
        share: Nth,
    },
    /// In the time unit of the round.
    Wait {
        units: u8,
    },
    /// The wall clock is set by so many seconds. Not on the machine's clock.
    SetClock {
        seconds: f64,
    },
    Restart,
}

const NAMES: &str = "Initiate Accept Reject End Leave Invite Remove ReportGone Signal ShareScreen UploadMedia ReadState CloseStream ReadSignals \
    ReadMedia ReadActiveCall ReadIncoming ReadHistory ReadMissed MarkMissedSeen SetQuiet StartShare StopShare ShareSignal \
    UploadShareMedia CloseShareStream ReadShareSignals ReadShareMedia ReadShares JoinChannel LeaveChannel AddUser RemoveUser \
    SetCallState SetParticipantState InsertParticipant SetSharer SetAnsweredTs ChangeInitiator ReplaceCall ChangeRole DeleteCall \
    DeleteParticipant SetShareState DeleteShare Wait SetClock Restart";

impl Action {
    /// Its name.
    pub fn name(&self) -> String {
        let debug = format!("{self:?}");
        debug.split([' ', '{']).next().unwrap_or_default().to_owned()
    }

    /// Replaces placeholders: `actors` are people who can do the action, `others` people whom it can concern.
    pub fn with_people(mut self, actors: &[Person], others: &[Person]) -> Self {
        let fit = |number: &mut Person, fitting: &[Person]| {
            if *number >= LIKELY {
                let turn = *number - LIKELY;
                *number = if fitting.is_empty() { turn } else { fitting[turn % fitting.len()] };
            }
        };
        match &mut self {
            Self::Invite { actor, target, .. }
            | Self::Remove { actor, target, .. }
            | Self::ReportGone { actor, target, .. }
            | Self::Signal { actor, target, .. }
            | Self::ReadMedia { actor, target, .. }
            | Self::ShareSignal { actor, target, .. } => {
                fit(actor, actors);
                // Most actions concern another person than the actor.
                let others: Vec<Person> = others.iter().copied().filter(|other| other != actor).collect();
                fit(target, &others);
            }
            Self::Initiate { actor, .. }
            | Self::Accept { actor, .. }
            | Self::Reject { actor, .. }
            | Self::End { actor, .. }
            | Self::Leave { actor, .. }
            | Self::ShareScreen { actor, .. }
            | Self::UploadMedia { actor, .. }
            | Self::ReadState { actor, .. }
            | Self::CloseStream { actor, .. }
            | Self::CloseShareStream { actor, .. }
            | Self::ReadSignals { actor, .. }
            | Self::StartShare { actor, .. }
            | Self::StopShare { actor, .. }
            | Self::UploadShareMedia { actor, .. }
            | Self::ReadShareSignals { actor, .. }
            | Self::ReadShareMedia { actor, .. } => fit(actor, actors),
            Self::SetParticipantState { target, .. }
            | Self::InsertParticipant { target, .. }
            | Self::SetSharer { target: Some(target), .. }
            | Self::ChangeRole { target, .. }
            | Self::DeleteParticipant { target, .. } => fit(target, others),
            _ => {}
        }
        self
    }

    /// The call that the action concerns.
    pub fn call(&self) -> Option<Nth> {
        match *self {
            Self::Accept { call, .. }
            | Self::Reject { call, .. }
            | Self::End { call, .. }
            | Self::Leave { call, .. }
            | Self::Invite { call, .. }
            | Self::Remove { call, .. }
            | Self::ReportGone { call, .. }
            | Self::Signal { call, .. }
            | Self::ShareScreen { call, .. }
            | Self::UploadMedia { call, .. }
            | Self::ReadState { call, .. }
            | Self::CloseStream { call, .. }
            | Self::ReadSignals { call, .. }
            | Self::ReadMedia { call, .. }
            | Self::SetCallState { call, .. }
            | Self::SetParticipantState { call, .. }
            | Self::InsertParticipant { call, .. }
            | Self::SetSharer { call, .. }
            | Self::SetAnsweredTs { call }
            | Self::ChangeInitiator { call }
            | Self::ReplaceCall { call }
            | Self::ChangeRole { call, .. }
            | Self::DeleteCall { call }
            | Self::DeleteParticipant { call, .. } => Some(call),
            _ => None,
        }
    }

    /// The share that the action concerns.
    pub fn share(&self) -> Option<Nth> {
        match *self {
            Self::StopShare { share, .. }
            | Self::ShareSignal { share, .. }
            | Self::UploadShareMedia { share, .. }
            | Self::CloseShareStream { share, .. }
            | Self::ReadShareSignals { share, .. }
            | Self::ReadShareMedia { share, .. }
            | Self::SetShareState { share, .. }
            | Self::DeleteShare { share } => Some(share),
            _ => None,
        }
    }

    /// The names of all actions.
    pub fn names() -> impl Iterator<Item = String> {
        NAMES.split_whitespace().map(str::to_owned)
    }

    /// Actions that only a removed user's token is refused.
    pub const OPEN_TO_ALL: [&str; 5] = ["ReadIncoming", "ReadHistory", "ReadMissed", "MarkMissedSeen", "SetQuiet"];

    /// Actions that are always refused.
    pub const NEVER_DONE: [&str; 1] = ["ReplaceCall"];

    /// Actions that are never refused: time, restarts, lost connections, and removals of what may be absent.
    pub const NEVER_REFUSED: [&str; 7] =
        ["Wait", "SetClock", "Restart", "RemoveUser", "LeaveChannel", "CloseStream", "CloseShareStream"];
}

/// An action and its transport.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub transport: Transport,
    pub action: Action,
}
