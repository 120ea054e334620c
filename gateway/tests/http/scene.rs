//! A gateway that runs, with its engine.

use std::net::SocketAddr;
use std::sync::Arc;

use cluster_config::{ByteSize, GatewayConfig};
use gateway::Gateway;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Answer, exchange, request};
use crate::engine::FakeEngine;

pub(crate) const JSON_BODY_LIMIT: usize = 4 << 10;
pub(crate) const UPLOAD_BODY_LIMIT: usize = 64 << 10;

/// A gateway that runs, with its engine.
pub(crate) struct Scene {
    pub(crate) address: SocketAddr,
    pub(crate) engine: Arc<FakeEngine>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let config = GatewayConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            upload_body_limit: ByteSize::from_bytes(UPLOAD_BODY_LIMIT as u64),
            json_body_limit: ByteSize::from_bytes(JSON_BODY_LIMIT as u64),
            ..GatewayConfig::default()
        };
        let engine = Arc::new(FakeEngine::default());
        let gateway = Gateway::bind(&config, Arc::clone(&engine) as _).await.unwrap();
        let address = gateway.local_addr();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(gateway.serve(shutdown));
        Self { address, engine, stop, serving }
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn send(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        exchange(self.address, &request(line, headers, body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &[], b"").await
    }

    pub(crate) async fn send_json(&self, line: &str, json: &str) -> Answer {
        self.send(line, &[("Content-Type", "application/json")], json.as_bytes()).await
    }

    /// Asks the gateway to end; the handle is done when it has.
    pub(crate) fn stop(self) -> JoinHandle<()> {
        self.stop.send(()).unwrap();
        self.serving
    }
}
