//! One sequence: runs its steps on the model and the server, and compares them after each step.

use std::collections::{BTreeMap, BTreeSet};

use minimost_calls::statements;
use rusqlite::Connection;
use rusqlite::types::Value as SqlValue;
use serde_json::{Value, json};

use crate::compare::{check_outcome, unauthorized};
use crate::model::{Channel, Limits, Members, Model, PEOPLE, Person, UNKNOWN_PERSON, Verdict};
use crate::operations::{Operation, ReplyContext};
use crate::queries::Query;
use crate::steps::{Action, Nth, Step, Transport, UNKNOWN_ID};
use crate::support::three_members::Recording;
use crate::transports::{Body, BoundStatement, Http, Outcome, bind, literal_sql, run};

/// The clock of a round.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The pinned clock of SQL, which stops at each instant at which something is due.
    Pinned,
    /// The machine's clock, which the server pins. To let time pass, rows are moved into the past.
    Machine,
}

/// Seconds of a wait on the pinned clock.
const PINNED_WAITS: [f64; 8] = [1.0, 5.0, 12.0, 13.0, 29.0, 31.0, 61.0, 200.0];

/// Seconds of a wait on the machine's clock, in two parts: an invitation expires in the first, presence in the second. The
/// limits of the round are far from any sum of these.
const AGED_WAITS: [f64; 2] = [600.0, 700.0];

pub struct World<'a> {
    pub model: Model,
    pub sql: &'a Connection,
    pub http: Option<&'a mut Http>,
    pub clock: Clock,
    pub tokens: Vec<String>,
    prefix: String,
    ids_made: usize,
    pub steps: usize,
    /// The statements so far, as records of a fixture.
    script: Vec<String>,
    /// At a pinned clock, what the log of a cluster would have.
    pub recording: Recording,
}

impl<'a> World<'a> {
    /// Adds people and channels to the file, under names that no other sequence uses.
    pub fn new(
        number: usize,
        sql: &'a Connection,
        http: Option<&'a mut Http>,
        limits: Limits,
        recording: Recording,
    ) -> Self {
        let prefix = format!("s{number}");
        let mut names: Vec<String> = "abcde".chars().map(|letter| format!("{prefix}{letter}")).collect();
        names.push(format!("{prefix}nobody"));
        let clock = if http.is_some() { Clock::Machine } else { Clock::Pinned };
        let exists = std::array::from_fn(|person| person != UNKNOWN_PERSON);
        let mut world = Self {
            model: Model {
                now: 1_000_000.0,
                limits,
                names,
                exists,
                numbers: std::array::from_fn(|person| person + 1),
                newest_number: PEOPLE,
                quiet_until: [0.0; PEOPLE + 1],
                channels: vec![],
                calls: vec![],
                shares: vec![],
                requests: BTreeMap::new(),
                pairs: BTreeMap::new(),
            },
            sql,
            http,
            clock,
            tokens: vec![],
            prefix,
            ids_made: 0,
            steps: 0,
            script: vec![],
            recording,
        };
        world.set_up();
        world
    }

