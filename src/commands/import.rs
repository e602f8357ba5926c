//! `import`: takes over the users, channels and history of the original MiniMost.

use std::path::Path;

use super::{CommandError, print_line};
use crate::database::{Originals, import};

pub(super) fn run(path: &Path, originals: &Originals) -> Result<(), CommandError> {
    for (line, count) in import(path, originals)? {
        match count {
            Some(count) => print_line(&format!("{line}: {count}"))?,
            None => print_line(&line)?,
        }
    }
    Ok(())
}
