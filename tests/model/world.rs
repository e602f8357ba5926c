//! A sequence under way: the model, the real thing, and the comparison of the two after every step.

use std::collections::BTreeSet;

use minimost_calls::statements;
use rusqlite::Connection;
use rusqlite::types::Value as SqlValue;
use serde_json::{Value, json};

use crate::compare::{agree, unauthorized};
use crate::doors::{Body, Call as SqlCall, Http, Outcome, call, run, spelled};
use crate::looks::Look;
use crate::model::{Channel, Limits, Members, Model, NOBODY, PEOPLE, Person, Verdict};
use crate::steps::{Action, Door, Pick, Step, UNKNOWN};
use crate::wishes::{Extra, Wish};

/// How time passes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// The clock is pinned, and stepped to each instant at which something is due.
    Pinned,
    /// A server pins the clock at the machine's time, so rows are moved into the past.
    Aged,
}

/// Seconds that pass in a step of the pinned clock.
const PINNED_WAITS: [f64; 8] = [1.0, 5.0, 12.0, 13.0, 29.0, 31.0, 61.0, 200.0];

/// Rows are aged in two parts: an invitation's time is over in the first, if it is, and somebody's unseen in the second. The
/// limits of the round lie so far from any sum of these that a slow machine does no harm.
const AGED_WAITS: [f64; 2] = [600.0, 700.0];

pub struct World<'a> {
    pub model: Model,
    pub sql: &'a Connection,
    pub http: Option<&'a mut Http>,
    pub time: Time,
    pub tokens: Vec<String>,
    prefix: String,
    made: usize,
    pub steps: usize,
    /// What was done, as a fixture.
    script: Vec<String>,
}

impl<'a> World<'a> {
    /// People and channels of their own, on a file that other sequences may have used before.
    pub fn new(number: usize, sql: &'a Connection, http: Option<&'a mut Http>, limits: Limits) -> Self {
        let prefix = format!("s{number}");
        let mut names: Vec<String> = "abcde".chars().map(|letter| format!("{prefix}{letter}")).collect();
        names.push(format!("{prefix}nobody"));
        let time = if http.is_some() { Time::Aged } else { Time::Pinned };
        let exists = std::array::from_fn(|person| person != NOBODY);
        let mut world = Self {
            model: Model { now: 1_000_000.0, limits, names, exists, channels: vec![], calls: vec![], shares: vec![] },
            sql,
            http,
            time,
            tokens: vec![],
            prefix,
            made: 0,
            steps: 0,
            script: vec![],
        };
        world.set_up();
        world
    }

    fn set_up(&mut self) {
        if self.time == Time::Pinned {
            self.do_sql(&call(&statements::PIN_CLOCK, [SqlValue::Real(self.model.now)])).unwrap();
        }
        for name in self.model.names.clone().into_iter().take(PEOPLE) {
            self.do_sql(&call(&statements::ADD_USER, [SqlValue::Text(name.clone()), SqlValue::Text("x".into())]))
                .unwrap();
            self.tokens.push(if self.http.is_some() { Http::log_in(self.sql, &name) } else { String::new() });
        }
        let create = ("INSERT INTO private_channels (name, created_ts) VALUES ('a channel', 0)".to_owned(), vec![]);
        self.do_sql(&create).unwrap();
        let id = self.sql.last_insert_rowid();
        for name in self.model.names.clone().into_iter().take(3) {
            self.do_sql(&call(&statements::JOIN_CHANNEL, [SqlValue::Integer(id), SqlValue::Text(name)])).unwrap();
        }
        let named = |people: &[Person]| {
            let names: Vec<&str> = people.iter().map(|who| self.model.names[*who].as_str()).collect();
            format!("dm:{}", names.join(":"))
        };
        let dm = |spelled: &[Person]| {
            let members: BTreeSet<Person> = spelled.iter().copied().collect();
            let sorted: Vec<Person> = members.iter().copied().collect();
            Channel { spelled: named(spelled), name: named(&sorted), members: Members::Dm(members) }
        };
        let other = |name: &str, members| Channel { spelled: name.to_owned(), name: name.to_owned(), members };
        self.model.channels = vec![
            dm(&[2, 0, 1, 0]),
            dm(&[1, 0]),
            other(&format!("private:{id}"), Members::Private(BTreeSet::from([0, 1, 2]))),
            other("general", Members::Public),
            dm(&[0]),
            dm(&[NOBODY, 0]),
            other("private:987654321", Members::Unknown),
        ];
    }

