//! The command line: its grammar, and one-line messages for its errors. The comments are the texts of `--help`.

use std::env;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

/// Voice and video calling, screen sharing and WebRTC signalling for a team on its own network.
#[derive(Debug, Parser)]
#[command(name = "minimost-calls", version, about, propagate_version = true)]
#[command(after_help = "Documentation: /docs/ of a running server, or the folder src/docs/ of the source code.")]
pub struct CommandLine {
    /// The database file [default: the variable `MINIMOST_DB`, else presence.db]
    #[arg(long, global = true, value_name = "FILE")]
    pub db: Option<PathBuf>,

    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

impl CommandLine {
    /// The path of the database file: the option, else the environment variable, else `presence.db`.
    #[must_use]
    pub fn database_path(&self) -> PathBuf {
        let path = self.db.clone().or_else(|| env::var_os("MINIMOST_DB").map(PathBuf::from));
        path.unwrap_or_else(|| "presence.db".into())
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server, with its API and web pages, until SIGTERM or Ctrl-C
    Serve(Serve),
    /// Manage users and their passwords
    #[command(subcommand)]
    User(User),
    /// Print a new bearer token of a user, or of a service
    Token(TokenOptions),
    /// List the sessions, and end them
    #[command(subcommand)]
    Session(Session),
    /// Manage the host applications whose users may come in with a token
    #[command(subcommand)]
    Issuer(Issuer),
    /// Show the live calls, and end them
    #[command(subcommand)]
    Call(Call),
    /// List and change the settings
    #[command(subcommand)]
    Setting(Setting),
    /// Manage private channels and their members
    #[command(subcommand)]
    Channel(Channel),
    /// Delete old calls and screen shares
    #[command(subcommand)]
    History(History),
    /// Manage webhooks, which send every event of calls to other programs
    #[command(subcommand)]
    Webhook(Webhook),
    /// Manage a cluster: several machines with the same calls
    #[cfg(feature = "cluster")]
    #[command(subcommand)]
    Cluster(Cluster),
    /// Run a statement of SQL that reads or changes rows, by the rules of the database. The only way to change a cluster's
    Sql {
        /// The statement; - is standard input
        statement: String,
    },
    /// Take over users, private channels and call history of a stopped original MiniMost, into a new file
    Import {
        /// Its database of channels and calls
        #[arg(long, value_name = "FILE")]
        presence: PathBuf,
        /// Its database of users
        #[arg(long, value_name = "FILE")]
        auth: PathBuf,
    },
    /// Copy the database into a new file, also while a server runs
    Backup {
        /// The new file
        file: PathBuf,
    },
    /// Check the file: its pages, its references, its rows and its rules
    Check(Output),
    /// Print how many people, channels, calls and sessions there are, and the size of the file
    Stats(Output),
    /// Print completions for a shell, to be read by its start-up file
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page of the program or of one of its commands, for man(1)
    Man {
        /// The command, such as `user add`
        command: Vec<String>,
    },
    /// Run a server with a temporary database and three users, and print commands to try
    Demo {
        /// Address to listen on
        #[arg(long, default_value = "127.0.0.1:6767", value_name = "ADDRESS")]
        listen: String,
    },
}

/// How a command prints what it lists or shows.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Output {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `token …`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct TokenOptions {
    /// Manage the tokens of services instead.
    #[command(subcommand)]
    pub command: Option<ServiceToken>,
    /// The user
    #[arg(required_unless_present = "service")]
    pub name: Option<String>,
    /// Make the token of a service instead, a program that is no user
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    pub service: Option<String>,
    /// What the service may do [default: metrics]
    #[arg(long = "scope", value_name = "SCOPE", requires = "service", conflicts_with = "name", value_parser = ["metrics", "admin"], num_args = 1..)]
    pub scopes: Vec<String>,
    /// How long the token is valid, such as 12h or 30d [default: the setting `session_ttl`]
    #[arg(long, value_parser = lifetime)]
    pub ttl: Option<Duration>,
}

/// `token list` and `token revoke`.
#[derive(Debug, Subcommand)]
pub enum ServiceToken {
    /// List the tokens of services
    List(Output),
    /// Revoke the token of a service
    Revoke {
        /// The service
        name: String,
    },
}

/// `session …`.
#[derive(Debug, Subcommand)]
pub enum Session {
    /// List the sessions with their ids
    List {
        /// Of this user alone
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Print JSON
        #[command(flatten)]
        output: Output,
    },
    /// End a session
    Revoke {
        /// The id, from `session list`
        id: String,
    },
}

/// `issuer …`.
#[derive(Debug, Subcommand)]
pub enum Issuer {
    /// Let the users of a host application in, with tokens that it signs
    Add {
        /// The claim `iss` of its tokens
        name: String,
        /// The algorithm of its signatures
        #[arg(long, value_name = "HS256|RS256|ES256|EdDSA")]
        algorithm: String,
        /// A file with the secret (HS256), with the public key in PEM, or with a JSON Web Key Set; - is standard input
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// What the claim `aud` has to name [default: it is ignored]
        #[arg(long, value_name = "TEXT")]
        audience: Option<String>,
        /// By how much its clock may differ, such as 10s [default: 30s]
        #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
        clock_skew: Option<Duration>,
    },
    /// List the host applications, without their keys
    List(Output),
    /// Change the key of a host application; sessions of its people last
    SetKey {
        /// The host application
        name: String,
        /// A file with the new key, as for `issuer add`
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Remove a host application, and end the sessions of its people
    Remove {
        /// The host application
        name: String,
    },
}

/// `call …`.
#[derive(Debug, Subcommand)]
pub enum Call {
    /// List the live calls
    List(Output),
    /// Show a call, live or finished
    Show {
        /// The id, from `call list`
        id: String,
        /// Print JSON
        #[command(flatten)]
        output: Output,
    },
    /// End a live call for everyone
    End {
        /// The id, from `call list`
        id: String,
    },
}

/// `setting …`.
#[derive(Debug, Subcommand)]
pub enum Setting {
    /// List the settings with their values, defaults and meanings
    List(Output),
    /// Print the value of a setting
    Get {
        /// The setting
        name: String,
        /// Print JSON
        #[command(flatten)]
        output: Output,
    },
    /// Change a setting, at once and without a restart
    Set {
        /// The setting
        name: String,
        /// The new value; - reads it from standard input, where no list of processes shows it
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Return a setting to its default
    Reset {
        /// The setting
        name: String,
    },
}

/// A role of a user.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Role {
    /// May use the routes at /admin/
    Admin,
    /// May not
    Member,
}

/// The options of `serve`.
#[derive(Debug, Default, clap::Args)]
pub struct Serve {
    /// Address to listen on. Port 0 picks a free port
    #[arg(long, default_value = "127.0.0.1:6767", value_name = "ADDRESS")]
    pub listen: String,
    /// A reverse proxy terminates TLS: set Secure on cookies and trust the proxy's X-Forwarded-For
    #[arg(long)]
    pub behind_proxy: bool,
    /// Serve HTTPS with this certificate or certificate chain in PEM. A changed file is reloaded
    #[arg(long, value_name = "FILE", requires = "tls_key", conflicts_with = "tls_self_signed")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", conflicts_with = "tls_self_signed")]
    pub tls_key: Option<PathBuf>,
    /// Serve HTTPS with a certificate for this machine. The server's own certificate authority signs it, and each
    /// device trusts that authority once
    #[arg(long)]
    pub tls_self_signed: bool,
    /// Format of the log: lines for people, or JSON objects for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// Serve as a member of the cluster of this file, from `cluster init`
    #[cfg(feature = "cluster")]
    #[arg(long, value_name = "FILE", requires = "node")]
    pub cluster: Option<PathBuf>,
    /// The number of this machine in the cluster
    #[cfg(feature = "cluster")]
    #[arg(long, value_name = "NUMBER", requires = "cluster")]
    pub node: Option<u64>,
}

/// `cluster …`.
#[cfg(feature = "cluster")]
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Write the file of a new cluster, of which each machine needs a copy
    Init {
        /// A member: its number, and where the others reach it
        #[arg(long = "node", value_name = "NUMBER=HOST:PORT", required = true, value_parser = member)]
        nodes: Vec<(u64, String)>,
        /// The new file
        #[arg(long, value_name = "FILE")]
        into: PathBuf,
    },
    /// Show who leads, and how far each member is
    Status(Output),
    /// Let another machine join
    Add {
        /// Its number, and where the others reach it
        #[arg(value_name = "NUMBER=HOST:PORT", value_parser = member)]
        node: (u64, String),
    },
    /// Vote a member out, which may be gone
    Remove {
        /// Its number
        node: u64,
    },
    /// Vote out a member that has lost its files, so that it can join again with a new file
    Replace {
        /// Its number
        node: u64,
    },
    /// Make the file of a stopped member a single server's
    Leave,
}

#[cfg(feature = "cluster")]
fn member(text: &str) -> Result<(u64, String), String> {
    crate::cluster::parse_member(text, '=')
}

/// The format of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A line that is a JSON object.
    Json,
}

