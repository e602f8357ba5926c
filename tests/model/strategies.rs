//! proptest strategies for sequences. The weights favour calls that are answered.

use proptest::prelude::*;
use proptest::strategy::Union;

use crate::model::{CallState, PEOPLE, ParticipantState, Person, UNKNOWN_PERSON};
use crate::steps::{Action, LIKELY, Nth, SignalKind, Step, Transport, UNKNOWN_ID, UploadKind};

/// Mostly a person for whom the action can succeed, else mostly a member of the channels.
fn actor() -> impl Strategy<Value = Person> + Clone {
    prop_oneof![45 => LIKELY..LIKELY + 3, 9 => 0..3usize, 2 => Just(3usize), 1 => Just(PEOPLE - 1)]
}

fn target() -> impl Strategy<Value = Person> + Clone {
    prop_oneof![
        45 => LIKELY..LIKELY + 3, 9 => 0..3usize, 3 => Just(3usize), 2 => Just(PEOPLE - 1), 1 => Just(UNKNOWN_PERSON)
    ]
}

fn anybody() -> impl Strategy<Value = Person> + Clone {
    0..UNKNOWN_PERSON
}

fn nth() -> impl Strategy<Value = Nth> + Clone {
    prop_oneof![12 => Just(0u8), 4 => 1..6u8, 1 => Just(UNKNOWN_ID)]
}

/// Mostly a DM of three people or the private channel; rarely one that allows no call.
fn channel() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![5 => Just(0usize), 2 => Just(1usize), 5 => Just(2usize), 1 => 3..7usize]
}

fn kind() -> impl Strategy<Value = SignalKind> + Clone {
    prop_oneof![
        8 => Just(SignalKind::Offer),
        8 => Just(SignalKind::Candidate),
        1 => Just(SignalKind::Misspelt),
        1 => Just(SignalKind::Null),
        1 => Just(SignalKind::TooLarge)
    ]
}

fn upload() -> impl Strategy<Value = UploadKind> + Clone {
    prop_oneof![
        3 => Just(UploadKind::Init),
        10 => (1..=32u8).prop_map(UploadKind::Chunk),
        1 => Just(UploadKind::InitWithoutMime),
        1 => Just(UploadKind::Empty),
        1 => Just(UploadKind::TooLarge)
    ]
}

fn call_state() -> impl Strategy<Value = Option<CallState>> + Clone {
    prop_oneof![
        4 => Just(Some(CallState::Ended)),
        1 => Just(Some(CallState::Active)),
        1 => Just(Some(CallState::Ringing)),
        1 => Just(Some(CallState::Rejected)),
        1 => Just(None)
    ]
}

fn participant_state() -> impl Strategy<Value = ParticipantState> + Clone {
    prop_oneof![
        Just(ParticipantState::Pending),
        Just(ParticipantState::Accepted),
        Just(ParticipantState::Rejected),
        Just(ParticipantState::Left)
    ]
}

macro_rules! actions {
    ($($weight:literal $name:ident { $($field:ident: $strategy:expr),* };)*) => {
        Union::new_weighted(vec![
            $(($weight, ($($strategy,)*).prop_map(|($($field,)*)| Action::$name { $($field),* }).boxed())),*
        ])
    };
}

/// Any action, weighted.
fn action() -> impl Strategy<Value = Action> {
    let any = any::<bool>;
    let state_or_none = || prop_oneof![8 => participant_state().prop_map(Some), 1 => Just(None)];
    let target_or_none = || prop_oneof![3 => target().prop_map(Some), 1 => Just(None)];
    let private = || prop_oneof![8 => Just(2usize), 1 => Just(6usize)];
    let people = actions! {
        32 Initiate { actor: actor(), channel: channel() };
        30 Accept { actor: actor(), call: nth() };
        9 Reject { actor: actor(), call: nth() };
        2 End { actor: actor(), call: nth() };
        6 Leave { actor: actor(), call: nth() };
        12 Invite { actor: actor(), call: nth(), target: target() };
        4 Remove { actor: actor(), call: nth(), target: target() };
        6 ReportGone { actor: actor(), call: nth(), target: target() };
        18 Signal { actor: actor(), call: nth(), target: target(), kind: kind() };
        9 ShareScreen { actor: actor(), call: nth(), on: any() };
        12 UploadMedia { actor: actor(), call: nth(), upload: upload() };
        8 ReadState { actor: actor(), call: nth() };
        4 CloseStream { actor: actor(), call: nth() };
        5 ReadSignals { actor: actor(), call: nth(), after: any() };
        5 ReadMedia { actor: actor(), call: nth(), target: target(), after: any() };
        2 ReadActiveCall { actor: anybody(), channel: channel() };
        2 ReadIncoming { actor: anybody() };
        2 ReadHistory { actor: anybody() };
        2 ReadMissed { actor: anybody() };
        3 MarkMissedSeen { actor: anybody() };
        4 SetQuiet { actor: anybody(), seconds: proptest::sample::select(&[0.0, 40.5, 300.5][..]) };
        9 StartShare { actor: actor(), channel: channel() };
        4 StopShare { actor: actor(), share: nth() };
        9 ShareSignal { actor: actor(), share: nth(), target: target(), kind: kind() };
        7 UploadShareMedia { actor: actor(), share: nth(), upload: upload() };
        2 CloseShareStream { actor: actor(), share: nth() };
        3 ReadShareSignals { actor: actor(), share: nth(), after: any() };
        3 ReadShareMedia { actor: actor(), share: nth(), after: any() };
        2 ReadShares { actor: anybody(), channel: channel() };
    };
    let admin = actions! {
        6 JoinChannel { target: 0..=UNKNOWN_PERSON, channel: private() };
        4 LeaveChannel { target: 0..=UNKNOWN_PERSON, channel: private() };
        6 AddUser { target: anybody() };
        4 RemoveUser { target: anybody() };
        3 SetCallState { call: nth(), state: call_state() };
        12 SetParticipantState { call: nth(), target: target(), state: state_or_none() };
        4 InsertParticipant { call: nth(), target: target(), state: participant_state() };
        4 SetSharer { call: nth(), target: target_or_none() };
        2 SetAnsweredTs { call: nth() };
        2 ChangeInitiator { call: nth() };
        2 ReplaceCall { call: nth() };
        2 ChangeRole { call: nth(), target: target() };
        2 DeleteCall { call: nth() };
        2 DeleteParticipant { call: nth(), target: target() };
        3 SetShareState { share: nth(), active: any() };
        2 DeleteShare { share: nth() };
        16 Wait { units: prop_oneof![9 => 1..=4u8, 4 => 5..=7u8, 1 => Just(8u8)] };
        3 SetClock { seconds: proptest::sample::select(&[0.25, 120.0, -20.0, 3600.0, -7200.0, 3e8][..]) };
    };
    prop_oneof![280 => people, 80 => admin, 1 => Just(Action::Restart)]
}

/// A sequence with a number of steps in this range.
pub fn sequence(steps: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<Step>> {
    let transport = prop_oneof![Just(Transport::Sql), Just(Transport::Http)];
    proptest::collection::vec((transport, action()).prop_map(|(transport, action)| Step { transport, action }), steps)
}