    fn set_up(&mut self) {
        if self.clock == Clock::Pinned {
            self.do_sql(&bind(&statements::PIN_CLOCK, [SqlValue::Real(self.model.now)])).unwrap();
        }
        for name in self.model.names.clone().into_iter().take(PEOPLE) {
            self.do_sql(&bind(&statements::ADD_USER, [SqlValue::Text(name.clone()), SqlValue::Text("x".into())]))
                .unwrap();
            let display_name = SqlValue::Text(format!("{name} the First"));
            self.do_sql(&bind(&statements::SET_DISPLAY_NAME, [SqlValue::Text(name.clone()), display_name])).unwrap();
            self.tokens.push(if self.http.is_some() { Http::log_in(self.sql, &name) } else { String::new() });
        }
        let create = ("INSERT INTO private_channels (name, created_ts) VALUES ('a channel', 0)".to_owned(), vec![]);
        self.do_sql(&create).unwrap();
        let id = self.sql.last_insert_rowid();
        for name in self.model.names.clone().into_iter().take(3) {
            let channel = SqlValue::Text(format!("private:{id}"));
            self.do_sql(&bind(&statements::JOIN_CHANNEL, [channel, SqlValue::Text(name)])).unwrap();
        }
        let named = |people: &[Person]| {
            let names: Vec<&str> = people.iter().map(|actor| self.model.names[*actor].as_str()).collect();
            format!("dm:{}", names.join(":"))
        };
        let dm = |people: &[Person]| {
            let members: BTreeSet<Person> = people.iter().copied().collect();
            let sorted: Vec<Person> = members.iter().copied().collect();
            Channel { requested_name: named(people), name: named(&sorted), members: Members::Dm(members) }
        };
        let other = |name: &str, members| Channel { requested_name: name.to_owned(), name: name.to_owned(), members };
        self.model.channels = vec![
            dm(&[2, 0, 1, 0]),
            dm(&[1, 0]),
            other(&format!("private:{id}"), Members::Private(BTreeSet::from([0, 1, 2]))),
            other("general", Members::Public),
            dm(&[0]),
            dm(&[UNKNOWN_PERSON, 0]),
            other("private:987654321", Members::Unknown),
        ];
    }

    pub fn name(&self, actor: Person) -> String {
        self.model.names[actor].clone()
    }

    /// A new id.
    pub fn new_id(&mut self) -> String {
        self.ids_made += 1;
        format!("{}-{:03}", self.prefix, self.ids_made)
    }

    /// Index and id of the call or share that `nth` means: live ones first, then the newest.
    fn resolve(nth: Nth, all: &[(bool, &str)]) -> (Option<usize>, String) {
        if nth == UNKNOWN_ID || all.is_empty() {
            return (None, "nowhere".to_owned());
        }
        let mut order: Vec<usize> = (0..all.len()).rev().collect();
        order.sort_by_key(|number| !all[*number].0);
        let number = order[usize::from(nth) % all.len()];
        (Some(number), all[number].1.to_owned())
    }

    pub fn resolve_call(&self, nth: Nth) -> (Option<usize>, String) {
        let all: Vec<_> = self.model.calls.iter().map(|call| (call.is_live(), call.id.as_str())).collect();
        Self::resolve(nth, &all)
    }

    pub fn resolve_share(&self, nth: Nth) -> (Option<usize>, String) {
        let all: Vec<_> = self.model.shares.iter().map(|share| (share.is_active, share.id.as_str())).collect();
        Self::resolve(nth, &all)
    }

    /// Runs a statement and records it for the fixture.
    fn do_sql(&mut self, statement: &BoundStatement) -> Outcome {
        let outcome = run(self.sql, statement);
        self.record(statement, &outcome);
        outcome
    }

    fn record(&mut self, statement: &BoundStatement, outcome: &Outcome) {
        if self.clock == Clock::Pinned {
            let refusal = outcome.as_ref().err().map(|(_, code)| code.clone());
            self.recording.add(self.sql, &literal_sql(statement), refusal);
        }
        let expectation = match outcome {
            Ok(_) => "statement ok".to_owned(),
            Err((_, code)) => format!("statement error ^{code}$"),
        };
        self.script.push(format!("{expectation}\n{}\n", literal_sql(statement)));
    }

    /// The statements so far, as a fixture.
    pub fn as_fixture(&self) -> String {
        self.script.join("\n")
    }

