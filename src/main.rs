//! The program: parses the command line, runs the command, and tells what went wrong in one line.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use minimost_calls::command_line::{CommandLine, one_line};
use minimost_calls::commands;

fn main() -> ExitCode {
    let command_line = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // Nobody is left to tell when standard output is closed.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            return ExitCode::from(2);
        }
        Err(error) => {
            complain(&one_line(&error));
            return ExitCode::from(2);
        }
    };
    match commands::run(command_line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Says it on standard error; `eprintln!` would panic if nobody reads that.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
