//! What a call of many people takes: the CPU of the browsers, and the bits that each person sends and receives.

use std::time::{Duration, Instant};

use crate::browser::{Browser, Media};
use crate::driver::Driver;
use crate::support::Server;

const NAMES: [&str; 8] = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"];

/// Media flows this long before it is measured: the browsers have found the network's limit, and the page has adapted.
const WARM_UP: Duration = Duration::from_secs(20);
const MEASURED: Duration = Duration::from_secs(20);

/// Sums what all connections have sent and received: bytes and frames of video, and the lines of the pictures.
const FLOW: &str = "
    const done = arguments[0];
    const sum = { sent: 0, received: 0, decoded: 0, lines: 0 };
    (async () => {
        for (const connection of window.connections.filter(({ connectionState }) => connectionState === 'connected')) {
            for (const report of (await connection.getStats()).values()) {
                if (report.type === 'outbound-rtp') {
                    sum.sent += report.bytesSent;
                } else if (report.type === 'inbound-rtp') {
                    sum.received += report.bytesReceived;
                    sum.decoded += report.framesDecoded ?? 0;
                    sum.lines = Math.max(sum.lines, report.frameHeight ?? 0);
                }
            }
        }
    })().then(() => done([sum.sent, sum.received, sum.decoded, sum.lines]));";

async fn flow(browser: &Browser) -> [f64; 4] {
    serde_json::from_value(browser.client.execute_async(FLOW, vec![]).await.unwrap()).unwrap()
}

#[tokio::test]
#[ignore = "prints a table; PEOPLE names the sizes of the calls, such as 2,4,6,8"]
async fn figures_of_calls() {
    let sizes = std::env::var("PEOPLE").unwrap_or_else(|_| "2,4,6,8".to_owned());
    println!(
        "| people | CPU of a person | sent by a person | received by a person | pictures of one a second | lines |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for people in sizes.split(',').map(|size| size.parse::<usize>().unwrap()) {
        let (driver, server) = (Driver::start().await, Server::start());
        let names = &NAMES[..people];
        for name in names {
            server.person(name);
        }
        let channel = server.private_channel(names);
        let mut browsers = Vec::new();
        for name in names {
            browsers.push(driver.signed_in_at(&server, name, &format!("/#{channel}")).await);
        }
        browsers[0].click("#call-video").await;
        for browser in &browsers[1..] {
            browser.click("[data-action=answer-video]").await;
        }
        let others = u64::try_from(people - 1).unwrap();
        for browser in &browsers {
            browser.wait_media(others, Media::Audio).await;
        }
        tokio::time::sleep(WARM_UP).await;
        let (begun, cpu) = (Instant::now(), driver.cpu_seconds());
        let mut before = Vec::new();
        for browser in &browsers {
            before.push(flow(browser).await);
        }
        tokio::time::sleep(MEASURED).await;
        let mut sums = [0.0; 3];
        let mut lines: f64 = 0.0;
        for (browser, before) in browsers.iter().zip(before) {
            let after = flow(browser).await;
            for (sum, (after, before)) in sums.iter_mut().zip(after.iter().zip(before)) {
                *sum += after - before;
            }
            lines = lines.max(after[3]);
        }
        let person_seconds = begun.elapsed().as_secs_f64() * people as f64;
        let cpu = (driver.cpu_seconds() - cpu) / person_seconds * 100.0;
        let [sent, received, decoded] = sums.map(|sum| sum / person_seconds);
        println!(
            "| {people} | {cpu:.0} % | {:.2} Mbit/s | {:.2} Mbit/s | {:.1} | {lines} |",
            sent * 8e-6,
            received * 8e-6,
            decoded / others as f64
        );
        driver.finish([]).await;
    }
}
