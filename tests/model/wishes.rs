//! What a step is at each door: the request, the statement, and what the model makes of it.

use minimost_calls::statements;
use rusqlite::types::Value as SqlValue;
use serde_json::{Value, json};

use crate::calls::Envelope;
use crate::doors::{Body, Call as SqlCall, call};
use crate::looks::Look;
use crate::model::{MIME, PEOPLE, Person, Verdict};
use crate::steps::{Action, Kind, Pick, Upload};
use crate::world::World;

/// A step with names and ids in it.
#[derive(Default)]
pub struct Wish {
    /// Who acts, if it is not the admin.
    pub who: Option<Person>,
    /// A path to post to, and the body.
    pub request: Option<(String, Body)>,
    pub statement: Option<SqlCall>,
    /// It is a question.
    pub look: Option<Look>,
    pub extra: Extra,
}

/// What is needed to make sense of the answer.
#[derive(Default)]
pub struct Extra {
    /// The id that a new call or share has if SQL makes it.
    pub id: String,
    /// The call or share.
    pub number: Option<usize>,
    /// An init segment is uploaded.
    pub is_init: bool,
}

fn text(value: &str) -> SqlValue {
    SqlValue::Text(value.to_owned())
}

impl Kind {
    fn envelope(self, limit: usize) -> Envelope {
        match self {
            Self::Offer => Envelope { kind: "offer", payload: json!({ "type": "offer", "sdp": "v=0" }) },
            Self::Candidate => Envelope { kind: "ice_candidate", payload: json!("candidate:1") },
            Self::Misspelt => Envelope { kind: "offre", payload: json!(1) },
            Self::Null => Envelope { kind: "answer", payload: Value::Null },
            Self::TooLarge => Envelope { kind: "answer", payload: json!("x".repeat(limit)) },
        }
    }
}

impl Upload {
    fn is_init(self) -> bool {
        matches!(self, Self::Init | Self::InitWithoutMime)
    }

    fn has_mime(self) -> bool {
        matches!(self, Self::Init)
    }

    fn data(self, limit: usize) -> Vec<u8> {
        match self {
            Self::Init | Self::InitWithoutMime => b"init".to_vec(),
            Self::Chunk(length) => vec![length; usize::from(length)],
            Self::Empty => vec![],
            Self::TooLarge => vec![0; limit + 1],
        }
    }
}

