//! How long two people wait for each other: from the caller's first request until both have offer and answer.

use std::time::Instant;

use serde_json::{Value, json};
use tokio::join;

use crate::client::{Connection, Events, post};
use crate::ours::{address, people, start};
use crate::support::{Person, Server};
use crate::{Figures, Options, Pair, measure, medians, payload};

/// Prints a row for each number of calls at a time and each build.
pub async fn measure_all(options: &Options) {
    println!("\n| calls at a time | server | joins/s | p50 ms | p99 ms | CPU | CPU of the clients |");
    println!("| ---: | --- | ---: | ---: | ---: | ---: | ---: |");
    for calls in options.pairs(&[1, 32]) {
        let programs: Vec<_> = options.programs().collect();
        let mut rounds = vec![Vec::new(); programs.len()];
        for _ in 0..options.rounds {
            for ((_, program), rounds) in programs.iter().zip(&mut rounds) {
                let server = start(program);
                let couples = couples(&server, calls).await;
                rounds.push(measure(options, server.process(), couples).await);
            }
        }
        for ((name, _), rounds) in programs.iter().zip(&rounds) {
            let Figures { per_second, p50, p99, server, client, .. } = medians(rounds);
            println!("| {calls} | {name} | {per_second:.0} | {p50:.2} | {p99:.2} | {server:.0} % | {client:.0} % |");
        }
    }
}

/// A person with an event stream and a connection for requests.
struct Client {
    name: String,
    token: String,
    requests: Connection,
    events: Events,
}

impl Client {
    async fn post(&mut self, path: &str, body: &Value) -> Value {
        self.requests.json(&post(path, &self.token, &body.to_string())).await
    }

    async fn send_signal(&mut self, call: &str, to: &str, kind: &str, payload: &str) {
        let body = format!(r#"{{"to":"{to}","type":"{kind}","payload":{payload}}}"#);
        self.requests.request(&post(&format!("/calls/{call}/signal"), &self.token, &body)).await;
    }
}

struct Couple {
    caller: Client,
    callee: Client,
    payload: String,
}

async fn couples(server: &Server, count: usize) -> Vec<Couple> {
    let mut couples = Vec::new();
    for number in 0..count {
        let [caller, callee] = people(server, number);
        couples.push(Couple {
            caller: client(server, caller).await,
            callee: client(server, callee).await,
            payload: payload(),
        });
    }
    couples
}

async fn client(server: &Server, Person { name, token, .. }: Person) -> Client {
    let requests = Connection::open(address(server)).await;
    let (events, _) = Events::open(address(server), "/events", &token).await;
    Client { name, token, requests, events }
}

impl Pair for Couple {
    async fn exchange(&mut self) -> Instant {
        let Self { caller, callee, payload } = self;
        let (caller_name, callee_name) = (caller.name.clone(), callee.name.clone());
        let calling = async {
            let channel = json!({ "channel": format!("dm:{caller_name}:{callee_name}") });
            let call = caller.post("/calls/initiate", &channel).await;
            let call = call["call_id"].as_str().unwrap().to_owned();
            loop {
                let state = caller.events.expect("call", &call).await.data;
                if state.contains(r#""state":"active""#) {
                    break;
                }
            }
            caller.send_signal(&call, &callee_name, "offer", payload).await;
            caller.events.expect("signal", &call).await;
            (call, Instant::now())
        };
        let answering = async {
            let ring: Value = serde_json::from_str(&callee.events.expect("incoming", "").await.data).unwrap();
            let call = ring["call_id"].as_str().unwrap();
            callee.post(&format!("/calls/{call}/accept"), &json!({})).await;
            callee.events.expect("signal", call).await;
            callee.send_signal(call, &caller_name, "answer", payload).await;
        };
        let ((call, connected), ()) = join!(calling, answering);
        caller.post(&format!("/calls/{call}/end"), &json!({})).await;
        connected
    }
}
