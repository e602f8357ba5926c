//! `user add`, `user list`, `user passwd`, `user remove`.

use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;

use super::{CommandError, change, open_or_create, print_line};
use crate::command_line::User;
use crate::database::{Database, Value, Write, text};
use crate::passwords::{self, PASSWORD_LENGTH};
use crate::statements::{self, Statement};

/// More than the longest password and its line break have in UTF-8.
const PASSWORD_MAX_BYTES: u64 = 8 * 1024;

pub(super) fn run(path: &Path, command: User) -> Result<(), CommandError> {
    match command {
        User::Add { name, display_name } => {
            let added = new_user(&name, display_name, &read_password(&name)?)?;
            change(&open_or_create(path, &name, &added)?, &name, "added user", &[], added).map(drop)
        }
        User::List => list(&Database::open_existing(path)?),
        User::Passwd { name } => {
            let database = Database::open_existing(path)?;
            let hash = passwords::hash(&read_password(&name)?)?;
            let parameters = [text(&name), text(hash)];
            change_user(&database, &name, "changed password of user", &statements::SET_PASSWORD, parameters)
        }
        User::Remove { name } => {
            let database = Database::open_existing(path)?;
            change_user(&database, &name, "removed user", &statements::REMOVE_USER, [text(&name)])
        }
    }
}

/// Adds a user with a password. People see the name.
pub(super) fn add(database: &Database, name: &str, password: &str) -> Result<(), CommandError> {
    change(database, name, "added user", &[], new_user(name, None, password)?).map(drop)
}

/// Adds a user. Without a display name, people see the name.
fn new_user(name: &str, display_name: Option<String>, password: &str) -> Result<Write, CommandError> {
    let write = Write::new(&statements::ADD_USER, [text(name), text(passwords::hash(password)?)]);
    Ok(match display_name {
        Some(display_name) => write.then(&statements::SET_DISPLAY_NAME, [text(name), text(display_name)]),
        None => write,
    })
}

/// Runs a statement that returns the name of the user it changed.
fn change_user<const N: usize>(
    database: &Database,
    name: &str,
    what: &str,
    statement: &'static Statement,
    parameters: [Value; N],
) -> Result<(), CommandError> {
    let changed = change(database, name, what, &[name], Write::new(statement, parameters))?;
    let changed: Option<(String,)> = changed.one(statement)?;
    changed.map(drop).ok_or_else(|| CommandError::refused(name, "There is no such user."))
}

fn list(database: &Database) -> Result<(), CommandError> {
    let users = database.read(|snapshot| {
        snapshot.rows(&statements::LIST_USERS, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    })?;
    users.iter().try_for_each(|(name, created, display_name): &(String, String, String)| {
        print_line(&format!("{name}\t{display_name}\tsince {created} UTC"))
    })
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
