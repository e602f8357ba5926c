//! How proptest makes sequences up: any action, as often as makes for calls that go somewhere.

use proptest::prelude::*;
use proptest::strategy::Union;

use crate::model::{CallState, NOBODY, PEOPLE, ParticipantState, Person};
use crate::steps::{Action, Door, FITTING, Kind, Pick, Step, UNKNOWN, Upload};

/// Mostly somebody whom it fits; else mostly the members of the channels.
fn who() -> impl Strategy<Value = Person> + Clone {
    prop_oneof![45 => FITTING..FITTING + 3, 9 => 0..3usize, 2 => Just(3usize), 1 => Just(PEOPLE - 1)]
}

fn whom() -> impl Strategy<Value = Person> + Clone {
    prop_oneof![
        45 => FITTING..FITTING + 3, 9 => 0..3usize, 3 => Just(3usize), 2 => Just(PEOPLE - 1), 1 => Just(NOBODY)
    ]
}

fn somebody() -> impl Strategy<Value = Person> + Clone {
    0..NOBODY
}

fn pick() -> impl Strategy<Value = Pick> + Clone {
    prop_oneof![12 => Just(0u8), 4 => 1..6u8, 1 => Just(UNKNOWN)]
}

/// A DM of three, one of two, a private channel; a public one, one with nobody else, one with nobody, and none.
fn channel() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![5 => Just(0usize), 2 => Just(1usize), 5 => Just(2usize), 1 => 3..7usize]
}

fn kind() -> impl Strategy<Value = Kind> + Clone {
    prop_oneof![
        8 => Just(Kind::Offer),
        8 => Just(Kind::Candidate),
        1 => Just(Kind::Misspelt),
        1 => Just(Kind::Null),
        1 => Just(Kind::TooLarge)
    ]
}

fn upload() -> impl Strategy<Value = Upload> + Clone {
    prop_oneof![
        3 => Just(Upload::Init),
        10 => (1..=32u8).prop_map(Upload::Chunk),
        1 => Just(Upload::InitWithoutMime),
        1 => Just(Upload::Empty),
        1 => Just(Upload::TooLarge)
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

/// Any action, as often as makes for calls that go somewhere.
fn action() -> impl Strategy<Value = Action> {
    let any = any::<bool>;
    let state_or_none = || prop_oneof![8 => participant_state().prop_map(Some), 1 => Just(None)];
    let somebody_or_none = || prop_oneof![3 => whom().prop_map(Some), 1 => Just(None)];
    let private = || prop_oneof![8 => Just(2usize), 1 => Just(6usize)];
    let people = actions! {
        32 Initiate { who: who(), channel: channel() };
        30 Accept { who: who(), call: pick() };
        9 Reject { who: who(), call: pick() };
        2 End { who: who(), call: pick() };
        6 Leave { who: who(), call: pick() };
        12 Invite { who: who(), call: pick(), whom: whom() };
        4 Remove { who: who(), call: pick(), whom: whom() };
        6 Gone { who: who(), call: pick(), whom: whom() };
        18 Signal { who: who(), call: pick(), whom: whom(), kind: kind() };
        9 ShareScreen { who: who(), call: pick(), on: any() };
        12 UploadMedia { who: who(), call: pick(), upload: upload() };
        8 LookAtState { who: who(), call: pick() };
        5 ReadSignals { who: who(), call: pick(), after: any() };
        5 ReadMedia { who: who(), call: pick(), whom: whom(), after: any() };
        2 LookAtActive { who: somebody(), channel: channel() };
        2 LookAtIncoming { who: somebody() };
        2 LookAtHistory { who: somebody() };
        2 LookAtMissed { who: somebody() };
        3 SeeMissed { who: somebody() };
        9 StartShare { who: who(), channel: channel() };
        4 StopShare { who: who(), share: pick() };
        9 ShareSignal { who: who(), share: pick(), whom: whom(), kind: kind() };
        7 UploadShareMedia { who: who(), share: pick(), upload: upload() };
        3 ReadShareSignals { who: who(), share: pick(), after: any() };
        3 ReadShareMedia { who: who(), share: pick(), after: any() };
        2 LookAtShares { who: somebody(), channel: channel() };
    };
    let admin = actions! {
        6 JoinChannel { whom: 0..=NOBODY, channel: private() };
        4 LeaveChannel { whom: 0..=NOBODY, channel: private() };
        6 AddUser { whom: somebody() };
        4 RemoveUser { whom: somebody() };
        3 SetCallState { call: pick(), state: call_state() };
        12 SetParticipantState { call: pick(), whom: whom(), state: state_or_none() };
        4 PutParticipant { call: pick(), whom: whom(), state: participant_state() };
        4 SetSharer { call: pick(), whom: somebody_or_none() };
        2 MoveAnswer { call: pick() };
        2 ChangeInitiator { call: pick() };
        2 ReplaceCall { call: pick() };
        2 ChangeRole { call: pick(), whom: whom() };
        2 DeleteCall { call: pick() };
        2 DeleteParticipant { call: pick(), whom: whom() };
        3 SetShareState { share: pick(), active: any() };
        2 DeleteShare { share: pick() };
        16 Wait { units: prop_oneof![9 => 1..=4u8, 4 => 5..=7u8, 1 => Just(8u8)] };
    };
    prop_oneof![280 => people, 80 => admin, 1 => Just(Action::Restart)]
}

/// A sequence of so many steps.
pub fn sequence(steps: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<Step>> {
    let door = prop_oneof![Just(Door::Sql), Just(Door::Http)];
    proptest::collection::vec((door, action()).prop_map(|(door, action)| Step { door, action }), steps)
}
