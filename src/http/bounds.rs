//! Bounds of what a response contains, and of what the server holds for one person.

use std::sync::Arc;

use hyper::body::Body as _;
use rusqlite::{Row, ToSql};
use warp::Reply;
use warp::http::Method;
use warp::reply::Response;

use super::authentication::Caller;
use super::{Error, Request, json_text};
use crate::database::{ReadError, Snapshot};
use crate::statements::{self, Statement};

/// A list ends before the item that would make it larger than this, but has at least one item. The client reads on from
/// the last item.
pub(super) const LIST_MAX_BYTES: usize = 1024 * 1024;

/// The default and the maximum of `?limit=`, in items.
const LIMIT_DEFAULT: i64 = 50;
const LIMIT_MAX: i64 = 200;

/// Responses and request bodies up to this size are not counted: the number of connections and streams bounds them.
const SMALL_MAX_BYTES: u64 = 4 * 1024;

/// The bytes that the server may hold for a person, by the setting `unread_bytes_per_person`. 0 is no limit.
fn held_bytes_max(snapshot: &Snapshot) -> Result<u64, ReadError> {
    let limit = snapshot.row::<u32, 0>(&statements::UNREAD_BYTES_PER_PERSON, [], |row| row.get(0))?;
    Ok(limit.unwrap_or_default().into())
}

fn too_much_unread() -> Error {
    Error::too_much("too_much_unread", "Read the answers to your other requests first.")
}

impl Request {
    /// The parameter `?limit=`, the most items of a list.
    ///
    /// # Errors
    /// 400 if it is no whole number from 1 to 200.
    pub(super) fn limit(&self) -> Result<i64, Error> {
        match self.query("limit").map(str::parse::<i64>) {
            None => Ok(LIMIT_DEFAULT),
            Some(Ok(limit)) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            Some(_) => Err(Error::bad_request("bad_limit", "Invalid ?limit=: a whole number from 1 to 200.")),
        }
    }

    /// Responds with the JSON that `select` makes on the threads for large reads. The response counts as held for the
    /// caller until it is written to the socket.
    ///
    /// # Errors
    /// As [`Request::caller`], what `select` returned, and 429 if the caller has too much that is not read.
    pub(super) async fn large_response<Q>(&self, select: Q) -> Result<Response, Error>
    where
        Q: FnOnce(&Snapshot, &Caller) -> Result<Vec<u8>, Error> + Send + 'static,
    {
        let caller = self.read(|_, caller| Ok(caller.clone()))?;
        self.large_response_for(caller, select).await
    }

    /// [`Request::large_response`] for a caller who was authenticated before.
    ///
    /// # Errors
    /// What `select` returned, and 429 if the caller has too much that is not read.
    pub(super) async fn large_response_for<Q>(&self, caller: Caller, select: Q) -> Result<Response, Error>
    where
        Q: FnOnce(&Snapshot, &Caller) -> Result<Vec<u8>, Error> + Send + 'static,
    {
        let app = Arc::clone(&self.app);
        let database = app.database.clone();
        let person = caller.name.clone();
        let respond = move |snapshot: &Snapshot| {
            let limit = held_bytes_max(snapshot)?;
            if app.unread.is_full(&caller.name, limit) {
                return Err(too_much_unread());
            }
            let json = select(snapshot, &caller)?;
            let share = app.unread.hold(&caller.name, json.len() as u64, limit).ok_or_else(too_much_unread)?;
            let mut response = json_text(json);
            response.extensions_mut().insert(Arc::new(share));
            Ok(response)
        };
        database.read_on_pool(&person, respond).await
    }

    /// Counts a response as held for the caller until it is written to the socket, unless it is small or counted
    /// already. The response to a GET becomes 429 if the caller has too much that is not read; another one reports what
    /// is done.
    pub(super) fn hold_response(&self, mut response: Response) -> Response {
        let size = response.body().size_hint().exact().unwrap_or_default();
        let Some(person) = self.person.get().filter(|_| size > SMALL_MAX_BYTES) else {
            return response;
        };
        if response.extensions().get::<Arc<super::held_bytes::Share>>().is_some() {
            return response;
        }
        let limit = match self.app.database.read(held_bytes_max) {
            Ok(limit) if self.method == Method::GET => limit,
            Ok(_) => 0,
            Err(error) => return Error::from(error).into_response(),
        };
        match self.app.unread.hold(person, size, limit) {
            Some(share) => {
                response.extensions_mut().insert(Arc::new(share));
                response
            }
            None => too_much_unread().into_response(),
        }
    }

