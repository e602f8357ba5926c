//! The writes of a member: it leads or forwards them, a group at a time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use openraft::error::{ClientWriteError, RaftError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::shared::{LEADER_INTERVAL, Leader, Shared};
use super::wire::{Acknowledged, Ask, Reply, Unacknowledged, Wire, WireError};
use crate::database::{Group, Job, WRITE_DEADLINE, Write};

/// The most writes in an entry, and the most bytes of their parameters. One write alone may have more.
const GROUP_MAX: usize = 256;
const GROUP_MAX_BYTES: usize = 1024 * 1024;

/// A write that waits for the leader.
pub(super) struct Queued {
    write: Arc<Write>,
    deadline: Instant,
    /// Another member sent it because this one leads.
    is_forwarded: bool,
    /// It was claimed before, and was not done then.
    is_claimed: bool,
    answer: Answer,
}

enum Answer {
    Job(Job),
    Acknowledgement(oneshot::Sender<Acknowledged>),
}

impl Queued {
    /// A write, and the receiver of what becomes of it. `is_forwarded` says whether another member sent it.
    pub(super) fn new(write: Arc<Write>, is_forwarded: bool) -> (Self, oneshot::Receiver<Acknowledged>) {
        let (answer, answered) = oneshot::channel();
        let deadline = Instant::now() + WRITE_DEADLINE;
        let answer = Answer::Acknowledgement(answer);
        (Self { write, deadline, is_forwarded, is_claimed: false, answer }, answered)
    }

    /// A write of this process.
    pub(super) fn of_job(job: Job) -> Self {
        let (write, deadline) = (Arc::clone(job.write()), job.deadline());
        Self { write, deadline, is_forwarded: false, is_claimed: false, answer: Answer::Job(job) }
    }

    /// Whether the write may begin: the side that waits has not given it up.
    fn claim(&mut self) -> bool {
        self.is_claimed = self.is_claimed
            || match &self.answer {
                Answer::Job(job) => job.claim(),
                Answer::Acknowledgement(answer) => !answer.is_closed(),
            };
        self.is_claimed
    }

    fn finish(self, acknowledged: Acknowledged) {
        match self.answer {
            Answer::Job(job) => match acknowledged {
                Ok((_, outcome)) => job.finish_with(outcome),
                Err(why) => job.finish(Err(why.into())),
            },
            // It fails only if nothing waits any more.
            Answer::Acknowledgement(answer) => drop(answer.send(acknowledged)),
        }
    }
}

/// Leads or forwards the writes of the queue, a group at a time: while one is under way, the next fills up. Several at a time
/// would be smaller, and cost more than they gain: each is a commit of two files on every member.
pub(super) struct WriteLoop {
    shared: Arc<Shared>,
    waiting: VecDeque<Queued>,
    /// The connection to the leader.
    wire: Option<(String, Wire)>,
    /// The term of the last group that this member led.
    led_term: u64,
    /// When this machine booted by the newest group that this member led in this term.
    led_booted: Option<f64>,
}

