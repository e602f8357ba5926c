//! `user …`.

use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;

use super::output::{self, Columns};
use super::{CommandError, change, open_or_create, session};
use crate::command_line::{Role, User};
use crate::database::{Database, Write, text};
use crate::passwords::{self, PASSWORD_LENGTH};
use crate::statements;

/// More than the longest password and its line break have in UTF-8.
const PASSWORD_MAX_BYTES: u64 = 8 * 1024;

const USERS: Columns = &[
    ("USER", "username"),
    ("DISPLAY NAME", "display_name"),
    ("ROLE", "role"),
    ("SINCE", "created_ts"),
    ("SESSIONS", "sessions"),
];

pub(super) fn run(path: &Path, command: User) -> Result<(), CommandError> {
    let existing = || Database::open_existing(path);
    match command {
        User::Add { name, display_name, admin } => {
            let mut added = new_user(&name, &read_password(&name)?)?;
            if let Some(display_name) = display_name {
                added = added.then(&statements::SET_DISPLAY_NAME, [text(&name), text(display_name)]);
            }
            if admin {
                added = added.then(&statements::SET_ROLE, [text(&name), text("admin")]);
            }
            let what = if admin { "added admin" } else { "added user" };
            change(&open_or_create(path, &name, &added)?, &name, what, &[], added).map(drop)
        }
        User::List(output) => output::list(&existing()?, &statements::USERS, [&"", &output::ALL], USERS, output),
        User::Sessions { name, output } => session::list(&existing()?, Some(&name), output),
        User::Passwd { name } => {
            let database = existing()?;
            let hash = passwords::hash(&read_password(&name)?)?;
            let write = Write::new(&statements::SET_PASSWORD, [text(&name), text(hash)]);
            change(&database, &name, "changed password of user", &[], write).map(drop)
        }
        User::RenameDisplay { name, display_name } => {
            let write = Write::new(&statements::SET_DISPLAY_NAME, [text(&name), text(display_name)]);
            change(&existing()?, &name, "changed display name of user", &[], write).map(drop)
        }
        User::Role { name, role } => {
            let (role, what) = match role {
                Role::Admin => ("admin", "made an admin of user"),
                Role::Member => ("member", "made a member of user"),
            };
            let write = Write::new(&statements::SET_ROLE, [text(&name), text(role)]);
            change(&existing()?, &name, what, &[], write).map(drop)
        }
        User::Remove { name } => {
            let write = Write::new(&statements::REMOVE_USER, [text(&name)]);
            change(&existing()?, &name, "removed user", &[], write).map(drop)
        }
    }
}

/// Adds a user with a password. People see the name.
pub(super) fn add(database: &Database, name: &str, password: &str) -> Result<(), CommandError> {
    change(database, name, "added user", &[], new_user(name, password)?).map(drop)
}

fn new_user(name: &str, password: &str) -> Result<Write, CommandError> {
    Ok(Write::new(&statements::ADD_USER, [text(name), text(passwords::hash(password)?)]))
}

/// Reads the password: from a prompt on a terminal, else the first line of standard input.
fn read_password(name: &str) -> Result<String, CommandError> {
    let password = if io::stdin().is_terminal() {
        let password = rpassword::prompt_password(format!("Password for {name}: "))?;
        if rpassword::prompt_password("Repeat the password: ")? != password {
            return Err(CommandError::PasswordsDiffer);
        }
        password
    } else {
        let mut line = Vec::new();
        io::stdin().lock().take(PASSWORD_MAX_BYTES).read_until(b'\n', &mut line)?;
        let line = String::from_utf8(line).map_err(|_| CommandError::PasswordEncoding)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    if password.is_empty() {
        return Err(CommandError::NoPassword);
    }
    if !PASSWORD_LENGTH.contains(&password.chars().count()) {
        return Err(CommandError::PasswordLength);
    }
    Ok(password)
}
