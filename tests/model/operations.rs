//! An action for each transport: the request, the statement, and the model's effect.

use minimost_calls::statements::{self, Statement};
use rusqlite::types::Value as SqlValue;
use serde_json::{Value, json};

use crate::calls::SignalBody;
use crate::model::{MIME, PEOPLE, Person, Verdict};
use crate::queries::Query;
use crate::steps::{Action, Nth, SignalKind, UploadKind};
use crate::transports::{Body, BoundStatement, bind};
use crate::world::{Clock, World};

/// An action with names and ids.
#[derive(Default)]
pub struct Operation {
    /// `None` is the admin.
    pub actor: Option<Person>,
    /// Path and body of a POST.
    pub request: Option<(String, Body)>,
    pub statement: Option<BoundStatement>,
    /// Set if the action only reads.
    pub query: Option<Query>,
    pub context: ReplyContext,
}

/// Knowledge that is needed to check the reply.
#[derive(Default)]
pub struct ReplyContext {
    /// The id of a new call or share, if SQL makes it.
    pub id: String,
    /// Index of the call or share.
    pub number: Option<usize>,
    /// Whether the upload is an init segment.
    pub is_init: bool,
}

fn text(value: &str) -> SqlValue {
    SqlValue::Text(value.to_owned())
}

impl SignalKind {
    fn signal_body(self, limit: usize) -> SignalBody {
        match self {
            Self::Offer => SignalBody { kind: "offer", payload: json!({ "type": "offer", "sdp": "v=0" }) },
            Self::Candidate => SignalBody { kind: "ice_candidate", payload: json!("candidate:1") },
            Self::Misspelt => SignalBody { kind: "offre", payload: json!(1) },
            Self::Null => SignalBody { kind: "answer", payload: Value::Null },
            Self::TooLarge => SignalBody { kind: "answer", payload: json!("x".repeat(limit)) },
        }
    }
}

impl UploadKind {
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
    /// An action on a call.
    fn call_operation(
        &self,
        actor: Person,
        nth: Nth,
        route: (&str, Body),
        make: impl Fn(&str) -> BoundStatement,
    ) -> Operation {
        Self::operation_on("calls", self.resolve_call(nth), actor, route, make)
    }

    /// An action on a share.
    fn share_operation(
        &self,
        actor: Person,
        nth: Nth,
        route: (&str, Body),
        make: impl Fn(&str) -> BoundStatement,
    ) -> Operation {
        Self::operation_on("screenshare", self.resolve_share(nth), actor, route, make)
    }

    /// A POST to `/root/ID/action`, or the statement that `make` returns for the id.
    fn operation_on(
        root: &str,
        (number, id): (Option<usize>, String),
        actor: Person,
        (action, body): (&str, Body),
        make: impl Fn(&str) -> BoundStatement,
    ) -> Operation {
        Operation {
            actor: Some(actor),
            request: Some((format!("/{root}/{id}/{action}"), body)),
            statement: Some(make(&id)),
            context: ReplyContext { number, ..ReplyContext::default() },
            ..Operation::default()
        }
    }

    /// A new call or share in a channel.
    fn channel_operation(&mut self, actor: Person, channel: usize, path: &str, statement: &Statement) -> Operation {
        let id = self.new_id();
        let requested_name = &self.model.channels[channel].requested_name;
        let parameters = [text(&id), text(requested_name), text(&self.model.names[actor])];
        Operation {
            actor: Some(actor),
            request: Some((path.to_owned(), Body::Json(json!({ "channel": requested_name })))),
            statement: Some(bind(statement, parameters)),
            context: ReplyContext { id, ..ReplyContext::default() },
            ..Operation::default()
        }
    }

    /// A statement of the server, after the last stream that names this call or share has closed.
    fn stream_closes(&self, actor: Person, id: &str) -> Operation {
        let statement = bind(&statements::NOTE_CLOSED_STREAM, [text(&self.model.names[actor]), text(id)]);
        Operation { statement: Some(statement), ..Operation::default() }
    }

    /// The seconds of `SetQuiet`. On the machine's clock a wait moves rows, but not the calendar.
    fn quiet_seconds(&self, action: Action) -> f64 {
        match action {
            Action::SetQuiet { seconds, .. } if self.clock == Clock::Pinned || seconds == 0.0 => seconds,
            _ => 1e7,
        }
    }

