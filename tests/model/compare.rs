//! Comparison of the model with the server, over both transports.

use minimost_calls::statements;
use serde_json::Value;

use crate::model::{PEOPLE, Verdict};
use crate::queries::Query;
use crate::steps::Transport;
use crate::transports::{Outcome, SqlQueries, texts};
use crate::world::{Clock, World};

impl World<'_> {
    /// Compares the replies to the queries of all people.
    pub fn compare(&mut self) -> Result<(), String> {
        self.model.assert_invariants();
        let mut queries: Vec<Query> = (0..PEOPLE)
            .flat_map(|actor| [Query::Incoming(actor), Query::History(actor), Query::Missed(actor)])
            .collect();
        let turn = self.steps % PEOPLE;
        for call in 0..self.model.calls.len() {
            // Each step compares a finished call for one person only.
            let is_live = self.model.calls[call].is_live();
            for actor in (0..PEOPLE).filter(|actor| is_live || *actor == turn) {
                queries.push(Query::State(actor, Some(call)));
                queries.push(Query::CallSignals(actor, Some(call), false));
                if is_live {
                    queries.push(Query::CallMedia(turn, Some(call), actor, false));
                }
            }
        }
        for channel in 0..self.model.channels.len() {
            for actor in (0..PEOPLE).filter(|actor| channel < 3 || *actor == turn) {
                queries.push(Query::Active(actor, channel));
            }
            queries.push(Query::Shares(turn, channel));
        }
        for share in 0..self.model.shares.len() {
            let is_active = self.model.shares[share].is_active;
            for actor in (0..PEOPLE).filter(|actor| is_active || *actor == turn) {
                queries.push(Query::ShareSignals(actor, Some(share), false));
            }
            queries.push(Query::ShareMedia(turn, Some(share), false));
        }
        self.compare_by_sql(&queries)?;
        if self.http.is_some() {
            // Over HTTP, each step compares one person's live calls, and skips queries that would note presence. Other
            // requests are separate steps.
            let is_live = |call: usize| self.model.calls[call].is_live();
            queries.retain(|query| {
                query.actor() == turn
                    && match *query {
                        Query::Incoming(_) | Query::History(_) | Query::Missed(_) => true,
                        Query::Active(_, channel) => channel == 0 || channel == 2,
                        Query::State(actor, Some(call)) => {
                            is_live(call) && !self.model.would_note_presence(actor, Some(call))
                        }
                        Query::CallSignals(_, Some(call), _) => is_live(call),
                        _ => false,
                    }
            });
            self.compare_by_http(&queries)?;
        }
        match texts(self.sql, "SELECT violation FROM integrity_violations", &[]) {
            violations if violations.is_empty() => Ok(()),
            violations => Err(format!("integrity is violated: {violations:?}")),
        }
    }

    fn call_id(&self, call: Option<usize>) -> &str {
        call.map_or("nowhere", |number| &self.model.calls[number].id)
    }

    fn share_id(&self, share: Option<usize>) -> &str {
        share.map_or("nowhere", |number| &self.model.shares[number].id)
    }

    pub fn compare_by_sql(&self, queries: &[Query]) -> Result<(), String> {
        let ask = SqlQueries(self.sql);
        // A removed user's token is refused over HTTP; SQL has no tokens.
        for &query in queries.iter().filter(|query| self.model.exists[query.actor()]) {
            let (name, after) = (self.model.names[query.actor()].as_str(), self.model.first_id(query));
            let outcome = match query {
                Query::Incoming(_) => Ok(ask.incoming(name)),
                Query::History(_) => Ok(ask.history(name)),
                Query::Missed(_) => Ok(ask.missed(name)),
                Query::State(_, call) => ask.state(name, self.call_id(call)),
                Query::Active(_, channel) => ask.active(name, &self.model.channels[channel].requested_name),
                Query::CallSignals(_, call, _) => {
                    ask.signals(name, self.call_id(call), after, &statements::POLL_CALL_SIGNALS)
                }
                Query::CallMedia(_, call, sender, _) => {
                    ask.call_media(name, self.call_id(call), &self.model.names[sender], after)
                }
                Query::Shares(_, channel) => ask.shares(name, &self.model.channels[channel].requested_name),
                Query::ShareSignals(_, share, _) => {
                    ask.signals(name, self.share_id(share), after, &statements::POLL_SHARE_SIGNALS)
                }
                Query::ShareMedia(_, share, _) => ask.share_media(name, self.share_id(share), after),
            };
            self.compare_outcome(query, outcome, Transport::Sql)?;
        }
        Ok(())
    }

    pub fn compare_by_http(&self, queries: &[Query]) -> Result<(), String> {
        let Some(http) = &self.http else { return Ok(()) };
        let questions: Vec<(&str, &str, String)> = queries
            .iter()
            .map(|&query| {
                let after = self.model.first_id(query);
                let path = match query {
                    Query::Incoming(_) => "/calls/incoming".to_owned(),
                    Query::History(_) => "/calls/history?limit=200".to_owned(),
                    Query::Missed(_) => "/calls/missed".to_owned(),
                    Query::State(_, call) => format!("/calls/{}/state", self.call_id(call)),
                    Query::Active(_, channel) => {
                        format!("/calls/active?channel={}", self.model.channels[channel].requested_name)
                    }
                    Query::CallSignals(_, call, _) => format!("/calls/{}/signals?after={after}", self.call_id(call)),
                    Query::CallMedia(_, call, sender, _) => {
                        let sender = &self.model.names[sender];
                        format!("/calls/{}/media?sender={sender}&after={after}", self.call_id(call))
                    }
                    Query::Shares(_, channel) => {
                        format!("/screenshare/active?channel={}", self.model.channels[channel].requested_name)
                    }
                    Query::ShareSignals(_, share, _) => {
                        format!("/screenshare/{}/signals?after={after}", self.share_id(share))
                    }
                    Query::ShareMedia(_, share, _) => {
                        format!("/screenshare/{}/media?after={after}", self.share_id(share))
                    }
                };
                (self.model.names[query.actor()].as_str(), self.tokens[query.actor()].as_str(), path)
            })
            .collect();
        let outcomes = http.get(&questions);
        queries
            .iter()
            .zip(outcomes)
            .try_for_each(|(query, outcome)| self.compare_outcome(*query, outcome, Transport::Http))
    }

    /// Fails unless a reply is the model's.
    fn compare_outcome(&self, query: Query, outcome: Outcome, transport: Transport) -> Result<(), String> {
        let verdict = if self.model.exists[query.actor()] { self.model.reply_to(query) } else { unauthorized() };
        let what = format!("{query:?} over {transport:?}, of {:?} at {}", self.model.names, self.model.now);
        match (&verdict, outcome) {
            (Verdict::Done(expected), Ok(seen)) => {
                let (expected, seen) = (self.comparable(expected.clone()), self.comparable(seen));
                if expected == seen { Ok(()) } else { Err(format!("{what}:\nthe model {expected}\nseen      {seen}")) }
            }
            (_, outcome) => {
                check_outcome(&verdict, &outcome, transport).map(drop).map_err(|why| format!("{what}: {why}"))
            }
        }
    }

    /// The part of a reply that the model knows: no versions. On the machine's clock it also masks times, and sorts lists,
    /// whose order by time the model does not know.
    fn comparable(&self, mut answer: Value) -> Value {
        if let Some(object) = answer.as_object_mut() {
            object.remove("version");
        }
        if self.clock == Clock::Machine {
            mask_times(&mut answer);
            if let Some(list) = answer.as_array_mut() {
                list.sort_by_key(ToString::to_string);
            }
        }
        answer
    }
}