    /// Runs a step; returns whether it was done, or `None` if its actor does not exist.
    pub fn run_step(&mut self, step: Step) -> Result<Option<bool>, String> {
        self.steps += 1;
        self.model.now += if self.clock == Clock::Pinned { 1.0 } else { 0.001 };
        if self.clock == Clock::Pinned {
            self.advance(self.model.now)?;
        }
        let done = match step.action {
            Action::Wait { units } => {
                self.wait(units)?;
                Some(true)
            }
            Action::SetClock { seconds } => {
                if self.clock == Clock::Pinned {
                    let step = bind(&statements::STEP_CLOCK, [SqlValue::Real(seconds)]);
                    self.do_sql(&step).unwrap_or_else(|refusal| panic!("a step was refused: {refusal:?}"));
                    self.model.set_clock(seconds);
                }
                Some(true)
            }
            Action::Restart => {
                self.restart();
                Some(true)
            }
            _ => self.run_action(step)?,
        };
        self.sweep();
        self.compare()?;
        Ok(done)
    }

    fn sweep(&mut self) {
        match self.clock {
            Clock::Pinned => run(self.sql, &bind(&statements::PIN_CLOCK, [SqlValue::Real(self.model.now)])),
            Clock::Machine => run(self.sql, &("INSERT INTO do_sweep DEFAULT VALUES".to_owned(), vec![])),
        }
        .unwrap_or_else(|refusal| panic!("sweeping was refused: {refusal:?}"));
        self.model.sweep();
    }

    fn wait(&mut self, units: u8) -> Result<(), String> {
        match self.clock {
            Clock::Pinned => self.advance(self.model.now + PINNED_WAITS[usize::from(units - 1) % PINNED_WAITS.len()]),
            Clock::Machine => {
                (0..units.min(3)).try_for_each(|_| AGED_WAITS.iter().try_for_each(|seconds| self.age_rows(*seconds)))
            }
        }
    }

    /// Moves the pinned clock to `target`, and stops at, and just before, each instant at which something is due.
    fn advance(&mut self, target: f64) -> Result<(), String> {
        while let Some(due) = self.model.next_due().filter(|due| *due <= target) {
            self.pin(due - 1.0 / 16.0);
            let rings: Vec<Query> = (0..PEOPLE).map(Query::Incoming).collect();
            self.compare_by_sql(&rings)?;
            self.pin(due);
            self.model.sweep();
            self.compare()?;
        }
        self.pin(target);
        self.model.sweep();
        Ok(())
    }

    fn pin(&mut self, ts: f64) {
        self.model.now = ts;
        let pin = bind(&statements::PIN_CLOCK, [SqlValue::Real(ts)]);
        self.do_sql(&pin).unwrap_or_else(|refusal| panic!("pinning the clock was refused: {refusal:?}"));
    }

    /// Moves live rows into the past, and compares what readers see before the next sweep.
    fn age_rows(&mut self, seconds: f64) -> Result<(), String> {
        let live: Vec<String> =
            self.model.calls.iter().filter(|call| call.is_live()).map(|call| format!("'{}'", call.id)).collect();
        let live = live.join(", ");
        self.sql
            .execute_batch(&format!(
                "BEGIN IMMEDIATE;
                 UPDATE calls SET started_ts = started_ts - {seconds} WHERE call_id IN ({live});
                 UPDATE call_participants SET invited_ts = invited_ts - {seconds}
                 WHERE call_id IN ({live}) AND state = 'pending';
                 UPDATE call_participants
                 SET last_seen_ts = last_seen_ts - {seconds}, leaves_ts = leaves_ts - {seconds}
                 WHERE call_id IN ({live}) AND state = 'accepted';
                 UPDATE screenshares SET last_seen_ts = last_seen_ts - {seconds}, leaves_ts = leaves_ts - {seconds}
                 WHERE state = 'active';
                 COMMIT"
            ))
            .map_err(|error| format!("rows could not be aged: {error}"))?;
        self.script.push(format!("statement ok\nUPDATE clock SET pinned_ts = pinned_ts + {seconds:?}\n"));
        self.model.now += seconds;
        self.model.sweep();
        if seconds == AGED_WAITS[0] {
            let queries: Vec<Query> = (0..PEOPLE)
                .flat_map(|actor| [Query::Incoming(actor), Query::Active(actor, 0), Query::Active(actor, 2)])
                .collect();
            self.compare_by_http(&queries)?;
        }
        self.sweep();
        self.compare()
    }