impl World<'_> {
    /// Something that `who` does on a call: by the route `what`, or by this statement.
    fn on_call(&self, who: Person, pick: Pick, (what, body): (&str, Body), make: impl Fn(&str) -> SqlCall) -> Wish {
        let (number, id) = self.picked_call(pick);
        Wish {
            who: Some(who),
            request: Some((format!("/calls/{id}/{what}"), body)),
            statement: Some(make(&id)),
            extra: Extra { number, ..Extra::default() },
            ..Wish::default()
        }
    }

    /// The same on a share.
    fn on_share(&self, who: Person, pick: Pick, (what, body): (&str, Body), make: impl Fn(&str) -> SqlCall) -> Wish {
        let (number, id) = self.picked_share(pick);
        Wish {
            who: Some(who),
            request: Some((format!("/screenshare/{id}/{what}"), body)),
            statement: Some(make(&id)),
            extra: Extra { number, ..Extra::default() },
            ..Wish::default()
        }
    }

    /// What an admin types.
    fn typed(sql: &str, parameters: impl IntoIterator<Item = SqlValue>) -> Wish {
        Wish { statement: Some((sql.to_owned(), parameters.into_iter().collect())), ..Wish::default() }
    }

    fn private_id(&self, channel: usize) -> SqlValue {
        let id = self.model.channels[channel].name.rsplit(':').next().and_then(|id| id.parse().ok());
        SqlValue::Integer(id.unwrap_or_default())
    }

    /// The people in a step for whom it may well go right.
    pub fn fit(&self, action: Action) -> Action {
        use crate::model::ParticipantState::{Accepted, Pending};
        let model = &self.model;
        let everybody = 0..PEOPLE;
        if let Some(share) = action.share().and_then(|pick| model.share(self.picked_share(pick).0)) {
            let members: Vec<Person> = everybody.filter(|who| model.is_member(share.channel, *who)).collect();
            return match action {
                Action::StopShare { .. } | Action::UploadShareMedia { .. } => action.fit(&[share.sharer], &members),
                Action::ShareSignal { .. } => action.fit(&[share.sharer], &members),
                _ => action.fit(&members, &members),
            };
        }
        if let Some(call) = action.call().and_then(|pick| model.call(self.picked_call(pick).0)) {
            let that =
                |wanted: &dyn Fn(Person) -> bool| everybody.clone().filter(|who| wanted(*who)).collect::<Vec<_>>();
            let on_it = that(&|who| call.is_on_it(who));
            let asked = that(&|who| call.state_of(who) == Some(Pending));
            let there = that(&|who| matches!(call.state_of(who), Some(Pending | Accepted)));
            let known = that(&|who| call.state_of(who).is_some());
            let others = that(&|who| !matches!(call.state_of(who), Some(Pending | Accepted)));
            let strangers = that(&|who| call.state_of(who).is_none());
            return match action {
                Action::Accept { .. } if asked.is_empty() => action.fit(&others, &others),
                Action::Accept { .. } | Action::Reject { .. } => action.fit(&asked, &asked),
                Action::Invite { .. } => action.fit(&on_it, &others),
                Action::Remove { .. } => action.fit(&[call.initiator], &there),
                Action::Leave { .. } | Action::Signal { .. } => action.fit(&on_it, &there),
                Action::PutParticipant { .. } => action.fit(&on_it, &strangers),
                Action::SetParticipantState { .. } | Action::ChangeRole { .. } => action.fit(&on_it, &known),
                Action::ReadSignals { .. } | Action::ReadMedia { .. } => action.fit(&there, &on_it),
                _ => action.fit(&on_it, &on_it),
            };
        }
        let nobody: Vec<Person> = vec![];
        action.fit(&nobody, &nobody)
    }

    /// What a step means now.
    pub fn wish(&mut self, action: Action) -> Wish {
        let named = |whom: Person| Body::Json(json!({ "username": self.model.names[whom] }));
        let name = |who: Person| text(&self.model.names[who]);
        let asking = |look: Look| Wish { who: Some(look.who()), look: Some(look), ..Wish::default() };
        match action {
            Action::Initiate { who, channel } => {
                let spelled = self.model.channels[channel].spelled.clone();
                let (name, id) = (name(who), self.new_id());
                let parameters = [text(&id), text(&spelled), name];
                Wish {
                    who: Some(who),
                    request: Some(("/calls/initiate".to_owned(), Body::Json(json!({ "channel": spelled })))),
                    statement: Some(call(&statements::INITIATE_CALL, parameters)),
                    extra: Extra { id, ..Extra::default() },
                    ..Wish::default()
                }
            }
            Action::Accept { who, call: pick } => self.on_call(who, pick, ("accept", Body::Empty), |id| {
                call(&statements::ACCEPT_CALL, [text(id), name(who)])
            }),
            Action::Reject { who, call: pick } => self.on_call(who, pick, ("reject", Body::Empty), |id| {
                call(&statements::REJECT_CALL, [text(id), name(who)])
            }),
            Action::End { who, call: pick } => {
                self.on_call(who, pick, ("end", Body::Empty), |id| call(&statements::END_CALL, [text(id), name(who)]))
            }
            Action::Leave { who, call: pick } => self
                .on_call(who, pick, ("leave", Body::Empty), |id| call(&statements::LEAVE_CALL, [text(id), name(who)])),
            Action::Invite { who, call: pick, whom } => self.on_call(who, pick, ("invite", named(whom)), |id| {
                call(&statements::INVITE_TO_CALL, [text(id), name(whom), name(who)])
            }),
            Action::Remove { who, call: pick, whom } => self.on_call(who, pick, ("remove", named(whom)), |id| {
                call(&statements::REMOVE_FROM_CALL, [text(id), name(whom), name(who)])
            }),
            Action::Gone { who, call: pick, whom } => self.on_call(who, pick, ("gone", named(whom)), |id| {
                call(&statements::REPORT_GONE, [text(id), name(whom), name(who)])
            }),
            Action::Signal { who, call: pick, whom, kind } => {
                let (body, [to, kind, payload]) = self.signal(whom, kind);
                self.on_call(who, pick, ("signal", body), |id| {
                    let parameters = [text(id), name(who), to.clone(), kind.clone(), payload.clone()];
                    call(&statements::SEND_CALL_SIGNAL, parameters)
                })
            }
            Action::ShareScreen { who, call: pick, on } => {
                let body = Body::Json(json!({ "on": on }));
                self.on_call(who, pick, ("screenshare", body), |id| {
                    call(&statements::SHARE_SCREEN_IN_CALL, [text(id), name(who), SqlValue::Integer(on.into())])
                })
            }
            Action::UploadMedia { who, call: pick, upload } => {
                let (what, body, [init, mime, data]) = self.media(upload);
                let mut wish = self.on_call(who, pick, (what, body), |id| {
                    let parameters = [text(id), name(who), init.clone(), mime.clone(), data.clone()];
                    call(&statements::UPLOAD_CALL_MEDIA, parameters)
                });
                wish.extra.is_init = upload.is_init();
                wish
            }
            Action::LookAtState { who, call } => asking(Look::State(who, self.picked_call(call).0)),
            Action::ReadSignals { who, call, after } => asking(Look::CallSignals(who, self.picked_call(call).0, after)),
            Action::ReadMedia { who, call, whom, after } => {
                asking(Look::CallMedia(who, self.picked_call(call).0, whom, after))
            }
            Action::LookAtActive { who, channel } => asking(Look::Active(who, channel)),
            Action::LookAtIncoming { who } => asking(Look::Incoming(who)),
            Action::LookAtHistory { who } => asking(Look::History(who)),
            Action::LookAtMissed { who } => asking(Look::Missed(who)),
            Action::ReadShareSignals { who, share, after } => {
                asking(Look::ShareSignals(who, self.picked_share(share).0, after))
            }
            Action::ReadShareMedia { who, share, after } => {
                asking(Look::ShareMedia(who, self.picked_share(share).0, after))
            }
            Action::LookAtShares { who, channel } => asking(Look::Shares(who, channel)),
            Action::SeeMissed { who } => Wish {
                who: Some(who),
                request: Some(("/calls/missed/seen".to_owned(), Body::Json(json!({})))),
                statement: Some(call(&statements::MISSED_CALLS_SEEN, [name(who), SqlValue::Null])),
                ..Wish::default()
            },
            Action::StartShare { who, channel } => {
                let spelled = self.model.channels[channel].spelled.clone();
                let (name, id) = (name(who), self.new_id());
                let parameters = [text(&id), text(&spelled), name];
                Wish {
                    who: Some(who),
                    request: Some(("/screenshare/start".to_owned(), Body::Json(json!({ "channel": spelled })))),
                    statement: Some(call(&statements::START_SCREENSHARE, parameters)),
                    extra: Extra { id, ..Extra::default() },
                    ..Wish::default()
                }
            }
            Action::StopShare { who, share } => self.on_share(who, share, ("stop", Body::Empty), |id| {
                call(&statements::STOP_SCREENSHARE, [text(id), name(who)])
            }),
            Action::ShareSignal { who, share, whom, kind } => {
                let (body, [to, kind, payload]) = self.signal(whom, kind);
                self.on_share(who, share, ("signal", body), |id| {
                    let parameters = [text(id), name(who), to.clone(), kind.clone(), payload.clone()];
                    call(&statements::SEND_SHARE_SIGNAL, parameters)
                })
            }
            Action::UploadShareMedia { who, share, upload } => {
                let (what, body, [init, mime, data]) = self.media(upload);
                let mut wish = self.on_share(who, share, (what, body), |id| {
                    let parameters = [text(id), name(who), init.clone(), mime.clone(), data.clone()];
                    call(&statements::UPLOAD_SHARE_MEDIA, parameters)
                });
                wish.extra.is_init = upload.is_init();
                wish
            }
            action => self.wish_of_admin(action),
        }
    }

    fn wish_of_admin(&self, action: Action) -> Wish {
        let name = |who: Person| text(&self.model.names[who]);
        let call_id = |pick| text(&self.picked_call(pick).1);
        let share_id = |pick| text(&self.picked_share(pick).1);
        match action {
            Action::JoinChannel { whom, channel } => {
                Self::typed(statements::JOIN_CHANNEL.sql(), [self.private_id(channel), name(whom)])
            }
            Action::LeaveChannel { whom, channel } => {
                Self::typed(statements::LEAVE_CHANNEL.sql(), [self.private_id(channel), name(whom)])
            }
            Action::AddUser { whom } => Self::typed(statements::ADD_USER.sql(), [name(whom), text("x")]),
            Action::RemoveUser { whom } => Self::typed(statements::REMOVE_USER.sql(), [name(whom)]),
            Action::SetCallState { call, state } => Self::typed(
                "UPDATE calls SET state = ?2 WHERE call_id = ?1",
                [call_id(call), text(state.map_or("paused", |state| state.name()))],
            ),
            Action::SetParticipantState { call, whom, state } => Self::typed(
                "UPDATE call_participants SET state = ?3 WHERE call_id = ?1 AND username = ?2",
                [call_id(call), name(whom), text(state.map_or("away", |state| state.name()))],
            ),
            Action::PutParticipant { call, whom, state } => Self::typed(
                "INSERT INTO call_participants (call_id, username, role, state) VALUES (?1, ?2, 'participant', ?3)",
                [call_id(call), name(whom), text(state.name())],
            ),
            Action::SetSharer { call, whom } => Self::typed(
                "UPDATE calls SET screenshare_user = ?2 WHERE call_id = ?1",
                [call_id(call), whom.map_or(SqlValue::Null, name)],
            ),
            Action::MoveAnswer { call } => {
                Self::typed("UPDATE calls SET answered_ts = 1.5 WHERE call_id = ?1", [call_id(call)])
            }
            Action::ChangeInitiator { call } => {
                Self::typed("UPDATE calls SET initiator = 'mallory' WHERE call_id = ?1", [call_id(call)])
            }
            Action::ReplaceCall { call } => Self::typed(
                "INSERT OR REPLACE INTO calls (call_id, channel, initiator, state, started_ts) \
                 SELECT ?1, ?2, ?3, 'ended', ts FROM now",
                [call_id(call), text(&self.model.channels[0].name), name(0)],
            ),
            Action::ChangeRole { call, whom } => Self::typed(
                "UPDATE call_participants SET role = CASE role WHEN 'initiator' THEN 'participant' ELSE 'initiator' END \
                 WHERE call_id = ?1 AND username = ?2",
                [call_id(call), name(whom)],
            ),
            Action::DeleteCall { call } => Self::typed("DELETE FROM calls WHERE call_id = ?1", [call_id(call)]),
            Action::DeleteParticipant { call, whom } => Self::typed(
                "DELETE FROM call_participants WHERE call_id = ?1 AND username = ?2",
                [call_id(call), name(whom)],
            ),
            Action::SetShareState { share, active } => Self::typed(
                "UPDATE screenshares SET state = ?2 WHERE share_id = ?1",
                [share_id(share), text(if active { "active" } else { "ended" })],
            ),
            Action::DeleteShare { share } => {
                Self::typed("DELETE FROM screenshares WHERE share_id = ?1", [share_id(share)])
            }
            _ => unreachable!("{action:?} is no admin's"),
        }
    }

    fn signal(&self, to: Person, kind: Kind) -> (Body, [SqlValue; 3]) {
        let Envelope { kind, payload } = kind.envelope(self.model.limits.signal_max_bytes);
        let to = &self.model.names[to];
        let parameters = [text(to), text(kind), text(&payload.to_string())];
        (Body::Json(json!({ "to": to, "type": kind, "payload": payload })), parameters)
    }

    fn media(&self, upload: Upload) -> (&'static str, Body, [SqlValue; 3]) {
        let data = upload.data(self.model.limits.media_chunk_max_bytes);
        let what = match upload {
            Upload::Init => "media?init=1&mime=video/webm",
            Upload::InitWithoutMime => "media?init=1",
            _ => "media",
        };
        let mime = if upload.has_mime() { text(MIME) } else { SqlValue::Null };
        let parameters = [SqlValue::Integer(upload.is_init().into()), mime, SqlValue::Blob(data.clone())];
        (what, Body::Bytes(data), parameters)
    }

    /// What the model makes of it.
    pub fn apply(&mut self, action: Action) -> Verdict {
        let (chunk_limit, signal_limit) = (self.model.limits.media_chunk_max_bytes, self.model.limits.signal_max_bytes);
        // Which call is meant depends on the state before.
        let call = action.call().and_then(|pick| self.picked_call(pick).0);
        let share = action.share().and_then(|pick| self.picked_share(pick).0);
        let model = &mut self.model;
        match action {
            Action::Initiate { who, channel } => model.initiate(who, channel),
            Action::Accept { who, .. } => model.accept(who, call),
            Action::Reject { who, .. } => model.reject(who, call),
            Action::End { who, .. } => model.end(who, call),
            Action::Leave { who, .. } => model.leave(who, call),
            Action::Invite { who, whom, .. } => model.invite(who, call, whom),
            Action::Remove { who, whom, .. } => model.remove(who, call, whom),
            Action::Gone { who, whom, .. } => model.gone(who, call, whom),
            Action::Signal { who, whom, kind, .. } => model.signal(who, call, whom, kind.envelope(signal_limit)),
            Action::ShareScreen { who, on, .. } => model.share_screen(who, call, on),
            Action::UploadMedia { who, upload, .. } => {
                model.upload(who, call, (upload.is_init(), upload.has_mime()), upload.data(chunk_limit))
            }
            Action::SeeMissed { who } => model.see_missed(who),
            Action::StartShare { who, channel } => model.start_share(who, channel),
            Action::StopShare { who, .. } => model.stop_share(who, share),
            Action::ShareSignal { who, whom, kind, .. } => {
                model.share_signal(who, share, whom, kind.envelope(signal_limit))
            }
            Action::UploadShareMedia { who, upload, .. } => {
                model.share_upload(who, share, (upload.is_init(), upload.has_mime()), upload.data(chunk_limit))
            }
            Action::JoinChannel { whom, channel } => model.join(channel, whom),
            Action::LeaveChannel { whom, channel } => model.quit(channel, whom),
            Action::AddUser { whom } => model.add_user(whom),
            Action::RemoveUser { whom } => model.remove_user(whom),
            Action::SetCallState { state, .. } => model.set_call_state(call, state),
            Action::SetParticipantState { whom, state, .. } => model.set_participant_state(call, whom, state),
            Action::PutParticipant { whom, state, .. } => model.put_participant(call, whom, state),
            Action::SetSharer { whom, .. } => model.set_sharer(call, whom),
            Action::MoveAnswer { .. } => model.move_answer(call),
            Action::ChangeInitiator { .. } => model.tamper(call, "call_identity_is_fixed"),
            Action::ReplaceCall { .. } => model.replace_call(call),
            Action::ChangeRole { whom, .. } => {
                let takes_part = model.call(call).is_some_and(|call| call.state_of(whom).is_some());
                if takes_part { model.tamper(call, "participant_identity_is_fixed") } else { Verdict::done() }
            }
            Action::DeleteCall { .. } => model.delete_call(call),
            Action::DeleteParticipant { whom, .. } => model.delete_participant(call, whom),
            Action::SetShareState { active, .. } => model.set_share_state(share, active),
            Action::DeleteShare { .. } => model.delete_share(share),
            _ => unreachable!("{action:?} is no deed"),
        }
    }
}
