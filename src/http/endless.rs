//! The rest of an HTTP/1.1 connection after the head of a response whose length is unknown: an event stream.
//!
//! hyper keeps two buffers of 8 KiB a connection, and what else it needs for further requests. An idle stream needs none of
//! it, so its connection leaves hyper with the head, and ends with the response.

use std::fmt::Write;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use hyper::body::Body;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::OpenRequest;

/// Writes a body in chunks (RFC 9112, section 7.1), until it ends or the client closes its end.
pub(super) struct EndlessBody<I, B> {
    stream: I,
    /// `None` once it has ended.
    body: Option<(B, OpenRequest)>,
    /// What is not written yet of a chunk.
    unwritten: BytesMut,
}

impl<I: AsyncRead + AsyncWrite + Unpin, B> EndlessBody<I, B> {
    pub(super) fn new(stream: I, body: B, open: OpenRequest) -> Self {
        Self { stream, body: Some((body, open)), unwritten: BytesMut::new() }
    }

    /// Completes when the client has closed its end. What it sends is discarded: no request follows on this connection.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut discarded = [0; 256];
            let mut buffer = ReadBuf::new(&mut discarded);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Completes when the chunk has been written.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unwritten.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.unwritten))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unwritten.advance(written);
        }
        // An idle stream holds no bytes.
        self.unwritten = BytesMut::new();
        Pin::new(&mut self.stream).poll_flush(context)
    }
}

impl<I, B> Future for EndlessBody<I, B>
where
    I: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.poll_closed(context)?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(this.poll_write(context))?;
            let Some((body, open)) = &mut this.body else {
                return Pin::new(&mut this.stream).poll_shutdown(context);
            };
            match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    // A chunk without bytes would end the body.
                    if let Some(bytes) = frame.into_data().ok().filter(|bytes| !bytes.is_empty()) {
                        open.bytes = bytes.len() as u64;
                        // A copy is cheaper than a system call with three parts.
                        let chunk = &mut this.unwritten;
                        chunk.reserve(bytes.len() + 16);
                        write!(chunk, "{:x}\r\n", bytes.len()).map_err(io::Error::other)?;
                        chunk.extend_from_slice(&bytes);
                        chunk.extend_from_slice(b"\r\n");
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => {
                    this.unwritten = b"0\r\n\r\n".as_slice().into();
                    this.body = None;
                }
            }
        }
    }
}
