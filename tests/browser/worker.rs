//! The service worker of a browser's page, by the DevTools protocol: chromedriver reaches pages only.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Longer than a worker takes to start, even on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(40);

/// The connection to a service worker, which keeps it from stopping.
pub struct Worker {
    socket: WebSocketStream<TcpStream>,
    session: Option<String>,
    commands: u64,
}

impl Worker {
    /// Connects to the service worker of the browser with this data folder, as soon as there is one.
    pub async fn attach(data: &Path) -> Self {
        let deadline = Instant::now() + TIMEOUT;
        let address = loop {
            // The browser writes the port and the path when it listens.
            match fs::read_to_string(data.join("DevToolsActivePort")) {
                Ok(lines) if lines.lines().count() == 2 => break lines,
                other => assert!(Instant::now() < deadline, "{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let (port, path) = address.trim_end().split_once('\n').unwrap();
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
        let (socket, _) = client_async(format!("ws://127.0.0.1:{port}{path}"), stream).await.unwrap();
        let mut worker = Self { socket, session: None, commands: 0 };
        let target = loop {
            let targets = worker.send("Target.getTargets", json!({})).await;
            let mut targets = targets["targetInfos"].as_array().unwrap().iter();
            match targets.find(|target| target["type"] == "service_worker") {
                Some(target) => break target["targetId"].clone(),
                None => assert!(Instant::now() < deadline, "no service worker"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let attached = worker.send("Target.attachToTarget", json!({ "targetId": target, "flatten": true })).await;
        worker.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        worker
    }

    async fn send(&mut self, method: &str, parameters: Value) -> Value {
        self.commands += 1;
        let id = self.commands;
        let mut command = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(command.to_string())).await.unwrap();
        loop {
            let message = self.socket.next().await.unwrap().unwrap();
            let Message::Text(text) = message else { continue };
            let mut answer: Value = serde_json::from_str(&text).unwrap();
            if answer["id"] == json!(id) {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    /// The value of an expression, or what its promise becomes.
    pub async fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut result = self.send("Runtime.evaluate", parameters).await;
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    /// Ends the browser, which does not end with its driver: chromedriver has no pipe to a browser with a debugger.
    pub async fn close_browser(mut self) {
        let close = json!({ "id": 0, "method": "Browser.close" });
        self.socket.send(Message::text(close.to_string())).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// Waits until an expression has this value.
    pub async fn wait_for(&mut self, expression: &str, expected: Value) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let value = self.evaluate(expression).await;
            if value == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{expression}: {value}, not {expected}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
