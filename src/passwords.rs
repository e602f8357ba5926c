//! Passwords: Argon2id hashes, hashes of the original MiniMost, and the threads that verify logins.

mod werkzeug;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{self, Output, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, PasswordHasher, Version};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::database::Failures;

/// Memory in KiB, passes and lanes of a hash: the second of OWASP's recommended settings for Argon2id
/// (<https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The characters that a new password has.
pub const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=1024;

/// The threads that verify. Each keeps the memory of a hash, 19 MiB, once it has verified a password. One of the original's
/// hashes takes up to 32 MiB more while it is verified.
const THREADS: usize = 2;

/// The most logins that wait or are verified at a time, and those of one address. A hash takes some 20 milliseconds, so
/// that all of them take less than a second.
const PLACES: usize = 64;
const PLACES_PER_ADDRESS: usize = 16;

/// The most addresses whose last failure is remembered.
const TURNS_MAX: usize = 1024;

fn argon2() -> Argon2<'static> {
    // Params::new fails only for values out of range, and these constants are in range.
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes `password` with a new salt into a PHC string for `users.password_hash`. It takes tens of milliseconds.
///
/// # Errors
/// When the password is longer than Argon2's limit of 4 GiB.
pub fn hash(password: &str) -> Result<String, password_hash::Error> {
    hash_with(password, &SaltString::generate(&mut OsRng))
}

fn hash_with(password: &str, salt: &SaltString) -> Result<String, password_hash::Error> {
    Ok(argon2().hash_password(password.as_bytes(), salt)?.to_string())
}

/// Whether `hash` is of the original MiniMost, so that one of ours replaces it at the next login.
#[must_use]
pub fn is_outdated(hash: &str) -> bool {
    werkzeug::is_werkzeug(hash)
}

/// Whether `hash` is of the original MiniMost but cannot be verified: it has another method, or asks for too much work.
#[must_use]
pub fn is_unusable(hash: &str) -> bool {
    werkzeug::is_werkzeug(hash) && !werkzeug::is_verifiable(hash)
}

/// The salt of the hash that replaces `outdated`. It is made of that one's text, which contains a random salt: two first
/// logins at the same time store the same hash, and both succeed.
fn replacing_salt(outdated: &str) -> Result<SaltString, password_hash::Error> {
    SaltString::encode_b64(&Sha256::digest(outdated)[..16])
}

/// Verifies `password` against `hash`, one of the original's or a PHC string, in `memory`, which grows to the size that a
/// PHC string asks for.
fn verify(password: &str, hash: &str, memory: &mut Vec<Block>) -> password_hash::Result<bool> {
    if werkzeug::is_werkzeug(hash) {
        return werkzeug::verify(password, hash).ok_or(password_hash::Error::ParamsMaxExceeded);
    }
    let hash = PasswordHash::new(hash)?;
    let (Some(salt), Some(expected)) = (hash.salt, hash.hash) else {
        return Err(password_hash::Error::PhcStringField);
    };
    let params = Params::try_from(&hash)?;
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from)?;
    let mut salt_bytes = [0; 64];
    let salt = salt.decode_b64(&mut salt_bytes)?;
    memory.resize(memory.len().max(params.block_count()), Block::default());
    let argon2 = Argon2::new(Algorithm::try_from(hash.algorithm)?, version, params);
    let output = Output::init_with(expected.len(), |output| {
        Ok(argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, memory.as_mut_slice())?)
    })?;
    // The comparison takes constant time.
    Ok(output == expected)
}

/// Does the work of [`verify`] for a user that does not exist, so that the response takes as long.
fn verify_nothing(password: &str, memory: &mut Vec<Block>) {
    let argon2 = argon2();
    memory.resize(memory.len().max(argon2.params().block_count()), Block::default());
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    // The result is of no use.
    let _ = argon2.hash_password_into_with_memory(password.as_bytes(), &[0; 16], &mut output, memory.as_mut_slice());
}

/// A fixed number of threads that verify passwords, and a queue of bounded length before them. The address that has not
/// failed for the longest time is next, so that a login from one address does not wait for guesses from others.
#[derive(Clone)]
pub struct Hashers {
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    added: Condvar,
}

#[derive(Default)]
struct State {
    /// The logins of each address that wait for a thread.
    waiting: HashMap<String, VecDeque<Job>>,
    /// The number of places of each address.
    places: HashMap<String, usize>,
    /// The number of the last turn of each address that has failed in it.
    turns: HashMap<String, u64>,
    turn: u64,
}

