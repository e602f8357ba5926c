//! What a sequence consists of: steps that somebody takes, with numbers for who and which, read against what there is.

use crate::model::{CallState, ParticipantState, Person};

/// Through which door a step goes, where it has a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Http,
    Sql,
}

/// A call or share, counted back from the newest; the live ones come first. [`UNKNOWN`] is one that there is not.
pub type Pick = u8;
pub const UNKNOWN: Pick = u8::MAX;

/// From here on a number means one of those whom the action fits, if there are any. See [`Action::fit`].
pub const FITTING: Person = 100;

/// What a signal is like.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Offer,
    Candidate,
    Misspelt,
    Null,
    TooLarge,
}

/// What an upload is like.
#[derive(Clone, Copy, Debug)]
pub enum Upload {
    Init,
    Chunk(u8),
    InitWithoutMime,
    Empty,
    TooLarge,
}

/// What somebody does. `who` acts, `whom` is acted on.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    Initiate {
        who: Person,
        channel: usize,
    },
    Accept {
        who: Person,
        call: Pick,
    },
    Reject {
        who: Person,
        call: Pick,
    },
    End {
        who: Person,
        call: Pick,
    },
    Leave {
        who: Person,
        call: Pick,
    },
    Invite {
        who: Person,
        call: Pick,
        whom: Person,
    },
    Remove {
        who: Person,
        call: Pick,
        whom: Person,
    },
    Gone {
        who: Person,
        call: Pick,
        whom: Person,
    },
    Signal {
        who: Person,
        call: Pick,
        whom: Person,
        kind: Kind,
    },
    ShareScreen {
        who: Person,
        call: Pick,
        on: bool,
    },
    UploadMedia {
        who: Person,
        call: Pick,
        upload: Upload,
    },
    LookAtState {
        who: Person,
        call: Pick,
    },
    ReadSignals {
        who: Person,
        call: Pick,
        after: bool,
    },
    ReadMedia {
        who: Person,
        call: Pick,
        whom: Person,
        after: bool,
    },
    LookAtActive {
        who: Person,
        channel: usize,
    },
    LookAtIncoming {
        who: Person,
    },
    LookAtHistory {
        who: Person,
    },
    LookAtMissed {
        who: Person,
    },
    SeeMissed {
        who: Person,
    },
    StartShare {
        who: Person,
        channel: usize,
    },
    StopShare {
        who: Person,
        share: Pick,
    },
    ShareSignal {
        who: Person,
        share: Pick,
        whom: Person,
        kind: Kind,
    },
    UploadShareMedia {
        who: Person,
        share: Pick,
        upload: Upload,
    },
    ReadShareSignals {
        who: Person,
        share: Pick,
        after: bool,
    },
    ReadShareMedia {
        who: Person,
        share: Pick,
        after: bool,
    },
    LookAtShares {
        who: Person,
        channel: usize,
    },
    JoinChannel {
        whom: Person,
        channel: usize,
    },
    LeaveChannel {
        whom: Person,
        channel: usize,
    },
    AddUser {
        whom: Person,
    },
    RemoveUser {
        whom: Person,
    },
    SetCallState {
        call: Pick,
        state: Option<CallState>,
    },
    SetParticipantState {
        call: Pick,
        whom: Person,
        state: Option<ParticipantState>,
    },
    PutParticipant {
        call: Pick,
        whom: Person,
        state: ParticipantState,
    },
    SetSharer {
        call: Pick,
        whom: Option<Person>,
    },
    MoveAnswer {
        call: Pick,
    },
    ChangeInitiator {
        call: Pick,
    },
    /// With OR REPLACE, to a state that no call begins in.
    ReplaceCall {
        call: Pick,
    },
    ChangeRole {
        call: Pick,
        whom: Person,
    },
    DeleteCall {
        call: Pick,
    },
    DeleteParticipant {
        call: Pick,
        whom: Person,
    },
    SetShareState {
        share: Pick,
        active: bool,
    },
    DeleteShare {
        share: Pick,
    },
    /// So many times the unit of time that the round has.
    Wait {
        units: u8,
    },
    Restart,
}

const NAMES: &str = "Initiate Accept Reject End Leave Invite Remove Gone Signal ShareScreen UploadMedia LookAtState ReadSignals \
    ReadMedia LookAtActive LookAtIncoming LookAtHistory LookAtMissed SeeMissed StartShare StopShare ShareSignal \
    UploadShareMedia ReadShareSignals ReadShareMedia LookAtShares JoinChannel LeaveChannel AddUser RemoveUser \
    SetCallState SetParticipantState PutParticipant SetSharer MoveAnswer ChangeInitiator ReplaceCall ChangeRole DeleteCall \
    DeleteParticipant SetShareState DeleteShare Wait Restart";

