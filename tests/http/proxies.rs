//! The client's address behind a proxy, which the limits of logins use.

use tempfile::TempDir;

use crate::raw::Raw;
use crate::support::Server;

#[tokio::test]
async fn the_last_forwarded_address_is_the_client() {
    let server = Server::start_in(TempDir::new().unwrap(), &["--behind-proxy"]);
    for (headers, address) in [
        ("X-Forwarded-For: 192.0.2.7", "192.0.2.7"),
        ("X-Forwarded-For: 192.0.2.7:5123", "192.0.2.7"),
        ("X-Forwarded-For: 10.9.9.9, 192.0.2.7", "192.0.2.7"),
        ("X-Forwarded-For:10.9.9.9,192.0.2.7 ", "192.0.2.7"),
        ("X-Forwarded-For: 10.9.9.9\r\nx-forwarded-for: 192.0.2.7", "192.0.2.7"),
        ("X-Forwarded-For: 192.0.2.7, ,", "192.0.2.7"),
        ("X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For:", "192.0.2.7"),
        ("X-Forwarded-For: gr\u{fc}n, 192.0.2.7", "192.0.2.7"),
        // An IPv6 address counts by its network.
        ("X-Forwarded-For: 2001:DB8:0::7", "2001:db8::"),
        ("X-Forwarded-For: [2001:db8::7]", "2001:db8::"),
        ("X-Forwarded-For: [2001:db8::7]:5123", "2001:db8::"),
        ("X-Forwarded-For: ::ffff:192.0.2.7", "192.0.2.7"),
        ("X-Forwarded-For: [::ffff:192.0.2.7]:80", "192.0.2.7"),
        // The proxy does not know the address. Those before it may be the client's own invention.
        ("X-Forwarded-For: 10.9.9.9, unknown", "127.0.0.1"),
        ("X-Forwarded-For: unknown", "127.0.0.1"),
        ("X-Forwarded-For: _hidden", "127.0.0.1"),
        ("X-Forwarded-For: 192.0.2", "127.0.0.1"),
        ("X-Forwarded-For: 192.0.2.7:99999", "127.0.0.1"),
        ("X-Forwarded-For:", "127.0.0.1"),
        ("X-Real-IP: 192.0.2.7", "127.0.0.1"),
        ("Forwarded: for=192.0.2.7", "127.0.0.1"),
        ("Forwarded: for=10.9.9.9\r\nX-Forwarded-For: 192.0.2.7", "192.0.2.7"),
    ] {
        server.execute("DELETE FROM login_attempts");
        let body = r#"{"username":"nobody","password":"wrong password"}"#;
        let mut raw = Raw::connect(&server);
        raw.send(format!(
            "POST /login HTTP/1.1\r\nHost: x\r\n{headers}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(raw.response().unwrap().status, 401, "{headers:?}");
        assert_eq!(server.value::<String>("SELECT address FROM login_attempts"), address, "{headers:?}");
    }
}
