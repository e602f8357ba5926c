//! `completions` and `man`, which clap makes from the grammar of the command line.

use std::io::{self, Write as _};

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::CommandError;
use crate::command_line::CommandLine;

/// Prints the completions for a shell.
pub(super) fn completions(shell: Shell) -> Result<(), CommandError> {
    let mut grammar = CommandLine::command();
    let name = grammar.get_name().to_owned();
    // clap_complete would panic if standard output was closed.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut grammar, name, &mut text);
    Ok(io::stdout().write_all(&text)?)
}

/// Prints the manual page of the program, or of the command with these words.
pub(super) fn man(command: &[String]) -> Result<(), CommandError> {
    let mut grammar = CommandLine::command();
    grammar.build();
    let mut page = &grammar;
    for word in command {
        let unknown = || CommandError::refused(command.join(" "), "There is no such command.");
        page = page.find_subcommand(word).ok_or_else(unknown)?;
    }
    let mut text = Vec::new();
    Man::new(page.clone()).render(&mut text)?;
    Ok(io::stdout().write_all(&text)?)
}