    /// A statement of the admin.
    fn admin_statement(sql: &str, parameters: impl IntoIterator<Item = SqlValue>) -> Operation {
        Operation { statement: Some((sql.to_owned(), parameters.into_iter().collect())), ..Operation::default() }
    }

    /// Replaces placeholders by people for whom the action can succeed.
    pub fn choose_people(&self, action: Action) -> Action {
        use crate::model::ParticipantState::{Accepted, Pending};
        let model = &self.model;
        let everybody = 0..PEOPLE;
        if let Some(share) = action.share().and_then(|nth| model.share(self.resolve_share(nth).0)) {
            let members: Vec<Person> = everybody.filter(|actor| model.is_member(share.channel, *actor)).collect();
            return match action {
                Action::StopShare { .. }
                | Action::UploadShareMedia { .. }
                | Action::CloseShareStream { .. }
                | Action::ReadShareSignals { .. }
                | Action::ShareSignal { .. } => action.with_people(&[share.sharer], &members),
                _ => action.with_people(&members, &members),
            };
        }
        if let Some(call) = action.call().and_then(|nth| model.call(self.resolve_call(nth).0)) {
            let those =
                |wanted: &dyn Fn(Person) -> bool| everybody.clone().filter(|actor| wanted(*actor)).collect::<Vec<_>>();
            let accepted = those(&|actor| call.has_accepted(actor));
            let pending = those(&|actor| call.state_of(actor) == Some(Pending));
            let present = those(&|actor| matches!(call.state_of(actor), Some(Pending | Accepted)));
            let participants = those(&|actor| call.state_of(actor).is_some());
            let others = those(&|actor| !matches!(call.state_of(actor), Some(Pending | Accepted)));
            let outsiders = those(&|actor| call.state_of(actor).is_none());
            return match action {
                Action::Accept { .. } if pending.is_empty() => action.with_people(&others, &others),
                Action::Accept { .. } | Action::Reject { .. } => action.with_people(&pending, &pending),
                Action::Invite { .. } => action.with_people(&accepted, &others),
                Action::Remove { .. } => action.with_people(&[call.initiator], &present),
                Action::Leave { .. } | Action::Signal { .. } => action.with_people(&accepted, &present),
                Action::InsertParticipant { .. } => action.with_people(&accepted, &outsiders),
                Action::SetParticipantState { .. } | Action::ChangeRole { .. } => {
                    action.with_people(&accepted, &participants)
                }
                Action::ReadSignals { .. } | Action::ReadMedia { .. } => action.with_people(&present, &accepted),
                _ => action.with_people(&accepted, &accepted),
            };
        }
        let nobody: Vec<Person> = vec![];
        action.with_people(&nobody, &nobody)
    }