impl WriteLoop {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, waiting: VecDeque::new(), wire: None, led_term: 0, led_booted: None }
    }

    pub(super) async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Queued>) {
        loop {
            if self.waiting.is_empty() {
                match queue.recv().await {
                    Some(queued) => self.waiting.push_back(queued),
                    None => return,
                }
            }
            while let Ok(queued) = queue.try_recv() {
                self.waiting.push_back(queued);
            }
            self.give_up_late_ones();
            let leader = self.shared.leader();
            if !matches!(leader, Leader::Here) {
                self.give_up(|queued| queued.is_forwarded);
            }
            let group = match leader {
                Leader::Nobody => Vec::new(),
                Leader::Here | Leader::There(..) => self.take_group(),
            };
            if group.is_empty() {
                if !self.waiting.is_empty() {
                    sleep(LEADER_INTERVAL).await;
                }
                continue;
            }
            let writes = group.iter().map(|queued| Arc::clone(&queued.write)).collect();
            let acknowledged = match leader {
                Leader::There(node, address) => self.forward(node, address, writes).await,
                _ => self.lead(writes).await,
            };
            self.finish(group, acknowledged).await;
        }
    }

    fn give_up_late_ones(&mut self) {
        let now = Instant::now();
        self.give_up(|queued| queued.deadline <= now);
    }

    /// Ends the writes for which `is_over` holds: they are not done.
    fn give_up(&mut self, is_over: impl Fn(&Queued) -> bool) {
        let (over, waiting) = self.waiting.drain(..).partition(|queued| is_over(queued));
        self.waiting = waiting;
        for mut queued in over {
            if queued.claim() {
                queued.finish(Err(Unacknowledged::NotDone));
            }
        }
    }

    fn take_group(&mut self) -> Vec<Queued> {
        let mut group = Vec::new();
        let mut bytes = 0;
        while group.len() < GROUP_MAX
            && let Some(next) = self.waiting.front()
        {
            bytes += next.write.bytes();
            if bytes > GROUP_MAX_BYTES && !group.is_empty() {
                break;
            }
            if let Some(mut queued) = self.waiting.pop_front()
                && queued.claim()
            {
                group.push(queued);
            }
        }
        group
    }

    /// Reports what became of a group. Writes that were not done are tried again until their deadlines.
    async fn finish(&mut self, group: Vec<Queued>, acknowledged: Vec<Acknowledged>) {
        let mut again = VecDeque::new();
        for (queued, acknowledged) in group.into_iter().zip(acknowledged) {
            match acknowledged {
                Err(Unacknowledged::NotDone) if !queued.is_forwarded => again.push_back(queued),
                acknowledged => queued.finish(acknowledged),
            }
        }
        if !again.is_empty() {
            again.append(&mut self.waiting);
            self.waiting = again;
            sleep(LEADER_INTERVAL).await;
        }
    }

    /// Makes `writes` one entry of the log, and waits until it is applied here.
    async fn lead(&mut self, writes: Vec<Arc<Write>>) -> Vec<Acknowledged> {
        let all = |why, count| vec![Err(why); count];
        let count = writes.len();
        let Some(raft) = self.shared.raft().cloned() else { return all(Unacknowledged::NotDone, count) };
        let term = raft.metrics().borrow().current_term;
        let is_new_term = term != self.led_term;
        if is_new_term {
            (self.led_term, self.led_booted) = (term, None);
        }
        let stepped = self.shared.stepped();
        let (reading, step) = self.shared.clock.lead(self.led_booted, stepped);
        self.led_booted = Some(reading.booted());
        let pause = is_new_term || self.shared.was_paused.swap(false, Relaxed);
        let group = Group { ts: reading.ts(), step, pause, schema: Vec::new(), writes };
        let written = async { Ok::<_, RaftError<u64>>(raft.client_write_ff(Arc::new(group)).await?.await) };
        match timeout(WRITE_DEADLINE, written).await {
            Ok(Ok(Ok(Ok(response)))) => {
                if let Some(seconds) = step {
                    tracing::warn!(seconds, "the clock of the cluster was set; the times of what is live moved along");
                }
                self.shared.clock.follow(reading, stepped + step.unwrap_or_default());
                let index = response.log_id.index;
                response.data.into_iter().map(|outcome| Ok((index, outcome))).collect()
            }
            // openraft says so only if the entry is not in the log, or was removed from it.
            Ok(Ok(Ok(Err(ClientWriteError::ForwardToLeader(_))))) => {
                self.led_term = 0;
                all(Unacknowledged::NotDone, count)
            }
            _ => all(Unacknowledged::Unknown, count),
        }
    }

    /// Has the leader carry out `writes`, and waits until they are applied here, too.
    async fn forward(&mut self, node: u64, address: String, writes: Vec<Arc<Write>>) -> Vec<Acknowledged> {
        let count = writes.len();
        let (_, mut wire) = match self.wire.take() {
            Some(wire) if wire.0 == address => wire,
            _ => (address.clone(), Wire::new(address.clone(), self.shared.tls.clone())),
        };
        let hello = self.shared.hello();
        let ask = Ask::Writes(writes);
        let reply = tokio::select! {
            reply = timeout(WRITE_DEADLINE, wire.ask(&hello, &ask)) => reply,
            () = another_leads(&self.shared, node) => return vec![Err(Unacknowledged::Unknown); count],
        };
        let mut acknowledged = match reply {
            Ok(Ok(Reply::Writes(acknowledged))) if acknowledged.len() == count => acknowledged,
            Ok(Ok(Reply::Refused(_)) | Err(WireError::NotSent(_))) => {
                return vec![Err(Unacknowledged::NotDone); count];
            }
            _ => return vec![Err(Unacknowledged::Unknown); count],
        };
        self.wire = Some((address, wire));
        let newest = acknowledged.iter().flatten().map(|(index, _)| *index).max().unwrap_or_default();
        let mut index = self.shared.index.clone();
        if timeout(WRITE_DEADLINE, index.wait_for(|index| *index >= newest)).await.is_err() {
            acknowledged.iter_mut().filter(|one| one.is_ok()).for_each(|one| *one = Err(Unacknowledged::Unknown));
        }
        acknowledged
    }
}

/// Returns when another member than `node` leads.
async fn another_leads(shared: &Shared, node: u64) {
    let Some(raft) = shared.raft() else { return };
    let mut metrics = raft.metrics();
    // It fails only if openraft has stopped, and then nobody leads any more.
    let _ = metrics.wait_for(|metrics| metrics.current_leader.is_some_and(|leader| leader != node)).await;
}