/// The reply to a removed user's token.
pub fn unauthorized() -> Verdict {
    Verdict::Refused(vec![(401, "unauthorized")])
}

/// Whether the model allows an outcome; returns whether the action was done.
pub fn check_outcome(verdict: &Verdict, outcome: &Outcome, transport: Transport) -> Result<bool, String> {
    match (verdict, outcome) {
        (Verdict::Done(members), Ok(answer)) => {
            let members = members.as_object().into_iter().flatten().filter(|_| transport == Transport::Http);
            for (name, expected) in members {
                if answer[name] != *expected {
                    return Err(format!("{name} is {}, not {expected}", answer[name]));
                }
            }
            Ok(true)
        }
        (Verdict::Refused(reasons), Err((status, code))) => {
            let matches =
                |(of_code, name): &&(u16, &str)| *name == code && status.is_none_or(|status| status == *of_code);
            match reasons.iter().find(matches) {
                Some(_) => Ok(false),
                None => Err(format!("refused with {status:?} {code}, which is none of {reasons:?}")),
            }
        }
        (Verdict::Done(_), Err((status, code))) => Err(format!("refused with {status:?} {code}, but it may be done")),
        (Verdict::Refused(reasons), Ok(_)) => Err(format!("done, but the model refuses it with one of {reasons:?}")),
    }
}

/// Replaces each time that is not null by a placeholder.
fn mask_times(answer: &mut Value) {
    match answer {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                if (name.ends_with("_ts") || ["ts", "duration", "seconds"].contains(&name.as_str())) && !value.is_null()
                {
                    *value = Value::from("a time");
                } else {
                    mask_times(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_times),
        _ => {}
    }
}
