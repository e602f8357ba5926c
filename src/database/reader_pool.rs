//! The threads for reads that return much, such as media: the async threads stay free for small requests.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::{io, mem};

use tokio::sync::oneshot;

use super::ReadError;
use super::fatal::Failures;
use super::readers::{Readers, Snapshot};

/// With more threads than cores, large reads take turns and fill the memory with half-made responses.
const THREADS: usize = 2;

type Task = Box<dyn FnOnce(&Readers) + Send>;

/// The tasks of each person, who take turns.
struct Turns<T> {
    by_person: HashMap<String, VecDeque<T>>,
    /// Those who have tasks.
    next: VecDeque<String>,
}

impl<T> Turns<T> {
    fn new() -> Self {
        Self { by_person: HashMap::new(), next: VecDeque::new() }
    }

    fn push(&mut self, person: &str, task: T) {
        let own = self.by_person.entry(person.to_owned()).or_default();
        if own.is_empty() {
            self.next.push_back(person.to_owned());
        }
        own.push_back(task);
    }

    fn pop(&mut self) -> Option<T> {
        let person = self.next.pop_front()?;
        let own = self.by_person.get_mut(&person)?;
        let task = own.pop_front();
        if own.is_empty() {
            self.by_person.remove(&person);
        } else {
            self.next.push_back(person);
        }
        task
    }
}

struct Queue {
    tasks: Mutex<Tasks>,
    changed: Condvar,
}

struct Tasks {
    turns: Turns<Task>,
    is_closed: bool,
}

impl Queue {
    fn new() -> Self {
        Self { tasks: Mutex::new(Tasks { turns: Turns::new(), is_closed: false }), changed: Condvar::new() }
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a task. A closed queue drops it, which its caller notices.
    fn push(&self, person: &str, task: Task) {
        let mut tasks = self.tasks();
        if !tasks.is_closed {
            tasks.turns.push(person, task);
            self.changed.notify_one();
        }
    }

    /// The next task, as soon as there is one. `None` if the queue is closed and empty.
    fn next(&self) -> Option<Task> {
        let mut tasks = self.tasks();
        loop {
            if let Some(task) = tasks.turns.pop() {
                return Some(task);
            }
            if tasks.is_closed {
                return None;
            }
            tasks = self.changed.wait(tasks).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A fixed number of threads, each with a connection of its own.
pub(super) struct ReaderPool {
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl ReaderPool {
    /// Starts the threads. A panic of one of them is reported to `failures`.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub(super) fn start(readers: &Arc<Readers>, failures: &Failures) -> io::Result<Self> {
        let queue = Arc::new(Queue::new());
        let start = |_| {
            let (readers, queue, failures) = (Arc::downgrade(readers), Arc::clone(&queue), failures.clone());
            thread::Builder::new()
                .name("reader".to_owned())
                .spawn(move || failures.watch("reader", || run(&readers, &queue)))
        };
        let threads = (0..THREADS).map(start).collect::<io::Result<_>>()?;
        Ok(Self { queue, threads: Mutex::new(threads) })
    }

    /// Runs `query` on one of the threads, after the reads that `person` queued before.
    ///
    /// # Errors
    /// What `query` returned, or [`ReadError::Closed`] if the threads have ended.
    pub(super) async fn read<T, E>(
        &self,
        person: &str,
        query: impl FnOnce(&Snapshot) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<ReadError> + Send + 'static,
    {
        let (sender, result) = oneshot::channel();
        self.queue.push(
            person,
            Box::new(move |readers| {
                // The caller may have given up.
                let _ = sender.send(readers.read(query));
            }),
        );
        result.await.unwrap_or_else(|_| Err(ReadError::Closed.into()))
    }

    /// Ends the threads after the reads in the queue. It must not run on one of them, so dropping the pool does not.
    pub(super) fn close(&self) {
        self.queue.tasks().is_closed = true;
        self.queue.changed.notify_all();
        for thread in mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner)) {
            // The thread catches its panics and reports them.
            let _ = thread.join();
        }
    }
}

impl Drop for ReaderPool {
    /// Ends the threads without waiting for them, if [`ReaderPool::close`] has not.
    fn drop(&mut self) {
        self.queue.tasks().is_closed = true;
        self.queue.changed.notify_all();
    }
}

/// Runs tasks until the queue or the database is closed.
///
/// A waiting thread must not keep the connections: the last one to close empties the log, before the process ends.
fn run(readers: &Weak<Readers>, queue: &Queue) {
    while let Some(task) = queue.next() {
        let Some(readers) = readers.upgrade() else { return };
        task(&readers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_take_turns() {
        let mut turns = Turns::new();
        for (number, person) in ["a", "a", "a", "b", "c", "b"].into_iter().enumerate() {
            turns.push(person, number);
        }
        let order: Vec<_> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(order, [0, 3, 4, 1, 5, 2]);
        assert!(turns.by_person.is_empty());
    }
}