    fn restart(&mut self) {
        match &mut self.http {
            Some(http) => http.restart(),
            None => self.do_sql(&bind(&statements::START_SERVER, [])).map(drop).unwrap(),
        }
        self.model.restart();
    }

    fn run_action(&mut self, step: Step) -> Result<Option<bool>, String> {
        let step = Step { action: self.choose_people(step.action), ..step };
        let Operation { actor, request, statement, query, context } = self.operation(step.action);
        let by_http =
            request.is_some() && self.http.is_some() && (step.transport == Transport::Http || statement.is_none());
        let is_known = actor.is_none_or(|actor| self.model.exists[actor]);
        if !is_known && (self.http.is_none() || (request.is_none() && query.is_none())) {
            return Ok(None); // The actor was removed, and SQL has no token that could be refused.
        }
        if let Some(query) = query {
            return self.query(step, query).map(Some);
        }
        let transport = if by_http || !is_known { Transport::Http } else { Transport::Sql };
        let (outcome, body) = match (transport, &mut self.http, request) {
            (Transport::Http, Some(http), Some((path, body))) => {
                let actor = actor.unwrap();
                http.post((&self.model.names[actor], &self.tokens[actor]), &path, body)
            }
            _ => (run(self.sql, statement.as_ref().unwrap()), Value::Null),
        };
        if let Some(statement) = statement {
            self.record(&statement, &outcome);
        }
        let verdict = if is_known { self.apply(step.action) } else { unauthorized() };
        let done = check_outcome(&verdict, &outcome, transport).map_err(|why| format!("{step:?}: {why}"))?;
        if done {
            self.record_reply(step.action, context, &body, transport).map_err(|why| format!("{step:?}: {why}"))?;
        } else if body["code"] == "channel_has_live_call" {
            let Action::Initiate { channel, .. } = step.action else { unreachable!() };
            let live = self.model.live_call(channel).map(|call| self.model.calls[call].id.as_str());
            if body["call_id"].as_str() != live {
                return Err(format!("{step:?}: {body}, but the live call is {live:?}"));
            }
        }
        Ok(Some(done))
    }

    /// Takes ids from the reply into the model, and checks the members that the model predicts.
    fn record_reply(
        &mut self,
        action: Action,
        context: ReplyContext,
        body: &Value,
        transport: Transport,
    ) -> Result<(), String> {
        let model = &mut self.model;
        let newest = |table| -> i64 {
            let query = format!("SELECT max(id) FROM {table}");
            self.sql.query_row(&query, [], |row| row.get(0)).unwrap()
        };
        let mut expected = Value::Null;
        match action {
            Action::Initiate { .. } => {
                let call = model.calls.last_mut().unwrap();
                call.id = body["call_id"].as_str().map_or(context.id, str::to_owned);
                let names: Vec<&String> = call.participants.keys().map(|actor| &model.names[*actor]).collect();
                expected = json!({ "participants": names });
            }
            Action::StartShare { .. } => {
                model.shares.last_mut().unwrap().id = body["share_id"].as_str().map_or(context.id, str::to_owned);
            }
            Action::Accept { actor, .. } => {
                let call = &model.calls[context.number.unwrap()];
                let signals = call.signals.iter().filter(|signal| signal.to == actor).map(|signal| signal.id);
                let last = signals.max().unwrap_or(0);
                expected = json!({ "participants": model.accepted_names(call), "last_signal_id": last });
            }
            Action::Signal { .. } => {
                model.calls[context.number.unwrap()].signals.last_mut().unwrap().id = newest("call_signals");
            }
            Action::ShareSignal { .. } => {
                model.shares[context.number.unwrap()].signals.last_mut().unwrap().id = newest("call_signals");
            }
            Action::UploadMedia { actor, .. } if !context.is_init => {
                let stream = model.calls[context.number.unwrap()].media.get_mut(&actor).unwrap();
                stream.chunks.last_mut().unwrap().id = newest("call_media");
                expected = json!({ "seq": newest("call_media") });
            }
            Action::UploadShareMedia { .. } if !context.is_init => {
                let stream = &mut model.shares[context.number.unwrap()].media;
                stream.chunks.last_mut().unwrap().id = newest("share_media");
                expected = json!({ "seq": newest("share_media") });
            }
            Action::UploadMedia { .. } | Action::UploadShareMedia { .. } => {
                expected = json!({ "seq": -1 });
            }
            Action::AddUser { target } if self.http.is_some() => {
                self.tokens[target] = Http::log_in(self.sql, &model.names[target]);
            }
            _ => {}
        }
        check_outcome(&Verdict::Done(expected), &Ok(body.clone()), transport).map(drop)
    }

