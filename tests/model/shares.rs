//! What the model says of screens that are shared outside of calls.

use crate::calls::{Envelope, flaws_of_upload, store_signal};
use crate::model::{Model, Person, Refusal, Share, Signal, Stream, Verdict};

impl Model {
    /// What keeps somebody from a share as a member of its channel, or as its sharer, and whether it has to go on.
    fn obstacles_to_share(&self, share: Option<usize>, who: Person, needs_sharer: bool, live: bool) -> Vec<Refusal> {
        let Some(share) = self.share(share) else { return vec![(404, "share_not_found")] };
        let mut reasons = Vec::new();
        if needs_sharer && share.sharer != who {
            reasons.push((403, "not_the_sharer"));
        }
        if !needs_sharer && !self.is_member(share.channel, who) {
            reasons.push((403, "not_a_member"));
        }
        if live && !share.is_active {
            reasons.push((409, "share_ended"));
        }
        reasons
    }

    /// Why somebody may not watch a share.
    pub fn why_not_watch(&self, share: Option<usize>, who: Person) -> Vec<Refusal> {
        self.obstacles_to_share(share, who, false, false)
    }

    pub fn start_share(&mut self, who: Person, channel: usize) -> Verdict {
        let reasons = self.why_not_use(channel, who);
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let earlier = |share: &Share| share.channel == channel && share.sharer == who && share.is_active;
        if let Some(earlier) = self.shares.iter().position(earlier) {
            self.end_share(earlier);
        }
        self.shares.push(Share {
            id: String::new(),
            channel,
            sharer: who,
            is_active: true,
            started: self.now,
            signals: vec![],
            media: Stream::default(),
            is_pruned: false,
        });
        Verdict::done()
    }

    /// A share is over, and with it its signals and media.
    pub fn end_share(&mut self, share: usize) {
        let share = &mut self.shares[share];
        (share.is_active, share.media) = (false, Stream::default());
        share.signals.clear();
    }

    pub fn stop_share(&mut self, who: Person, share: Option<usize>) -> Verdict {
        let reasons = self.obstacles_to_share(share, who, true, false);
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        self.end_share(share.unwrap());
        Verdict::done()
    }

    pub fn share_signal(&mut self, who: Person, share: Option<usize>, to: Person, envelope: Envelope) -> Verdict {
        let mut reasons = self.obstacles_to_share(share, who, false, true);
        if let Some(found) = self.share(share)
            && who != to
            && (!self.is_member(found.channel, to) || ![who, to].contains(&found.sharer))
        {
            reasons.push((403, "recipient_not_in_share"));
        }
        reasons.extend(envelope.flaws(who, to, self.limits.signal_max_bytes));
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let signal = Signal { id: 0, from: who, to, kind: envelope.kind, payload: envelope.payload, ts: self.now };
        store_signal(&mut self.shares[share.unwrap()].signals, signal, self.limits.signals_per_call_max);
        Verdict::done()
    }

    pub fn share_upload(
        &mut self,
        who: Person,
        share: Option<usize>,
        (init, mime): (bool, bool),
        data: Vec<u8>,
    ) -> Verdict {
        let mut reasons = self.obstacles_to_share(share, who, true, true);
        reasons.extend(flaws_of_upload(init, mime, &data, self.limits.media_chunk_max_bytes));
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        self.shares[share.unwrap()].media.take(init, data, self.now, &self.limits);
        Verdict::done()
    }
}