impl Action {
    /// Its name.
    pub fn name(&self) -> String {
        let debug = format!("{self:?}");
        debug.split([' ', '{']).next().unwrap_or_default().to_owned()
    }

    /// The same with people in the places of numbers that mean one whom it fits: `actors` are those who can do it, `others`
    /// those to whom it can be done.
    pub fn fit(mut self, actors: &[Person], others: &[Person]) -> Self {
        let fit = |number: &mut Person, fitting: &[Person]| {
            if *number >= FITTING {
                let turn = *number - FITTING;
                *number = if fitting.is_empty() { turn } else { fitting[turn % fitting.len()] };
            }
        };
        match &mut self {
            Self::Invite { who, whom, .. }
            | Self::Remove { who, whom, .. }
            | Self::Gone { who, whom, .. }
            | Self::Signal { who, whom, .. }
            | Self::ReadMedia { who, whom, .. }
            | Self::ShareSignal { who, whom, .. } => {
                fit(who, actors);
                // Mostly somebody else.
                let others: Vec<Person> = others.iter().copied().filter(|other| other != who).collect();
                fit(whom, &others);
            }
            Self::Initiate { who, .. }
            | Self::Accept { who, .. }
            | Self::Reject { who, .. }
            | Self::End { who, .. }
            | Self::Leave { who, .. }
            | Self::ShareScreen { who, .. }
            | Self::UploadMedia { who, .. }
            | Self::LookAtState { who, .. }
            | Self::ReadSignals { who, .. }
            | Self::StartShare { who, .. }
            | Self::StopShare { who, .. }
            | Self::UploadShareMedia { who, .. }
            | Self::ReadShareSignals { who, .. }
            | Self::ReadShareMedia { who, .. } => fit(who, actors),
            Self::SetParticipantState { whom, .. }
            | Self::PutParticipant { whom, .. }
            | Self::SetSharer { whom: Some(whom), .. }
            | Self::ChangeRole { whom, .. }
            | Self::DeleteParticipant { whom, .. } => fit(whom, others),
            _ => {}
        }
        self
    }

    /// The call that it is about.
    pub fn call(&self) -> Option<Pick> {
        match *self {
            Self::Accept { call, .. }
            | Self::Reject { call, .. }
            | Self::End { call, .. }
            | Self::Leave { call, .. }
            | Self::Invite { call, .. }
            | Self::Remove { call, .. }
            | Self::Gone { call, .. }
            | Self::Signal { call, .. }
            | Self::ShareScreen { call, .. }
            | Self::UploadMedia { call, .. }
            | Self::LookAtState { call, .. }
            | Self::ReadSignals { call, .. }
            | Self::ReadMedia { call, .. }
            | Self::SetCallState { call, .. }
            | Self::SetParticipantState { call, .. }
            | Self::PutParticipant { call, .. }
            | Self::SetSharer { call, .. }
            | Self::MoveAnswer { call }
            | Self::ChangeInitiator { call }
            | Self::ReplaceCall { call }
            | Self::ChangeRole { call, .. }
            | Self::DeleteCall { call }
            | Self::DeleteParticipant { call, .. } => Some(call),
            _ => None,
        }
    }

    /// The share that it is about.
    pub fn share(&self) -> Option<Pick> {
        match *self {
            Self::StopShare { share, .. }
            | Self::ShareSignal { share, .. }
            | Self::UploadShareMedia { share, .. }
            | Self::ReadShareSignals { share, .. }
            | Self::ReadShareMedia { share, .. }
            | Self::SetShareState { share, .. }
            | Self::DeleteShare { share } => Some(share),
            _ => None,
        }
    }

    /// The names of all of them.
    pub fn names() -> impl Iterator<Item = String> {
        NAMES.split_whitespace().map(str::to_owned)
    }

    /// What is refused only to somebody who was removed, whose token opens nothing.
    pub const EVERYBODYS: [&str; 4] = ["LookAtIncoming", "LookAtHistory", "LookAtMissed", "SeeMissed"];

    /// What is always refused.
    pub const NEVER_DONE: [&str; 1] = ["ReplaceCall"];

    /// What nothing refuses, whoever does it: time and power cuts, and removing what may not be there.
    pub const NEVER_REFUSED: [&str; 4] = ["Wait", "Restart", "RemoveUser", "LeaveChannel"];
}

/// A step: an action, and the door that it goes through if it has the choice.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub door: Door,
    pub action: Action,
}