    /// The operation of an action at this point of the sequence.
    #[expect(clippy::too_many_lines, reason = "one arm an action")]
    pub fn operation(&mut self, action: Action) -> Operation {
        let named = |target: Person| Body::Json(json!({ "username": self.model.names[target] }));
        let name = |actor: Person| text(&self.model.names[actor]);
        let read = |query: Query| Operation { actor: Some(query.actor()), query: Some(query), ..Operation::default() };
        match action {
            Action::Initiate { actor, channel } => {
                self.channel_operation(actor, channel, "/calls/initiate", &statements::INITIATE_CALL)
            }
            Action::Accept { actor, call: nth } => self.call_operation(actor, nth, ("accept", Body::Empty), |id| {
                bind(&statements::ACCEPT_CALL, [text(id), name(actor)])
            }),
            Action::Reject { actor, call: nth } => self.call_operation(actor, nth, ("reject", Body::Empty), |id| {
                bind(&statements::REJECT_CALL, [text(id), name(actor)])
            }),
            Action::End { actor, call: nth } => self.call_operation(actor, nth, ("end", Body::Empty), |id| {
                bind(&statements::END_CALL, [text(id), name(actor)])
            }),
            Action::Leave { actor, call: nth } => self.call_operation(actor, nth, ("leave", Body::Empty), |id| {
                bind(&statements::LEAVE_CALL, [text(id), name(actor)])
            }),
            Action::Invite { actor, call: nth, target } => {
                self.call_operation(actor, nth, ("invite", named(target)), |id| {
                    bind(&statements::INVITE_TO_CALL, [text(id), name(target), name(actor)])
                })
            }
            Action::Remove { actor, call: nth, target } => {
                self.call_operation(actor, nth, ("remove", named(target)), |id| {
                    bind(&statements::REMOVE_FROM_CALL, [text(id), name(target), name(actor)])
                })
            }
            Action::ReportGone { actor, call: nth, target } => {
                self.call_operation(actor, nth, ("gone", named(target)), |id| {
                    bind(&statements::REPORT_GONE, [text(id), name(target), name(actor)])
                })
            }
            Action::Signal { actor, call: nth, target, kind } => {
                let (body, [to, kind, payload]) = self.signal(target, kind);
                self.call_operation(actor, nth, ("signal", body), |id| {
                    let parameters = [text(id), name(actor), to.clone(), kind.clone(), payload.clone()];
                    bind(&statements::SEND_CALL_SIGNAL, parameters)
                })
            }
            Action::ShareScreen { actor, call: nth, on } => {
                let body = Body::Json(json!({ "on": on }));
                self.call_operation(actor, nth, ("screenshare", body), |id| {
                    bind(&statements::SHARE_SCREEN_IN_CALL, [text(id), name(actor), SqlValue::Integer(on.into())])
                })
            }
            Action::UploadMedia { actor, call: nth, upload } => {
                let (what, body, [init, mime, data]) = self.media(upload);
                let mut operation = self.call_operation(actor, nth, (what, body), |id| {
                    let parameters = [text(id), name(actor), init.clone(), mime.clone(), data.clone()];
                    bind(&statements::UPLOAD_CALL_MEDIA, parameters)
                });
                operation.context.is_init = upload.is_init();
                operation
            }
            Action::CloseStream { actor, call } => self.stream_closes(actor, &self.resolve_call(call).1),
            Action::CloseShareStream { actor, share } => self.stream_closes(actor, &self.resolve_share(share).1),
            Action::ReadState { actor, call } => read(Query::State(actor, self.resolve_call(call).0)),
            Action::ReadSignals { actor, call, after } => {
                read(Query::CallSignals(actor, self.resolve_call(call).0, after))
            }
            Action::ReadMedia { actor, call, target, after } => {
                read(Query::CallMedia(actor, self.resolve_call(call).0, target, after))
            }
            Action::ReadActiveCall { actor, channel } => read(Query::Active(actor, channel)),
            Action::ReadIncoming { actor } => read(Query::Incoming(actor)),
            Action::ReadHistory { actor } => read(Query::History(actor)),
            Action::ReadMissed { actor } => read(Query::Missed(actor)),
            Action::ReadShareSignals { actor, share, after } => {
                read(Query::ShareSignals(actor, self.resolve_share(share).0, after))
            }
            Action::ReadShareMedia { actor, share, after } => {
                read(Query::ShareMedia(actor, self.resolve_share(share).0, after))
            }
            Action::ReadShares { actor, channel } => read(Query::Shares(actor, channel)),
            Action::MarkMissedSeen { actor } => Operation {
                actor: Some(actor),
                request: Some(("/calls/missed/seen".to_owned(), Body::Json(json!({})))),
                statement: Some(bind(
                    &statements::MARK_MISSED_CALLS_SEEN,
                    [name(actor), SqlValue::Null, SqlValue::Null],
                )),
                ..Operation::default()
            },
            Action::SetQuiet { actor, .. } => {
                let seconds = self.quiet_seconds(action);
                Operation {
                    actor: Some(actor),
                    request: Some(("/quiet".to_owned(), Body::Json(json!({ "seconds": seconds })))),
                    statement: Some(bind(&statements::SET_QUIET, [name(actor), SqlValue::Real(seconds)])),
                    ..Operation::default()
                }
            }
            Action::StartShare { actor, channel } => {
                self.channel_operation(actor, channel, "/screenshare/start", &statements::START_SCREENSHARE)
            }
            Action::StopShare { actor, share } => self.share_operation(actor, share, ("stop", Body::Empty), |id| {
                bind(&statements::STOP_SCREENSHARE, [text(id), name(actor)])
            }),
            Action::ShareSignal { actor, share, target, kind } => {
                let (body, [to, kind, payload]) = self.signal(target, kind);
                self.share_operation(actor, share, ("signal", body), |id| {
                    let parameters = [text(id), name(actor), to.clone(), kind.clone(), payload.clone()];
                    bind(&statements::SEND_SHARE_SIGNAL, parameters)
                })
            }
            Action::UploadShareMedia { actor, share, upload } => {
                let (what, body, [init, mime, data]) = self.media(upload);
                let mut operation = self.share_operation(actor, share, (what, body), |id| {
                    let parameters = [text(id), name(actor), init.clone(), mime.clone(), data.clone()];
                    bind(&statements::UPLOAD_SHARE_MEDIA, parameters)
                });
                operation.context.is_init = upload.is_init();
                operation
            }
            action => self.admin_operation(action),
        }
    }