/// `user …`.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Add a user. Without a terminal, the password is the first line of standard input
    Add {
        /// 1 to 64 of the characters A-Z a-z 0-9 . _ @ -
        name: String,
        /// The name that people see [default: the user name]
        #[arg(long, value_name = "TEXT")]
        display_name: Option<String>,
        /// Make the user an admin, who may use the routes at /admin/
        #[arg(long)]
        admin: bool,
    },
    /// List the users
    List(Output),
    /// Change the name that people see
    RenameDisplay {
        /// The user
        name: String,
        /// The new name
        display_name: String,
    },
    /// Make a user an admin, who may use the routes at /admin/, or a member
    Role {
        /// The user
        name: String,
        /// The role
        role: Role,
    },
    /// List the sessions of a user
    Sessions {
        /// The user
        name: String,
        /// Print JSON
        #[command(flatten)]
        output: Output,
    },
    /// Change a user's password and end all their sessions
    Passwd {
        /// The user
        name: String,
    },
    /// Remove a user, also from calls, screen shares and private channels
    Remove {
        /// The user
        name: String,
    },
}

/// `channel …`.
#[derive(Debug, Subcommand)]
pub enum Channel {
    /// Add a private channel and print its name
    Add {
        /// The title
        title: String,
        /// A member. The first one creates the channel
        #[arg(long = "member", value_name = "NAME", num_args = 1.., required = true)]
        members: Vec<String>,
    },
    /// List the private channels and their members
    List(Output),
    /// Change the title of a channel
    Rename {
        /// The channel's number, or its name `private:<id>`
        #[arg(value_parser = channel_name, value_name = "ID")]
        channel: String,
        /// The new title
        title: String,
    },
    /// Remove a channel, and end its call
    Remove {
        /// The channel's number, or its name `private:<id>`
        #[arg(value_parser = channel_name, value_name = "ID")]
        channel: String,
    },
    /// Add a member to a channel
    Join {
        /// The channel's number, or its name `private:<id>`
        #[arg(value_parser = channel_name, value_name = "ID")]
        channel: String,
        /// The user
        name: String,
    },
    /// Remove a member from a channel, and from its call
    Leave {
        /// The channel's number, or its name `private:<id>`
        #[arg(value_parser = channel_name, value_name = "ID")]
        channel: String,
        /// The user
        name: String,
    },
}