    /// Runs a query as a step. Reading a call's state, or the signals of one's own share, notes presence.
    fn query(&mut self, step: Step, query: Query) -> Result<bool, String> {
        let noted = match (step.action, query) {
            (Action::ReadState { .. }, Query::State(actor, call)) => {
                Some((actor, call.map_or("nowhere", |number| &self.model.calls[number].id).to_owned()))
            }
            (Action::ReadShareSignals { .. }, Query::ShareSignals(actor, share, _)) => {
                Some((actor, share.map_or("nowhere", |number| &self.model.shares[number].id).to_owned()))
            }
            _ => None,
        };
        let is_known = self.model.exists[query.actor()];
        let verdict = if is_known { self.model.reply_to(query) } else { unauthorized() };
        let by_http = self.http.is_some() && (step.transport == Transport::Http || !is_known);
        if by_http {
            self.compare_by_http(&[query])?;
            if let (Some(http), Some(_), true) = (&self.http, &noted, is_known) {
                // Presence is written in order with other writes, so this write shows that it is stored.
                let actor = query.actor();
                let flush = Body::Json(json!({ "up_to": 0.0 }));
                http.post((&self.model.names[actor], &self.tokens[actor]), "/calls/missed/seen", flush).0.unwrap();
            }
        } else {
            self.compare_by_sql(&[query])?;
            if let Some((actor, id)) = noted {
                let parameters = [SqlValue::Text(self.name(actor)), SqlValue::Text(id), SqlValue::Null];
                self.do_sql(&bind(&statements::NOTE_PRESENCE, parameters)).unwrap();
            }
        }
        match (step.action, query) {
            (Action::ReadState { .. }, Query::State(actor, call)) if is_known => self.model.note_presence(actor, call),
            (Action::ReadShareSignals { .. }, Query::ShareSignals(actor, share, _)) if is_known => {
                self.model.note_share_presence(actor, share);
            }
            _ => {}
        }
        Ok(matches!(verdict, Verdict::Done(_)))
    }

    /// Ends the live calls and shares of this sequence, and deletes its rows.
    pub fn clear(&mut self) {
        let ids = |ids: Vec<&str>| ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
        let calls = ids(self.model.calls.iter().map(|call| call.id.as_str()).collect());
        let shares = ids(self.model.shares.iter().map(|share| share.id.as_str()).collect());
        let people = ids(self.model.names.iter().map(String::as_str).collect());
        self.sql
            .execute_batch(&format!(
                "UPDATE calls SET state = 'ended' WHERE call_id IN ({calls}) AND state IN ('ringing', 'active');
                 UPDATE screenshares SET state = 'ended' WHERE share_id IN ({shares}) AND state = 'active';
                 DELETE FROM calls WHERE call_id IN ({calls});
                 DELETE FROM screenshares WHERE share_id IN ({shares});
                 DELETE FROM users WHERE username IN ({people});"
            ))
            .unwrap();
    }
}