    fn admin_operation(&self, action: Action) -> Operation {
        let name = |actor: Person| text(&self.model.names[actor]);
        let call_id = |nth| text(&self.resolve_call(nth).1);
        let share_id = |nth| text(&self.resolve_share(nth).1);
        match action {
            Action::JoinChannel { target, channel } => Self::admin_statement(
                statements::JOIN_CHANNEL.sql(),
                [text(&self.model.channels[channel].name), name(target)],
            ),
            Action::LeaveChannel { target, channel } => Self::admin_statement(
                statements::LEAVE_CHANNEL.sql(),
                [text(&self.model.channels[channel].name), name(target)],
            ),
            Action::AddUser { target } => Self::admin_statement(statements::ADD_USER.sql(), [name(target), text("x")]),
            Action::RemoveUser { target } => Self::admin_statement(statements::REMOVE_USER.sql(), [name(target)]),
            Action::SetCallState { call, state } => Self::admin_statement(
                "UPDATE calls SET state = ?2 WHERE call_id = ?1",
                [call_id(call), text(state.map_or("paused", |state| state.name()))],
            ),
            Action::SetParticipantState { call, target, state } => Self::admin_statement(
                "UPDATE call_participants SET state = ?3 WHERE call_id = ?1 AND username = ?2",
                [call_id(call), name(target), text(state.map_or("away", |state| state.name()))],
            ),
            Action::InsertParticipant { call, target, state } => Self::admin_statement(
                "INSERT INTO call_participants (call_id, username, role, state) VALUES (?1, ?2, 'participant', ?3)",
                [call_id(call), name(target), text(state.name())],
            ),
            Action::SetSharer { call, target } => Self::admin_statement(
                "UPDATE calls SET screenshare_user = ?2 WHERE call_id = ?1",
                [call_id(call), target.map_or(SqlValue::Null, name)],
            ),
            Action::SetAnsweredTs { call } => {
                Self::admin_statement("UPDATE calls SET answered_ts = 1.5 WHERE call_id = ?1", [call_id(call)])
            }
            Action::ChangeInitiator { call } => {
                Self::admin_statement("UPDATE calls SET initiator = 'mallory' WHERE call_id = ?1", [call_id(call)])
            }
            Action::ReplaceCall { call } => Self::admin_statement(
                "INSERT OR REPLACE INTO calls (call_id, channel, initiator, state, started_ts) \
                 SELECT ?1, ?2, ?3, 'ended', ts FROM now",
                [call_id(call), text(&self.model.channels[0].name), name(0)],
            ),
            Action::ChangeRole { call, target } => Self::admin_statement(
                "UPDATE call_participants SET role = CASE role WHEN 'initiator' THEN 'participant' ELSE 'initiator' END \
                 WHERE call_id = ?1 AND username = ?2",
                [call_id(call), name(target)],
            ),
            Action::DeleteCall { call } => {
                Self::admin_statement("DELETE FROM calls WHERE call_id = ?1", [call_id(call)])
            }
            Action::DeleteParticipant { call, target } => Self::admin_statement(
                "DELETE FROM call_participants WHERE call_id = ?1 AND username = ?2",
                [call_id(call), name(target)],
            ),
            Action::SetShareState { share, active } => Self::admin_statement(
                "UPDATE screenshares SET state = ?2 WHERE share_id = ?1",
                [share_id(share), text(if active { "active" } else { "ended" })],
            ),
            Action::DeleteShare { share } => {
                Self::admin_statement("DELETE FROM screenshares WHERE share_id = ?1", [share_id(share)])
            }
            _ => unreachable!("{action:?} is not the admin's"),
        }
    }

    fn signal(&self, to: Person, kind: SignalKind) -> (Body, [SqlValue; 3]) {
        let SignalBody { kind, payload } = kind.signal_body(self.model.limits.signal_max_bytes);
        let to = &self.model.names[to];
        let parameters = [text(to), text(kind), text(&payload.to_string())];
        (Body::Json(json!({ "to": to, "type": kind, "payload": payload })), parameters)
    }

