//! The model of screen shares outside calls.

use crate::calls::{SignalBody, store_signal, upload_refusals};
use crate::model::{Model, Person, Presence, Refusal, Share, Signal, Stream, Verdict};

impl Model {
    /// The refusals of an action on a share, for a member or for its sharer.
    fn share_refusals(&self, share: Option<usize>, actor: Person, needs_sharer: bool, live: bool) -> Vec<Refusal> {
        let Some(share) = self.share(share) else { return vec![(404, "share_not_found")] };
        let mut reasons = Vec::new();
        if needs_sharer && (share.sharer != actor || self.numbers[actor] > share.newest_number) {
            reasons.push((403, "not_the_sharer"));
        }
        if !needs_sharer && !self.is_member_since(share.channel, actor, share.newest_number) {
            reasons.push((403, "not_a_member"));
        }
        if live && !share.is_active {
            reasons.push((409, "share_ended"));
        }
        reasons
    }

    /// The refusals of watching a share.
    pub fn share_read_refusals(&self, share: Option<usize>, actor: Person) -> Vec<Refusal> {
        self.share_refusals(share, actor, false, false)
    }

    pub fn start_share(&mut self, actor: Person, channel: usize) -> Verdict {
        let mut reasons = self.channel_use_refusals(channel, actor, (403, "channel_names_nobody"));
        reasons.extend(self.request_refusals(actor));
        reasons.extend(self.live_share_refusals(actor, channel));
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        self.count_request(actor);
        let earlier = |share: &Share| share.channel == channel && share.sharer == actor && share.is_active;
        if let Some(earlier) = self.shares.iter().position(earlier) {
            self.end_share(earlier);
        }
        self.shares.push(Share {
            id: String::new(),
            channel,
            sharer: actor,
            is_active: true,
            started: self.now,
            presence: Presence::proved(self.now),
            signals: vec![],
            media: Stream::default(),
            newest_number: self.newest_number,
            is_pruned: false,
        });
        Verdict::done()
    }

    /// Ends a share and drops its signals and media.
    pub fn end_share(&mut self, share: usize) {
        let share = &mut self.shares[share];
        (share.is_active, share.media) = (false, Stream::default());
        share.signals.clear();
    }

    pub fn stop_share(&mut self, actor: Person, share: Option<usize>) -> Verdict {
        let reasons = self.share_refusals(share, actor, true, false);
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        self.end_share(share.unwrap());
        Verdict::done()
    }

    pub fn share_signal(
        &mut self,
        actor: Person,
        share: Option<usize>,
        to: Person,
        signal_body: SignalBody,
    ) -> Verdict {
        let mut reasons = self.share_refusals(share, actor, false, true);
        if let Some(found) = self.share(share)
            && actor != to
            && (!self.exists[to]
                || !self.is_member_since(found.channel, to, found.newest_number)
                || ![actor, to].contains(&found.sharer))
        {
            reasons.push((403, "recipient_not_in_share"));
        }
        reasons.extend(signal_body.refusals(actor, to, self.limits.signal_max_bytes));
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        let signal =
            Signal { id: 0, from: actor, to, kind: signal_body.kind, payload: signal_body.payload, ts: self.now };
        store_signal(&mut self.shares[share.unwrap()].signals, signal, self.limits.signals_per_call_max);
        Verdict::done()
    }

    pub fn share_upload(
        &mut self,
        actor: Person,
        share: Option<usize>,
        (init, mime): (bool, bool),
        data: Vec<u8>,
    ) -> Verdict {
        let mut reasons = self.share_refusals(share, actor, true, true);
        reasons.extend(upload_refusals(init, mime, &data, self.limits.media_chunk_max_bytes));
        if !reasons.is_empty() {
            return Verdict::Refused(reasons);
        }
        self.shares[share.unwrap()].media.store(init, data, self.now, &self.limits);
        self.limit_media(actor);
        self.note_share_presence(actor, share);
        Verdict::done()
    }

    /// The sharer's uploads and reads of signals prove presence.
    pub fn note_share_presence(&mut self, actor: Person, share: Option<usize>) {
        if let Some(share) = share.and_then(|share| self.shares.get_mut(share))
            && share.sharer == actor
        {
            share.presence.note(self.now, &self.limits);
        }
    }

    /// The last event stream of a person that named the share closes.
    pub fn close_share_stream(&mut self, actor: Person, share: Option<usize>) -> Verdict {
        if let Some(share) = share.and_then(|share| self.shares.get_mut(share))
            && share.sharer == actor
        {
            share.presence.close_stream(self.now, &self.limits);
        }
        Verdict::done()
    }
}