/// `history …`.
#[derive(Debug, Subcommand)]
pub enum History {
    /// Delete the calls and screen shares that ended so long ago, in small steps beside a running server
    Prune {
        /// Their age, such as 365d. At least the setting `events_max_age`
        #[arg(long, value_parser = humantime::parse_duration, value_name = "AGE")]
        older_than: Duration,
    },
}

/// `webhook …`.
#[derive(Debug, Subcommand)]
pub enum Webhook {
    /// Add a receiver of events, and print the secret that signs what it gets
    Add {
        /// Its name
        name: String,
        /// Where requests go: http:// or https://
        url: String,
        /// A type of events that it gets, such as `call.ended` [default: all]
        #[arg(long = "kind", value_name = "TYPE")]
        kinds: Vec<String>,
        /// Allow an address of this machine or of a private network
        #[arg(long)]
        allow_private: bool,
        /// Read the secret from standard input, instead of printing a new one
        #[arg(long)]
        secret_from_stdin: bool,
    },
    /// List the webhooks, and how many deliveries wait
    List(Output),
    /// Remove a webhook, and what was not delivered
    Remove {
        /// The webhook
        name: String,
    },
    /// List what could not be delivered to a webhook
    Failures {
        /// The webhook
        name: String,
        /// Print JSON
        #[command(flatten)]
        output: Output,
    },
    /// Retry all deliveries of a webhook now, and use it again if its receiver was gone
    Retry {
        /// The webhook
        name: String,
    },
}

/// The shortest and the longest lifetime of a token: the longest is that of the setting `session_ttl`, ten years.
const LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(315_360_000);

fn lifetime(argument: &str) -> Result<Duration, String> {
    let lifetime = humantime::parse_duration(argument).map_err(|error| error.to_string())?;
    if LIFETIMES.contains(&lifetime) { Ok(lifetime) } else { Err("a token is valid for 1s to 3650d".to_owned()) }
}

/// The name of the private channel of a number or name.
fn channel_name(argument: &str) -> Result<String, String> {
    let id = argument.strip_prefix("private:").unwrap_or(argument).parse::<i64>();
    id.map(|id| format!("private:{id}")).map_err(|_| "a channel is a number, or private:<id>".to_owned())
}

/// clap's message about a wrong command line, joined to one line.
#[must_use]
pub fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let sentence = text.split("\n\nUsage:").next().unwrap_or_default();
    let sentence = sentence.split("\n\nFor more information").next().unwrap_or_default();
    sentence.split_whitespace().collect::<Vec<_>>().join(" ")
}
