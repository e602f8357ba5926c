//! Messages between members, and of commands to the member on their machine: a length of four bytes, and as many bytes of
//! postcard (<https://postcard.jamesmunns.com/wire-format>). Each connection begins with a [`Hello`] of either side; then one
//! side asks and the other replies.

use std::io::{self, Read, Write as _};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use openraft::Vote;
use openraft::error::RaftError;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::status::MemberStatus;
use super::tls::{MemberTls, member_name};
use super::types::{SnapshotMeta, Types, decode, encode_after};
use crate::database::{Outcome, Write, WriteError, folder_of, with_suffix};

/// Members of another protocol are not understood.
const PROTOCOL: u16 = 1;

/// The most bytes of a message. An entry has at most some megabytes.
const MESSAGE_MAX_BYTES: u32 = 256 * 1024 * 1024;

/// How long a connection may take to be made.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a command waits for its member.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(15);

/// Who is at the other end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Hello {
    protocol: u16,
    /// The cluster that it is a member of. None yet if it is new, or a command.
    pub(super) cluster: Option<String>,
    /// Its number. 0 is a command.
    pub(super) node: u64,
}

impl Hello {
    pub(super) fn new(cluster: Option<String>, node: u64) -> Self {
        Self { protocol: PROTOCOL, cluster, node }
    }
}

/// What one side asks.
#[derive(Serialize, Deserialize)]
pub(super) enum Ask {
    /// Store these entries. `now` is the time of the cluster without its steps.
    Append {
        request: AppendEntriesRequest<Types>,
        now: f64,
    },
    Vote(VoteRequest<u64>),
    /// A copy of the leader's file follows, of `length` bytes.
    Copy {
        vote: Vote<u64>,
        meta: SnapshotMeta,
        length: u64,
    },
    /// Carry these writes out, as the leader.
    Writes(Vec<Arc<Write>>),
    /// Carry this write out, whoever leads.
    Write(Arc<Write>),
    /// These people are online at the member that asks.
    Online(Vec<String>),
    /// Take this new machine in.
    Join {
        node: u64,
        address: String,
    },
    Status,
}

/// What the other side replies.
#[derive(Serialize, Deserialize)]
pub(super) enum Reply {
    Append(Result<AppendEntriesResponse<u64>, RaftError<u64>>),
    Vote(Result<VoteResponse<u64>, RaftError<u64>>),
    /// The vote of the member that has installed the copy.
    Copy(Result<Vote<u64>, String>),
    Writes(Vec<Acknowledged>),
    Write(Acknowledged),
    /// It took note.
    Noted,
    /// The name of the cluster.
    Joined(Result<String, NotJoined>),
    Status(Box<MemberStatus>),
    /// It does not talk about this.
    Refused(String),
}

/// What a write came to, and the index of its entry.
pub(super) type Acknowledged = Result<(u64, Outcome), Unacknowledged>;

/// Why a write has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Unacknowledged {
    /// It was not carried out, and never will be.
    NotDone,
    /// It may have been carried out, or be so soon.
    Unknown,
}

impl From<Unacknowledged> for WriteError {
    fn from(why: Unacknowledged) -> Self {
        match why {
            Unacknowledged::NotDone => Self::NoLeader,
            Unacknowledged::Unknown => Self::OutcomeUnknown,
        }
    }
}

/// Why a new machine is not taken in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum NotJoined {
    /// Another member leads, or none.
    NotLeading,
    /// Nothing that a retry changes.
    Refused(String),
}

/// Why there is no reply.
#[derive(Debug)]
pub(super) enum WireError {
    /// The other side has not heard the question.
    NotSent(io::Error),
    /// It may have.
    Lost(io::Error),
}

impl From<WireError> for io::Error {
    fn from(error: WireError) -> Self {
        match error {
            WireError::NotSent(error) | WireError::Lost(error) => error,
        }
    }
}

/// A connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for T {}

/// Sends `message`.
///
/// # Errors
/// If the connection is lost.
pub(super) async fn send(stream: &mut dyn Stream, message: &impl Serialize) -> io::Result<()> {
    stream.write_all(&frame(message)?).await?;
    stream.flush().await
}

/// Receives a message.
///
/// # Errors
/// If the connection is lost, or the message is no `T`.
pub(super) async fn receive<T: DeserializeOwned>(stream: &mut dyn Stream) -> io::Result<T> {
    let length = checked_length(stream.read_u32().await?)?;
    let mut bytes = Vec::new();
    stream.take(length).read_to_end(&mut bytes).await?;
    unframe(&bytes, length)
}

fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = encode_after(vec![0; 4], message).map_err(io::Error::other)?;
    let length = u32::try_from(frame.len() - 4).ok().filter(|length| *length <= MESSAGE_MAX_BYTES);
    let length = length.ok_or_else(|| io::Error::other("the message is too large"))?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

fn checked_length(length: u32) -> io::Result<u64> {
    if length > MESSAGE_MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too large"));
    }
    Ok(length.into())
}