    pub fn name(&self, who: Person) -> String {
        self.model.names[who].clone()
    }

    /// An id that nothing has.
    pub fn new_id(&mut self) -> String {
        self.made += 1;
        format!("{}-{:03}", self.prefix, self.made)
    }

    /// The number and the id of what `pick` means: the live ones come first, then the newest.
    fn picked(pick: Pick, all: &[(bool, &str)]) -> (Option<usize>, String) {
        if pick == UNKNOWN || all.is_empty() {
            return (None, "nowhere".to_owned());
        }
        let mut order: Vec<usize> = (0..all.len()).rev().collect();
        order.sort_by_key(|number| !all[*number].0);
        let number = order[usize::from(pick) % all.len()];
        (Some(number), all[number].1.to_owned())
    }

    pub fn picked_call(&self, pick: Pick) -> (Option<usize>, String) {
        let all: Vec<_> = self.model.calls.iter().map(|call| (call.is_live(), call.id.as_str())).collect();
        Self::picked(pick, &all)
    }

    pub fn picked_share(&self, pick: Pick) -> (Option<usize>, String) {
        let all: Vec<_> = self.model.shares.iter().map(|share| (share.is_active, share.id.as_str())).collect();
        Self::picked(pick, &all)
    }

    /// Runs a statement and notes it as a fixture has it.
    fn do_sql(&mut self, statement: &SqlCall) -> Outcome {
        let outcome = run(self.sql, statement);
        self.note(statement, &outcome);
        outcome
    }

    fn note(&mut self, statement: &SqlCall, outcome: &Outcome) {
        let expectation = match outcome {
            Ok(_) => "statement ok".to_owned(),
            Err((_, code)) => format!("statement error ^{code}$"),
        };
        self.script.push(format!("{expectation}\n{}\n", spelled(statement)));
    }

    /// What was done so far, in the form of a fixture.
    pub fn script(&self) -> String {
        self.script.join("\n")
    }

    /// Takes a step; answers whether it was done or refused, or `None` if there was nobody to take it.
    pub fn take(&mut self, step: Step) -> Result<Option<bool>, String> {
        self.steps += 1;
        self.model.now += if self.time == Time::Pinned { 1.0 } else { 0.001 };
        if self.time == Time::Pinned {
            self.advance(self.model.now)?;
        }
        let done = match step.action {
            Action::Wait { units } => {
                self.wait(units)?;
                Some(true)
            }
            Action::Restart => {
                self.restart();
                Some(true)
            }
            _ => self.act(step)?,
        };
        self.sweep();
        self.compare()?;
        Ok(done)
    }

    fn sweep(&mut self) {
        match self.time {
            Time::Pinned => run(self.sql, &call(&statements::PIN_CLOCK, [SqlValue::Real(self.model.now)])),
            Time::Aged => run(self.sql, &("INSERT INTO sweep (ts) SELECT ts FROM now".to_owned(), vec![])),
        }
        .unwrap_or_else(|refusal| panic!("sweeping was refused: {refusal:?}"));
        self.model.sweep();
    }

    fn wait(&mut self, units: u8) -> Result<(), String> {
        match self.time {
            Time::Pinned => self.advance(self.model.now + PINNED_WAITS[usize::from(units - 1) % PINNED_WAITS.len()]),
            Time::Aged => {
                (0..units.min(3)).try_for_each(|_| AGED_WAITS.iter().try_for_each(|seconds| self.age(*seconds)))
            }
        }
    }