    fn media(&self, upload: UploadKind) -> (&'static str, Body, [SqlValue; 3]) {
        let data = upload.data(self.model.limits.media_chunk_max_bytes);
        let what = match upload {
            UploadKind::Init => "media?init=1&mime=video/webm",
            UploadKind::InitWithoutMime => "media?init=1",
            _ => "media",
        };
        let mime = if upload.has_mime() { text(MIME) } else { SqlValue::Null };
        let parameters = [SqlValue::Integer(upload.is_init().into()), mime, SqlValue::Blob(data.clone())];
        (what, Body::Bytes(data), parameters)
    }

    /// Applies an action to the model.
    pub fn apply(&mut self, action: Action) -> Verdict {
        let (chunk_limit, signal_limit) = (self.model.limits.media_chunk_max_bytes, self.model.limits.signal_max_bytes);
        // The index is resolved before the action changes the order.
        let call = action.call().and_then(|nth| self.resolve_call(nth).0);
        let share = action.share().and_then(|nth| self.resolve_share(nth).0);
        let quiet_seconds = self.quiet_seconds(action);
        let model = &mut self.model;
        match action {
            Action::Initiate { actor, channel } => model.initiate(actor, channel),
            Action::Accept { actor, .. } => model.accept(actor, call),
            Action::Reject { actor, .. } => model.reject(actor, call),
            Action::End { actor, .. } => model.end(actor, call),
            Action::Leave { actor, .. } => model.leave(actor, call),
            Action::Invite { actor, target, .. } => model.invite(actor, call, target),
            Action::Remove { actor, target, .. } => model.remove(actor, call, target),
            Action::ReportGone { actor, target, .. } => model.report_gone(actor, call, target),
            Action::Signal { actor, target, kind, .. } => {
                model.signal(actor, call, target, kind.signal_body(signal_limit))
            }
            Action::ShareScreen { actor, on, .. } => model.share_screen(actor, call, on),
            Action::UploadMedia { actor, upload, .. } => {
                model.upload(actor, call, (upload.is_init(), upload.has_mime()), upload.data(chunk_limit))
            }
            Action::CloseStream { actor, .. } => model.close_stream(actor, call),
            Action::CloseShareStream { actor, .. } => model.close_share_stream(actor, share),
            Action::MarkMissedSeen { actor } => model.mark_missed_seen(actor),
            Action::SetQuiet { actor, .. } => model.set_quiet(actor, quiet_seconds),
            Action::StartShare { actor, channel } => model.start_share(actor, channel),
            Action::StopShare { actor, .. } => model.stop_share(actor, share),
            Action::ShareSignal { actor, target, kind, .. } => {
                model.share_signal(actor, share, target, kind.signal_body(signal_limit))
            }
            Action::UploadShareMedia { actor, upload, .. } => {
                model.share_upload(actor, share, (upload.is_init(), upload.has_mime()), upload.data(chunk_limit))
            }
            Action::JoinChannel { target, channel } => model.join_channel(channel, target),
            Action::LeaveChannel { target, channel } => model.remove_member(channel, target),
            Action::AddUser { target } => model.add_user(target),
            Action::RemoveUser { target } => model.remove_user(target),
            Action::SetCallState { state, .. } => model.set_call_state(call, state),
            Action::SetParticipantState { target, state, .. } => model.set_participant_state(call, target, state),
            Action::InsertParticipant { target, state, .. } => model.insert_participant(call, target, state),
            Action::SetSharer { target, .. } => model.set_sharer(call, target),
            Action::SetAnsweredTs { .. } => model.set_answered_ts(call),
            Action::ChangeInitiator { .. } => model.change_immutable(call, "call_identity_is_fixed"),
            Action::ReplaceCall { .. } => model.replace_call(call),
            Action::ChangeRole { target, .. } => {
                let takes_part = model.call(call).is_some_and(|call| call.state_of(target).is_some());
                if takes_part { model.change_immutable(call, "participant_identity_is_fixed") } else { Verdict::done() }
            }
            Action::DeleteCall { .. } => model.delete_call(call),
            Action::DeleteParticipant { target, .. } => model.delete_participant(call, target),
            Action::SetShareState { active, .. } => model.set_share_state(share, active),
            Action::DeleteShare { .. } => model.delete_share(share),
            _ => unreachable!("{action:?} only reads"),
        }
    }
}
