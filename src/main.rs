//! The program: parses the command line, runs the command, and reports an error in one line.

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
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            return ExitCode::from(2);
        }
        Err(error) => {
            report(&one_line(&error));
            return ExitCode::from(2);
        }
    };
    match commands::run(command_line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("error: {error}"));
            ExitCode::from(error.exit_status())
        }
    }
}

/// Prints one line to standard error, although an argument in the message may contain line breaks, or codes that control a
/// terminal. `eprintln!` would panic if standard error is closed.
fn report(message: &str) {
    let _ = writeln!(io::stderr(), "{}", message.replace(char::is_control, " "));
}