    /// Steps the pinned clock to `target` by way of every instant at which something is due, and the one before.
    fn advance(&mut self, target: f64) -> Result<(), String> {
        while let Some(due) = self.model.next_due().filter(|due| *due <= target) {
            self.pin(due - 1.0 / 16.0);
            let rings: Vec<Look> = (0..PEOPLE).map(Look::Incoming).collect();
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
        let pin = call(&statements::PIN_CLOCK, [SqlValue::Real(ts)]);
        self.do_sql(&pin).unwrap_or_else(|refusal| panic!("pinning the clock was refused: {refusal:?}"));
    }

    /// Moves what is live so many seconds into the past. What has timed out has done so for readers at once.
    fn age(&mut self, seconds: f64) -> Result<(), String> {
        let live: Vec<String> =
            self.model.calls.iter().filter(|call| call.is_live()).map(|call| format!("'{}'", call.id)).collect();
        let live = live.join(", ");
        self.sql
            .execute_batch(&format!(
                "BEGIN IMMEDIATE;
                 UPDATE calls SET started_ts = started_ts - {seconds} WHERE call_id IN ({live});
                 UPDATE call_participants SET invited_ts = invited_ts - {seconds}
                 WHERE call_id IN ({live}) AND state = 'pending';
                 UPDATE call_participants SET last_seen_ts = last_seen_ts - {seconds}
                 WHERE call_id IN ({live}) AND state = 'accepted';
                 COMMIT"
            ))
            .map_err(|error| format!("rows could not be aged: {error}"))?;
        self.script.push(format!("statement ok\nUPDATE clock SET pinned_ts = pinned_ts + {seconds:?}\n"));
        self.model.now += seconds;
        self.model.sweep();
        if seconds == AGED_WAITS[0] {
            let looks: Vec<Look> =
                (0..PEOPLE).flat_map(|who| [Look::Incoming(who), Look::Active(who, 0), Look::Active(who, 2)]).collect();
            self.compare_by_http(&looks)?;
        }
        self.sweep();
        self.compare()
    }

    fn restart(&mut self) {
        match &mut self.http {
            Some(http) => http.restart(),
            None => self.do_sql(&call(&statements::START_SERVER, [])).map(drop).unwrap(),
        }
        self.model.restart();
    }

    fn act(&mut self, step: Step) -> Result<Option<bool>, String> {
        let step = Step { action: self.fit(step.action), ..step };
        let Wish { who, request, statement, look, extra } = self.wish(step.action);
        let by_http = request.is_some() && self.http.is_some() && (step.door == Door::Http || statement.is_none());
        let is_known = who.is_none_or(|who| self.model.exists[who]);
        if !is_known && (self.http.is_none() || (request.is_none() && look.is_none())) {
            return Ok(None); // Nobody is there to do that, and in SQL nobody asks for a token.
        }
        if let Some(look) = look {
            return self.look(step, look).map(Some);
        }
        let door = if by_http || !is_known { Door::Http } else { Door::Sql };
        let (outcome, body) = match (door, &mut self.http, request) {
            (Door::Http, Some(http), Some((path, body))) => {
                let who = who.unwrap();
                http.post((&self.model.names[who], &self.tokens[who]), &path, body)
            }
            _ => (run(self.sql, statement.as_ref().unwrap()), Value::Null),
        };
        if let Some(statement) = statement {
            self.note(&statement, &outcome);
        }
        let verdict = if is_known { self.apply(step.action) } else { unauthorized() };
        let done = agree(&verdict, &outcome, door).map_err(|why| format!("{step:?}: {why}"))?;
        if done {
            self.learn(step.action, extra, &body, door).map_err(|why| format!("{step:?}: {why}"))?;
        } else if body["code"] == "channel_has_live_call" {
            let Action::Initiate { channel, .. } = step.action else { unreachable!() };
            let live = self.model.live_call(channel).map(|call| self.model.calls[call].id.as_str());
            if body["call_id"].as_str() != live {
                return Err(format!("{step:?}: {body}, but the live call is {live:?}"));
            }
        }
        Ok(Some(done))
    }

    /// What the answer has that the model cannot know before, and what must be in it.
    fn learn(&mut self, action: Action, extra: Extra, body: &Value, door: Door) -> Result<(), String> {
        let model = &mut self.model;
        let newest = |table| -> i64 {
            let query = format!("SELECT max(id) FROM {table}");
            self.sql.query_row(&query, [], |row| row.get(0)).unwrap()
        };
        let mut expected = Value::Null;
        match action {
            Action::Initiate { .. } => {
                let call = model.calls.last_mut().unwrap();
                call.id = body["call_id"].as_str().map_or(extra.id, str::to_owned);
                let names: Vec<&String> = call.participants.keys().map(|who| &model.names[*who]).collect();
                expected = json!({ "participants": names });
            }
            Action::StartShare { .. } => {
                model.shares.last_mut().unwrap().id = body["share_id"].as_str().map_or(extra.id, str::to_owned);
            }
            Action::Accept { who, .. } => {
                let call = &model.calls[extra.number.unwrap()];
                let signals = call.signals.iter().filter(|signal| signal.to == who).map(|signal| signal.id);
                let last = signals.max().unwrap_or(0);
                expected = json!({ "participants": model.on_call(call), "last_signal_id": last });
            }
            Action::Signal { .. } => {
                model.calls[extra.number.unwrap()].signals.last_mut().unwrap().id = newest("call_signals");
            }
            Action::ShareSignal { .. } => {
                model.shares[extra.number.unwrap()].signals.last_mut().unwrap().id = newest("call_signals");
            }
            Action::UploadMedia { who, .. } if !extra.is_init => {
                let stream = model.calls[extra.number.unwrap()].media.get_mut(&who).unwrap();
                stream.chunks.last_mut().unwrap().id = newest("call_media");
                expected = json!({ "seq": newest("call_media") });
            }
            Action::UploadShareMedia { .. } if !extra.is_init => {
                let stream = &mut model.shares[extra.number.unwrap()].media;
                stream.chunks.last_mut().unwrap().id = newest("share_media");
                expected = json!({ "seq": newest("share_media") });
            }
            Action::UploadMedia { .. } | Action::UploadShareMedia { .. } => {
                expected = json!({ "seq": -1 });
            }
            Action::AddUser { whom } if self.http.is_some() => {
                self.tokens[whom] = Http::log_in(self.sql, &model.names[whom]);
            }
            _ => {}
        }
        agree(&Verdict::Done(expected), &Ok(body.clone()), door).map(drop)
    }

    /// A question that is a step of its own. Whoever looks at a call's state is thereby seen.
    fn look(&mut self, step: Step, look: Look) -> Result<bool, String> {
        let noted = match (step.action, look) {
            (Action::LookAtState { .. }, Look::State(who, call)) => Some((who, call)),
            _ => None,
        };
        let is_known = self.model.exists[look.who()];
        let verdict = if is_known { self.model.sees(look) } else { unauthorized() };
        let by_http = self.http.is_some() && (step.door == Door::Http || !is_known);
        if by_http {
            self.compare_by_http(&[look])?;
            if let (Some(http), Some(_), true) = (&self.http, noted, is_known) {
                // The note goes the way of all writes, in their order, so it is there when a later one is.
                let who = look.who();
                let flush = Body::Json(json!({ "up_to": 0.0 }));
                http.post((&self.model.names[who], &self.tokens[who]), "/calls/missed/seen", flush).0.unwrap();
            }
        } else {
            self.compare_by_sql(&[look])?;
            if let Some((who, call_number)) = noted {
                let id = call_number.map_or("nowhere", |number| &self.model.calls[number].id);
                let seen = call(&statements::SEEN, [SqlValue::Text(self.name(who)), SqlValue::Text(id.to_owned())]);
                self.do_sql(&seen).unwrap();
            }
        }
        if let (Some((who, call)), true) = (noted, is_known) {
            self.model.look_at_state(who, call);
        }
        Ok(matches!(verdict, Verdict::Done(_)))
    }

    /// Ends what is left, and takes all of it out of the file.
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
