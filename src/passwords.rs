//! Passwords: Argon2id, off the async threads, a few at a time.

use std::sync::LazyLock;

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{self, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Memory in KiB, passes and lanes of a hash: the second of OWASP's recommended settings for Argon2id
/// (<https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// So many hashes at once bound the memory (19 MiB each) and the cores that logins can take.
static HASHING: Semaphore = Semaphore::const_new(2);

/// What is verified for a name that nobody has, so that the answer takes as long.
static HASH_OF_NOBODY: LazyLock<Option<String>> = LazyLock::new(|| hash("nobody").ok());

fn argon2() -> Argon2<'static> {
    // Params::new fails for values out of range alone, and these are constants in it; the default is in it too.
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The hash of `password` with a new salt, as a PHC string for `users.password_hash`. It takes tens of milliseconds.
///
/// # Errors
/// When the password is longer than Argon2 takes, which is 4 GiB.
pub fn hash(password: &str) -> Result<String, password_hash::Error> {
    let salt = SaltString::generate(&mut OsRng);
    Ok(argon2().hash_password(password.as_bytes(), &salt)?.to_string())
}

/// Whether `password` is the one of which `hash` is the hash. It takes as long when `hash` is none, and is then false.
pub async fn verify(password: String, hash: Option<String>) -> bool {
    let Ok(_permit) = HASHING.acquire().await else {
        return false;
    };
    spawn_blocking(move || {
        let known = hash.is_some();
        let hash = hash.or_else(|| HASH_OF_NOBODY.clone()).unwrap_or_default();
        let matches =
            PasswordHash::new(&hash).is_ok_and(|parsed| argon2().verify_password(password.as_bytes(), &parsed).is_ok());
        known && matches
    })
    .await
    .unwrap_or(false)
}
