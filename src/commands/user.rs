//! `user add`, `user list`, `user passwd`, `user remove`.

use std::io::{self, IsTerminal};

use super::{CommandError, print_line, text, write};
use crate::command_line::User;
use crate::database::{Database, Write};
use crate::passwords;
use crate::statements;

pub(super) fn run(database: &Database, command: User) -> Result<(), CommandError> {
    match command {
        User::Add { name } => add(database, &name, &read_password(&name)?),
        User::List => list(database),
        User::Passwd { name } => {
            let hash = hash(&read_password(&name)?)?;
            let answers = write(database, &name, Write::new(&statements::SET_PASSWORD, [text(&name), text(hash)]))?;
            if answers[0].is_empty() { Err(no_such_user(&name)) } else { Ok(()) }
        }
        User::Remove { name } => {
            let answers = write(database, &name, Write::new(&statements::REMOVE_USER, [text(&name)]))?;
            if answers[0].is_empty() { Err(no_such_user(&name)) } else { Ok(()) }
        }
    }
}

/// Adds a user with a password.
pub(super) fn add(database: &Database, name: &str, password: &str) -> Result<(), CommandError> {
    let write_user = Write::new(&statements::ADD_USER, [text(name), text(hash(password)?)]);
    write(database, name, write_user).map(drop)
}

fn hash(password: &str) -> Result<String, CommandError> {
    passwords::hash(password).map_err(|error| CommandError::new(format!("the password cannot be hashed: {error}")))
}

fn no_such_user(name: &str) -> CommandError {
    CommandError::new(format!("{name}: There is no such user."))
}

fn list(database: &Database) -> Result<(), CommandError> {
    let users = database.read(|snapshot| {
        snapshot.rows(&statements::LIST_USERS, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
    })?;
    users.iter().try_for_each(|(name, created)| print_line(&format!("{name}\tsince {created} UTC")))
}

/// The password from a prompt on a terminal, else the first line of standard input.
fn read_password(name: &str) -> Result<String, CommandError> {
    let password = if io::stdin().is_terminal() {
        let password = rpassword::prompt_password(format!("Password for {name}: "))?;
        if rpassword::prompt_password("The same again: ")? != password {
            return Err(CommandError::new("the two passwords differ"));
        }
        password
    } else {
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    if password.is_empty() {
        return Err(CommandError::new("the password is empty; it is the first line of standard input"));
    }
    Ok(password)
}
