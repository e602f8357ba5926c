//! Passwords: Argon2id, on blocking threads, a few at a time.

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

/// The most hashes at a time. It bounds the memory (19 MiB each) and the cores that logins can use.
static HASHING: Semaphore = Semaphore::const_new(2);

/// Verified for an unknown name, so that the response takes as long.
static UNKNOWN_USER_HASH: LazyLock<Option<String>> = LazyLock::new(|| hash("nobody").ok());

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
    let salt = SaltString::generate(&mut OsRng);
    Ok(argon2().hash_password(password.as_bytes(), &salt)?.to_string())
}

/// Verifies `password` against `hash`. Without a hash it does the same work and returns false.
pub async fn verify(password: String, hash: Option<String>) -> bool {
    let Ok(_permit) = HASHING.acquire().await else {
        return false;
    };
    spawn_blocking(move || {
        let known = hash.is_some();
        let hash = hash.or_else(|| UNKNOWN_USER_HASH.clone()).unwrap_or_default();
        let matches =
            PasswordHash::new(&hash).is_ok_and(|parsed| argon2().verify_password(password.as_bytes(), &parsed).is_ok());
        known && matches
    })
    .await
    .unwrap_or(false)
}
