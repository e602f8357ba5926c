//! The threads for reads that return much, such as media: the async threads stay free for small requests.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::{io, mem};

use tokio::sync::oneshot;

use super::ReadError;
use super::fatal::Failures;
use super::readers::{Readers, Snapshot};

/// With more threads than cores, large reads take turns and fill the memory with half-made responses.
const THREADS: usize = 2;

type Task = Box<dyn FnOnce(&Readers) + Send>;

/// A fixed number of threads, each with a connection of its own.
pub(super) struct ReaderPool {
    queue: Mutex<Option<Sender<Task>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl ReaderPool {
    /// Starts the threads. A panic of one of them is reported to `failures`.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub(super) fn start(readers: &Arc<Readers>, failures: &Failures) -> io::Result<Self> {
        let (queue, tasks) = channel::<Task>();
        let tasks = Arc::new(Mutex::new(tasks));
        let start = |_| {
            let (readers, tasks, failures) = (Arc::downgrade(readers), Arc::clone(&tasks), failures.clone());
            thread::Builder::new()
                .name("reader".to_owned())
                .spawn(move || failures.watch("reader", || run(&readers, &tasks)))
        };
        let threads = (0..THREADS).map(start).collect::<io::Result<_>>()?;
        Ok(Self { queue: Mutex::new(Some(queue)), threads: Mutex::new(threads) })
    }

    /// Runs `query` on one of the threads, after the reads that were queued before.
    ///
    /// # Errors
    /// What `query` returned, or [`ReadError::Closed`] if the threads have ended.
    pub(super) async fn read<T, E>(
        &self,
        query: impl FnOnce(&Snapshot) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<ReadError> + Send + 'static,
    {
        let (sender, result) = oneshot::channel();
        let task: Task = Box::new(move |readers| {
            // The caller may have given up.
            let _ = sender.send(readers.read(query));
        });
        if let Some(queue) = &*self.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            // A task that cannot be queued drops its sender, which the caller notices below.
            let _ = queue.send(task);
        }
        result.await.unwrap_or_else(|_| Err(ReadError::Closed.into()))
    }

    /// Ends the threads after the reads in the queue. It must not run on one of them, so dropping the pool does not.
    pub(super) fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        for thread in mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner)) {
            // The thread catches its panics and reports them.
            let _ = thread.join();
        }
    }
}

/// Runs tasks until the queue or the database is closed. The lock is held only while a thread waits for its next task.
///
/// A waiting thread must not keep the connections: the last one to close empties the log, before the process ends.
fn run(readers: &Weak<Readers>, tasks: &Mutex<Receiver<Task>>) {
    loop {
        let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match (task, readers.upgrade()) {
            (Ok(task), Some(readers)) => task(&readers),
            _ => return,
        }
    }
}
