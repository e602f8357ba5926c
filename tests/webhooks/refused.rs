//! Addresses that are refused without `--allow-private`.

use crate::SOON;
use crate::receiver::Receiver;
use crate::support::Server;

/// By address, in another spelling, and by a name that resolves to it.
#[tokio::test]
async fn private_addresses_are_refused() {
    let server = Server::start();
    let [alice, _bob] = ["alice", "bob"].map(|name| server.person(name));
    let receiver = Receiver::start();
    let port = receiver.address.port();
    for (name, host) in
        [("address", "127.0.0.1"), ("number", "2130706433"), ("name", "localhost"), ("mapped", "[::ffff:127.0.0.1]")]
    {
        server.run(&["webhook", "add", name, &format!("http://{host}:{port}/hook")], "");
    }
    alice.call("dm:alice:bob").await;
    let refused = "SELECT count(*) = 4 FROM webhook_deliveries
                   WHERE attempts = 1 AND last_error = 'the address is of this machine or of a private network'";
    server.eventually(refused, SOON).await;
    assert!(receiver.received().is_empty());
}
