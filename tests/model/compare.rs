//! The comparison of the model and the real thing, through both doors.

use minimost_calls::statements;
use serde_json::Value;

use crate::doors::{Outcome, Questions, texts};
use crate::looks::Look;
use crate::model::{PEOPLE, Verdict};
use crate::steps::Door;
use crate::world::{Time, World};

impl World<'_> {
    /// Compares all that everybody sees.
    pub fn compare(&mut self) -> Result<(), String> {
        self.model.assert_sound();
        let mut looks: Vec<Look> =
            (0..PEOPLE).flat_map(|who| [Look::Incoming(who), Look::History(who), Look::Missed(who)]).collect();
        let turn = self.steps % PEOPLE;
        for call in 0..self.model.calls.len() {
            // Finished calls are looked at by one after the other.
            let is_live = self.model.calls[call].is_live();
            for who in (0..PEOPLE).filter(|who| is_live || *who == turn) {
                looks.push(Look::State(who, Some(call)));
                looks.push(Look::CallSignals(who, Some(call), false));
                if is_live {
                    looks.push(Look::CallMedia(turn, Some(call), who, false));
                }
            }
        }
        for channel in 0..self.model.channels.len() {
            for who in (0..PEOPLE).filter(|who| channel < 3 || *who == turn) {
                looks.push(Look::Active(who, channel));
            }
            looks.push(Look::Shares(turn, channel));
        }
        for share in 0..self.model.shares.len() {
            let is_active = self.model.shares[share].is_active;
            for who in (0..PEOPLE).filter(|who| is_active || *who == turn) {
                looks.push(Look::ShareSignals(who, Some(share), false));
            }
            looks.push(Look::ShareMedia(turn, Some(share), false));
        }
        self.compare_by_sql(&looks)?;
        if self.http.is_some() {
            // Over HTTP it is one of them after the other, and what goes on; a look must not be noted. The rest of what HTTP
            // answers is asked in steps of their own.
            let is_live = |call: usize| self.model.calls[call].is_live();
            looks.retain(|look| {
                look.who() == turn
                    && match *look {
                        Look::Incoming(_) | Look::History(_) | Look::Missed(_) => true,
                        Look::Active(_, channel) => channel == 0 || channel == 2,
                        Look::State(who, Some(call)) => is_live(call) && !self.model.would_be_noted(who, Some(call)),
                        Look::CallSignals(_, Some(call), _) => is_live(call),
                        _ => false,
                    }
            });
            self.compare_by_http(&looks)?;
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

    pub fn compare_by_sql(&self, looks: &[Look]) -> Result<(), String> {
        let ask = Questions(self.sql);
        // Whoever was removed has no door but HTTP to ask at.
        for &look in looks.iter().filter(|look| self.model.exists[look.who()]) {
            let (name, after) = (self.model.names[look.who()].as_str(), self.model.cursor(look));
            let outcome = match look {
                Look::Incoming(_) => ask.incoming(name),
                Look::History(_) => ask.history(name),
                Look::Missed(_) => ask.missed(name),
                Look::State(_, call) => ask.state(name, self.call_id(call)),
                Look::Active(_, channel) => ask.active(name, &self.model.channels[channel].spelled),
                Look::CallSignals(_, call, _) => {
                    ask.signals(name, self.call_id(call), after, &statements::WHY_NOT_TAKE_PART)
                }
                Look::CallMedia(_, call, sender, _) => {
                    ask.call_media(name, self.call_id(call), &self.model.names[sender], after)
                }
                Look::Shares(_, channel) => ask.shares(name, &self.model.channels[channel].spelled),
                Look::ShareSignals(_, share, _) => {
                    ask.signals(name, self.share_id(share), after, &statements::WHY_NOT_WATCH_SHARE)
                }
                Look::ShareMedia(_, share, _) => ask.share_media(name, self.share_id(share), after),
            };
            self.same(look, outcome, Door::Sql)?;
        }
        Ok(())
    }

    pub fn compare_by_http(&self, looks: &[Look]) -> Result<(), String> {
        let Some(http) = &self.http else { return Ok(()) };
        let questions: Vec<(&str, &str, String)> = looks
            .iter()
            .map(|&look| {
                let after = self.model.cursor(look);
                let path = match look {
                    Look::Incoming(_) => "/calls/incoming".to_owned(),
                    Look::History(_) => "/calls/history?limit=200".to_owned(),
                    Look::Missed(_) => "/calls/missed".to_owned(),
                    Look::State(_, call) => format!("/calls/{}/state", self.call_id(call)),
                    Look::Active(_, channel) => {
                        format!("/calls/active?channel={}", self.model.channels[channel].spelled)
                    }
                    Look::CallSignals(_, call, _) => format!("/calls/{}/signals?after={after}", self.call_id(call)),
                    Look::CallMedia(_, call, sender, _) => {
                        let sender = &self.model.names[sender];
                        format!("/calls/{}/media?sender={sender}&after={after}", self.call_id(call))
                    }
                    Look::Shares(_, channel) => {
                        format!("/screenshare/active?channel={}", self.model.channels[channel].spelled)
                    }
                    Look::ShareSignals(_, share, _) => {
                        format!("/screenshare/{}/signals?after={after}", self.share_id(share))
                    }
                    Look::ShareMedia(_, share, _) => {
                        format!("/screenshare/{}/media?after={after}", self.share_id(share))
                    }
                };
                (self.model.names[look.who()].as_str(), self.tokens[look.who()].as_str(), path)
            })
            .collect();
        let outcomes = http.get(&questions);
        looks.iter().zip(outcomes).try_for_each(|(look, outcome)| self.same(*look, outcome, Door::Http))
    }

    /// Fails unless a question was answered as the model does.
    fn same(&self, look: Look, outcome: Outcome, door: Door) -> Result<(), String> {
        let verdict = if self.model.exists[look.who()] { self.model.sees(look) } else { unauthorized() };
        let what = format!("{look:?} by {door:?}, of {:?} at {}", self.model.names, self.model.now);
        match (&verdict, outcome) {
            (Verdict::Done(expected), Ok(seen)) => {
                let (expected, seen) = (self.comparable(expected.clone()), self.comparable(seen));
                if expected == seen { Ok(()) } else { Err(format!("{what}:\nthe model {expected}\nseen      {seen}")) }
            }
            (_, outcome) => agree(&verdict, &outcome, door).map(drop).map_err(|why| format!("{what}: {why}")),
        }
    }

    /// What of an answer is the same in the model: all but versions; and where the clock is the machine's, not the times, but
    /// whether there is one, and not the order by time.
    fn comparable(&self, mut answer: Value) -> Value {
        if let Some(object) = answer.as_object_mut() {
            object.remove("version");
        }
        if self.time == Time::Aged {
            without_times(&mut answer);
            if let Some(list) = answer.as_array_mut() {
                list.sort_by_key(ToString::to_string);
            }
        }
        answer
    }
}

/// What a removed person's token is answered.
pub fn unauthorized() -> Verdict {
    Verdict::Refused(vec![(401, "unauthorized")])
}

/// Whether what came of it is what the model allows; answers whether it was done.
pub fn agree(verdict: &Verdict, outcome: &Outcome, door: Door) -> Result<bool, String> {
    match (verdict, outcome) {
        (Verdict::Done(members), Ok(answer)) => {
            let members = members.as_object().into_iter().flatten().filter(|_| door == Door::Http);
            for (name, expected) in members {
                if answer[name] != *expected {
                    return Err(format!("{name} is {}, not {expected}", answer[name]));
                }
            }
            Ok(true)
        }
        (Verdict::Refused(reasons), Err((status, code))) => {
            let told = |(of_code, name): &&(u16, &str)| *name == code && status.is_none_or(|status| status == *of_code);
            match reasons.iter().find(told) {
                Some(_) => Ok(false),
                None => Err(format!("refused with {status:?} {code}, which is none of {reasons:?}")),
            }
        }
        (Verdict::Done(_), Err((status, code))) => Err(format!("refused with {status:?} {code}, but it may be done")),
        (Verdict::Refused(reasons), Ok(_)) => Err(format!("done, but it is to be refused with one of {reasons:?}")),
    }
}

/// Puts a word for every time that is there.
fn without_times(answer: &mut Value) {
    match answer {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                if (name.ends_with("_ts") || name == "ts" || name == "duration") && !value.is_null() {
                    *value = Value::from("some time");
                } else {
                    without_times(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        _ => {}
    }
}