fn unframe<T: DeserializeOwned>(bytes: &[u8], length: u64) -> io::Result<T> {
    if bytes.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    decode(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Exchanges hellos.
///
/// # Errors
/// If the connection is lost, or the other side speaks another protocol.
pub(super) async fn greet(stream: &mut dyn Stream, own: &Hello) -> io::Result<Hello> {
    send(stream, own).await?;
    let hello: Hello = receive(stream).await?;
    checked_hello(hello)
}

fn checked_hello(hello: Hello) -> io::Result<Hello> {
    if hello.protocol != PROTOCOL {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the member speaks another protocol"));
    }
    Ok(hello)
}

/// A connection to a member, made when it is needed.
pub(super) struct Wire {
    address: String,
    tls: MemberTls,
    stream: Option<Box<dyn Stream>>,
}

impl Wire {
    pub(super) fn new(address: String, tls: MemberTls) -> Self {
        Self { address, tls, stream: None }
    }

    /// Sends `ask` and returns the reply. If the future is dropped, the connection is closed.
    ///
    /// # Errors
    /// If the member cannot be reached, or the connection is lost.
    pub(super) async fn ask(&mut self, own: &Hello, ask: &Ask) -> Result<Reply, WireError> {
        let mut stream = self.connected(own).await.map_err(WireError::NotSent)?;
        send(&mut *stream, ask).await.map_err(WireError::Lost)?;
        let reply = receive(&mut *stream).await.map_err(WireError::Lost)?;
        self.stream = Some(stream);
        Ok(reply)
    }

    /// Sends `ask`, and the bytes of `file` if it is noted. Returns the reply to them, or the refusal.
    ///
    /// # Errors
    /// As [`Wire::ask`].
    pub(super) async fn send_file(
        &mut self,
        own: &Hello,
        ask: &Ask,
        file: &mut std::fs::File,
    ) -> Result<Reply, WireError> {
        let reply = self.ask(own, ask).await?;
        let (Reply::Noted, Some(mut stream)) = (&reply, self.stream.take()) else { return Ok(reply) };
        let mut bytes = vec![0; 256 * 1024];
        loop {
            let count = tokio::task::block_in_place(|| file.read(&mut bytes)).map_err(WireError::Lost)?;
            if count == 0 {
                break;
            }
            stream.write_all(&bytes[..count]).await.map_err(WireError::Lost)?;
        }
        stream.flush().await.map_err(WireError::Lost)?;
        let reply = receive(&mut *stream).await.map_err(WireError::Lost)?;
        self.stream = Some(stream);
        Ok(reply)
    }

    async fn connected(&mut self, own: &Hello) -> io::Result<Box<dyn Stream>> {
        if let Some(mut stream) = self.stream.take() {
            // The other side sends nothing without being asked: what can be read is the end.
            let mut byte = [0];
            if stream.read(&mut byte).now_or_never().is_none() {
                return Ok(stream);
            }
        }
        let connect = async {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            let mut stream = self.tls.connector.connect(member_name(), stream).await?;
            greet(&mut stream, own).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        };
        timeout(CONNECT_TIMEOUT, connect).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// The socket on which the member of the database at `path` listens for commands of this machine.
pub(super) fn socket_path(path: &Path) -> PathBuf {
    with_suffix(path, "-member")
}

/// The member that serves the file of a command.
pub(crate) struct LocalMember {
    socket: PathBuf,
}

impl LocalMember {
    /// The member of the database at `path`, whether it runs or not.
    pub(crate) fn of(path: &Path) -> Self {
        Self { socket: socket_path(path) }
    }

    /// Has `write` carried out by the cluster.
    ///
    /// # Errors
    /// [`WriteError::NoMember`] if no member runs on the file, and as a write of a member.
    pub(crate) fn write(&self, write: &Arc<Write>) -> Result<Outcome, WriteError> {
        match self.ask(&Ask::Write(Arc::clone(write))) {
            Ok(Reply::Write(acknowledged)) => Ok(acknowledged?.1),
            Ok(_) | Err(WireError::Lost(_)) => Err(WriteError::OutcomeUnknown),
            Err(WireError::NotSent(_)) => Err(WriteError::NoMember),
        }
    }

    /// How the member is, and what it knows of the others.
    ///
    /// # Errors
    /// If no member runs on the file.
    pub(crate) fn status(&self) -> io::Result<MemberStatus> {
        match self.ask(&Ask::Status)? {
            Reply::Status(status) => Ok(*status),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn ask(&self, ask: &Ask) -> Result<Reply, WireError> {
        let connect = || {
            let mut stream = connect(&self.socket)?;
            stream.set_read_timeout(Some(COMMAND_TIMEOUT))?;
            stream.set_write_timeout(Some(COMMAND_TIMEOUT))?;
            stream.write_all(&frame(&Hello::new(None, 0))?)?;
            checked_hello(receive_blocking(&mut stream)?)?;
            Ok(stream)
        };
        let mut stream = connect().map_err(WireError::NotSent)?;
        let message = frame(ask).map_err(WireError::NotSent)?;
        stream.write_all(&message).map_err(WireError::Lost)?;
        receive_blocking(&mut stream).map_err(WireError::Lost)
    }
}

fn connect(socket: &Path) -> io::Result<StdUnixStream> {
    match StdUnixStream::connect(socket) {
        // The path is too long for a socket (unix(7)), so it is reached through its folder.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            let (_folder, socket) = short_path(socket)?;
            StdUnixStream::connect(socket)
        }
        result => result,
    }
}

/// A path of the same socket that is short, as long as the folder is open.
pub(super) fn short_path(socket: &Path) -> io::Result<(std::fs::File, PathBuf)> {
    use std::os::fd::AsRawFd;
    let folder = std::fs::File::open(folder_of(socket))?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    Ok((folder, short.join(socket.file_name().unwrap_or_default())))
}

fn receive_blocking<T: DeserializeOwned>(stream: &mut StdUnixStream) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = checked_length(u32::from_be_bytes(length))?;
    let mut bytes = Vec::new();
    stream.take(length).read_to_end(&mut bytes)?;
    unframe(&bytes, length)
}