/// A password to verify or to hash.
struct Job {
    password: String,
    work: Work,
    place: Place,
}

/// What a thread does with a password.
enum Work {
    Verify { hash: Option<String>, result: oneshot::Sender<bool> },
    Hash { salt: SaltString, result: oneshot::Sender<String> },
}

/// A place in the queue of an address. Dropping it leaves the queue.
pub struct Place {
    address: String,
    queue: Arc<Queue>,
}

impl Hashers {
    /// Starts the threads. A panic of one of them is reported to `failures`.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(failures: &Failures) -> io::Result<Self> {
        let queue = Arc::<Queue>::default();
        for _ in 0..THREADS {
            let (queue, failures) = (Arc::clone(&queue), failures.clone());
            thread::Builder::new().name("hasher".to_owned()).spawn(move || failures.watch("hasher", || queue.run()))?;
        }
        Ok(Self { queue })
    }

    /// Enters the queue. `None` if it is full, or if `address` has too many places in it.
    #[must_use]
    pub fn enter(&self, address: &str) -> Option<Place> {
        let mut state = self.queue.lock();
        let own = state.places.get(address).copied().unwrap_or_default();
        if own >= PLACES_PER_ADDRESS || state.places.values().sum::<usize>() >= PLACES {
            return None;
        }
        state.places.insert(address.to_owned(), own + 1);
        Some(Place { address: address.to_owned(), queue: Arc::clone(&self.queue) })
    }
}

impl Place {
    /// Verifies `password` against `hash`. Without a hash it does the same work and returns false.
    pub async fn verify(self, password: String, hash: Option<String>) -> bool {
        let (sender, result) = oneshot::channel();
        self.queue_up(password, Work::Verify { hash, result: sender });
        result.await.unwrap_or(false)
    }

    /// Hashes a new password, as [`hash`] does. `None` if it cannot be hashed.
    pub async fn hash(self, password: String) -> Option<String> {
        self.hash_with(password, SaltString::generate(&mut OsRng)).await
    }

    /// Hashes a password that was verified against the `outdated` hash. `None` if it cannot be hashed.
    pub async fn replace(self, password: String, outdated: &str) -> Option<String> {
        self.hash_with(password, replacing_salt(outdated).ok()?).await
    }

    async fn hash_with(self, password: String, salt: SaltString) -> Option<String> {
        let (sender, result) = oneshot::channel();
        self.queue_up(password, Work::Hash { salt, result: sender });
        result.await.ok()
    }

    fn queue_up(self, password: String, work: Work) {
        let queue = Arc::clone(&self.queue);
        let address = self.address.clone();
        queue.lock().waiting.entry(address).or_default().push_back(Job { password, work, place: self });
        queue.added.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        if let Some(count) = state.places.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                state.places.remove(&self.address);
            }
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Verifies passwords until the process ends.
    fn run(&self) {
        let mut memory = Vec::new();
        loop {
            let Job { password, work, place } = self.next();
            let (hash, result) = match work {
                Work::Verify { hash, result } => (hash, result),
                Work::Hash { salt, result } => {
                    if let Ok(hash) = hash_with(&password, &salt) {
                        let _ = result.send(hash);
                    }
                    continue;
                }
            };
            if result.is_closed() {
                // The client has gone.
                continue;
            }
            // A hash that is none, such as that of a user without a password, is like a user that does not exist.
            let is_right = hash.as_ref().and_then(|hash| verify(&password, hash, &mut memory).ok());
            if is_right.is_none() {
                verify_nothing(&password, &mut memory);
            }
            if is_right == Some(true) {
                self.lock().turns.remove(&place.address);
            }
            let _ = result.send(is_right.unwrap_or(false));
        }
    }

    /// Waits for the next login.
    fn next(&self) -> Job {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.next() {
                return job;
            }
            state = self.added.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    fn next(&mut self) -> Option<Job> {
        let last_turn = |address: &String| self.turns.get(address).copied().unwrap_or_default();
        let address = self.waiting.keys().min_by_key(|address| last_turn(address))?.clone();
        let jobs = self.waiting.get_mut(&address)?;
        let job = jobs.pop_front();
        if jobs.is_empty() {
            self.waiting.remove(&address);
        }
        self.turn += 1;
        self.turns.insert(address, self.turn);
        if self.turns.len() > TURNS_MAX {
            let forgotten = self.turn - TURNS_MAX as u64 / 2;
            self.turns.retain(|_, turn| *turn > forgotten);
        }
        job
    }
}