    /// Counts a request body of `size` bytes as held for the caller, or for the address of an unknown one, until the
    /// request is handled. A small one is not counted.
    ///
    /// # Errors
    /// 429 if that is more than the setting `unread_bytes_per_person` allows.
    pub(super) fn hold_upload(&mut self, size: usize) -> Result<(), Error> {
        if size as u64 <= SMALL_MAX_BYTES {
            return Ok(());
        }
        let limit = self.app.database.read(held_bytes_max)?;
        // No user name contains a colon.
        let address = || format!("address:{}", super::addresses::network_of(&self.client_address()));
        let person = self.person.get().cloned().unwrap_or_else(address);
        let share = self.app.uploads.hold(&person, size as u64, limit);
        self.upload = Some(share.ok_or_else(|| {
            Error::too_much("too_much_uploading", "Too many uploads at a time. Wait until others are done.")
        })?);
        Ok(())
    }
}

/// A JSON array of at most [`LIST_MAX_BYTES`], or of one larger item.
pub(super) struct JsonList {
    json: Vec<u8>,
    start: usize,
}

impl JsonList {
    /// Opens an array after `json`.
    pub(super) fn after(mut json: Vec<u8>) -> Self {
        json.push(b'[');
        Self { start: json.len(), json }
    }

    /// Appends what `write` appends as an item. Returns whether it fits; if not, the array stays as it was.
    ///
    /// # Errors
    /// What `write` returned.
    pub(super) fn item<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<bool, E> {
        let before = self.json.len();
        if before > self.start {
            self.json.push(b',');
        }
        write(&mut self.json)?;
        let fits = before == self.start || self.json.len() - self.start <= LIST_MAX_BYTES;
        if !fits {
            self.json.truncate(before);
        }
        Ok(fits)
    }

    /// Closes the array.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.json.push(b']');
        self.json
    }
}

/// The array of the items that `statement` selects as JSON in its first column, as many as fit.
pub(super) fn json_items<const N: usize>(
    snapshot: &Snapshot,
    statement: &'static Statement,
    parameters: [&dyn ToSql; N],
) -> Result<Vec<u8>, ReadError> {
    let mut list = JsonList::after(Vec::new());
    snapshot.rows_while(statement, parameters, |row: &Row<'_>| {
        let item = row.get_ref(0)?.as_bytes()?;
        list.item(|json| {
            json.extend_from_slice(item);
            Ok(())
        })
    })?;
    Ok(list.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The array of items of these sizes, and whether each one fitted.
    fn list_of(sizes: &[usize]) -> (Vec<u8>, Vec<bool>) {
        let mut list = JsonList::after(b"{\"list\":".to_vec());
        let fits = sizes.iter().map(|size| {
            let write = |json: &mut Vec<u8>| {
                json.resize(json.len() + size, b'1');
                Ok::<_, ()>(())
            };
            list.item(write).unwrap()
        });
        let fits = fits.collect();
        (list.end(), fits)
    }

    #[test]
    fn a_list_ends_before_the_item_that_does_not_fit() {
        let half = LIST_MAX_BYTES / 2;
        // The separator counts.
        assert_eq!(list_of(&[half, half - 1]).1, [true, true]);
        assert_eq!(list_of(&[half, half]).1, [true, false]);
        assert_eq!(list_of(&[half, half]).0.len(), "{\"list\":[]".len() + half);
    }

    #[test]
    fn a_list_has_at_least_one_item() {
        assert_eq!(list_of(&[2 * LIST_MAX_BYTES, 1]).1, [true, false]);
        assert_eq!(list_of(&[]).0, b"{\"list\":[]");
    }
}
