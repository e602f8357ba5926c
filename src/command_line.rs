//! The command line: what can be typed, and how a mistake in it is told.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Voice and video calling, screen sharing and WebRTC signalling for a team on its own network.
#[derive(Debug, Parser)]
#[command(name = "minimost-calls", version, about, propagate_version = true)]
pub struct CommandLine {
    /// The database file; it is created if it is not there
    #[arg(long, global = true, env = "MINIMOST_DB", default_value = "presence.db", value_name = "FILE")]
    pub db: PathBuf,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the REST API until SIGTERM or Ctrl-C
    Serve(Serve),
    /// Add, list and remove users, and change passwords
    #[command(subcommand)]
    User(User),
    /// Print a new bearer token for a user
    Token {
        /// Whose token it is
        name: String,
        /// How long it is valid, such as 12h or 30d; the setting session_ttl without
        #[arg(long, value_parser = humantime::parse_duration)]
        ttl: Option<Duration>,
    },
    /// Add and list private channels, and change who belongs to them
    #[command(subcommand)]
    Channel(Channel),
    /// See it work: a throw-away database with three users, the server, and what to try
    Demo {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:6767", value_name = "ADDRESS")]
        listen: String,
    },
}

/// How to serve.
#[derive(Debug, Default, clap::Args)]
pub struct Serve {
    /// Where to listen; port 0 takes any that is free
    #[arg(long, default_value = "127.0.0.1:6767", value_name = "ADDRESS")]
    pub listen: String,
    /// A reverse proxy in front ends TLS: make cookies Secure, and believe its X-Forwarded-For
    #[arg(long)]
    pub behind_proxy: bool,
    /// Speak HTTPS with this certificate, a PEM file that may hold a chain; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key", conflicts_with = "tls_self_signed")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert", conflicts_with = "tls_self_signed")]
    pub tls_key: Option<PathBuf>,
    /// Speak HTTPS with a certificate for this machine from an authority of its own, which people trust once
    #[arg(long)]
    pub tls_self_signed: bool,
}

/// `user …`.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Add a user; the password is asked for, or the first line of standard input
    Add {
        /// 1 to 32 of A-Z a-z 0-9 _ -
        name: String,
    },
    /// List the users
    List,
    /// Change a password, which logs the user out everywhere
    Passwd {
        /// Whose password
        name: String,
    },
    /// Remove a user, who leaves calls, shares and private channels
    Remove {
        /// Whom
        name: String,
    },
}

/// `channel …`.
#[derive(Debug, Subcommand)]
pub enum Channel {
    /// Add a private channel and print its name
    Add {
        /// The title that people see
        title: String,
        /// Who belongs to it
        #[arg(long = "member", value_name = "NAME", num_args = 1.., required = true)]
        members: Vec<String>,
    },
    /// List the private channels and their members
    List,
    /// Make somebody a member
    Join {
        /// The channel's number, or its name private:<id>
        #[arg(value_parser = channel_id)]
        id: i64,
        /// Who
        name: String,
    },
    /// Take somebody off a channel, and off its call
    Leave {
        /// The channel's number, or its name private:<id>
        #[arg(value_parser = channel_id)]
        id: i64,
        /// Who
        name: String,
    },
}

fn channel_id(argument: &str) -> Result<i64, String> {
    argument
        .strip_prefix("private:")
        .unwrap_or(argument)
        .parse()
        .map_err(|_| "a channel is a number, or private:<id>".to_owned())
}

/// What clap says about a wrong command line, as one line: its own spans several.
#[must_use]
pub fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let sentence = text.split("\n\nUsage:").next().unwrap_or_default();
    let sentence = sentence.split("\n\nFor more information").next().unwrap_or_default();
    sentence.split_whitespace().collect::<Vec<_>>().join(" ")
}
