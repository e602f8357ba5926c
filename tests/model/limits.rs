//! The model of what one person, a pair of people and a call may take.

use crate::model::{CallState, Members, Model, Person, Refusal, Stream, Verdict};

/// Seconds for which rings count.
const WINDOW: f64 = 60.0;

/// The longest pause after refusals, in seconds.
const PAUSE_MAX: f64 = 3600.0;

/// Rings since the first of a minute.
#[derive(Default)]
pub struct Window {
    count: usize,
    from: f64,
}

impl Window {
    fn is_full(&self, limit: usize, now: f64) -> bool {
        limit > 0 && self.count >= limit && self.is_open(now)
    }

    fn is_open(&self, now: f64) -> bool {
        self.count > 0 && self.from + WINDOW > now
    }

    pub fn set_clock(&mut self, set: impl Fn(&mut f64)) {
        set(&mut self.from);
    }

    fn add(&mut self, now: f64) {
        if !self.is_open(now) {
            (self.count, self.from) = (0, now);
        }
        self.count += 1;
    }
}

/// What one person has done to another.
#[derive(Default)]
pub struct Pair {
    rings: Window,
    refusals: i32,
    refused: f64,
}

impl Pair {
    pub fn set_clock(&mut self, set: impl Fn(&mut f64)) {
        set(&mut self.rings.from);
        set(&mut self.refused);
    }
}

impl Model {
    /// The refusals of a call, an invitation or a share.
    pub fn request_refusals(&self, actor: Person) -> Vec<Refusal> {
        let is_full =
            self.requests.get(&actor).is_some_and(|window| window.is_full(self.limits.rings_per_person, self.now));
        if is_full { vec![(429, "too_many_rings")] } else { vec![] }
    }

    /// Counts a call, an invitation or a share.
    pub fn count_request(&mut self, actor: Person) {
        if self.exists[actor] {
            self.requests.entry(actor).or_default().add(self.now);
        }
    }

    /// The refusals of a ring of `caller` for `callee`. `is_personal`: it is no call to several people.
    pub fn ring_refusals(&self, caller: Person, callee: Person, is_personal: bool) -> Vec<Refusal> {
        let Some(pair) = self.pairs.get(&(caller, callee)) else { return vec![] };
        let mut reasons = Vec::new();
        if pair.rings.is_full(self.limits.rings_per_pair, self.now) {
            reasons.push((429, "too_many_rings_for_person"));
        }
        let pause = (self.limits.refusal_pause * 2_f64.powi((pair.refusals - 3).min(12))).min(PAUSE_MAX);
        if is_personal && pair.refusals >= 3 && pair.refused + pause > self.now {
            reasons.push((429, "declined_too_often"));
        }
        reasons
    }

    pub fn count_ring(&mut self, caller: Person, callee: Person) {
        let now = self.now;
        self.pairs.entry((caller, callee)).or_default().rings.add(now);
    }

    /// Why no call rings for a person now.
    pub fn unavailable(&self, target: Person) -> Option<&'static str> {
        let is_on_a_call = || self.calls.iter().any(|call| call.has_accepted(target));
        match self.exists[target] {
            true if self.quiet_until[target] > self.now => Some("quiet"),
            true if self.limits.busy_policy && is_on_a_call() => Some("busy"),
            _ => None,
        }
    }

    /// The refusals of a ring that a shell makes.
    pub fn unavailable_refusals(&self, target: Person) -> Vec<Refusal> {
        if self.unavailable(target).is_some() { vec![(409, "person_unavailable")] } else { vec![] }
    }

    /// `POST /quiet`
    pub fn set_quiet(&mut self, actor: Person, seconds: f64) -> Verdict {
        self.quiet_until[actor] = if seconds > 0.0 { self.now + seconds } else { 0.0 };
        Verdict::done()
    }

    /// The person whose ring a participant answers or declines.
    fn caller_of(&self, call: usize, actor: Person) -> Person {
        let call = &self.calls[call];
        call.participants.get(&actor).and_then(|own| own.invited_by).unwrap_or(call.initiator)
    }

    /// Whether a channel has two members or fewer.
    pub fn is_small(&self, channel: usize) -> bool {
        match &self.channels[channel].members {
            Members::Dm(members) | Members::Private(members) => members.len() < 3,
            Members::Public | Members::Unknown => true,
        }
    }

    /// Declining an invitation, or a call of two, counts. A timed-out one does not.
    pub fn count_refusal(&mut self, call: usize, actor: Person) {
        let is_personal =
            self.calls[call].participants[&actor].invited_by.is_some() || self.is_small(self.calls[call].channel);
        let (caller, now) = (self.caller_of(call, actor), self.now);
        if is_personal && let Some(pair) = self.pairs.get_mut(&(caller, actor)) {
            (pair.refusals, pair.refused) = (pair.refusals + 1, now);
        }
    }

    pub fn reset_refusals(&mut self, call: usize, actor: Person) {
        let caller = self.caller_of(call, actor);
        if let Some(pair) = self.pairs.get_mut(&(caller, actor)) {
            pair.refusals = 0;
        }
    }

    /// A removed user has done nothing to anybody.
    pub fn forget_counts(&mut self, target: Person) {
        self.requests.remove(&target);
        self.pairs.retain(|(caller, callee), _| *caller != target && *callee != target);
    }

    /// The refusals of one more accepted person.
    pub fn full_call_refusals(&self, call: Option<usize>) -> Vec<Refusal> {
        let Some(call) = self.call(call) else { return vec![] };
        let accepted = call.participants.keys().filter(|other| call.has_accepted(**other)).count();
        if accepted >= self.limits.call_people_max { vec![(409, "call_full")] } else { vec![] }
    }

    pub fn live_call_refusals(&self, actor: Person) -> Vec<Refusal> {
        let is_live = |state| matches!(state, CallState::Ringing | CallState::Active);
        let live = self.calls.iter().filter(|call| call.initiator == actor && is_live(call.state)).count();
        if live >= self.limits.live_calls_per_person { vec![(429, "too_many_calls")] } else { vec![] }
    }

    pub fn live_share_refusals(&self, actor: Person, channel: usize) -> Vec<Refusal> {
        let own = || self.shares.iter().filter(|share| share.sharer == actor && share.is_active);
        let is_full = own().count() >= self.limits.live_shares_per_person;
        let replaces = own().any(|share| share.channel == channel);
        if is_full && !replaces { vec![(429, "too_many_shares")] } else { vec![] }
    }

    /// Bounds the media of a person after an upload to a call or share.
    pub fn limit_media(&mut self, actor: Person) {
        let limit = self.limits.media_per_person_max_bytes;
        let shares = self.shares.iter_mut().filter(|share| share.sharer == actor).map(|share| &mut share.media);
        let calls = self.calls.iter_mut().filter_map(|call| call.media.get_mut(&actor));
        let mut streams: Vec<&mut Stream> = calls.chain(shares).collect();
        while streams.iter().map(|stream| stream.size()).sum::<usize>() > limit {
            // The id of the newest chunk is not known yet.
            let oldest = streams
                .iter_mut()
                .filter(|stream| stream.chunks.first().is_some_and(|chunk| chunk.id != 0))
                .min_by(|one, other| one.chunks[0].ts.total_cmp(&other.chunks[0].ts));
            let Some(oldest) = oldest else { return };
            oldest.chunks.remove(0);
        }
    }
}
