//! `torrentedge serve`: the node and its HTTP interface, until the program is asked to end.

use std::sync::Arc;

use cluster_config::{Config, GatewayConfig};
use control::Engine;
use gateway::Gateway;
use tokio::sync::oneshot;
use tracing::info;

use crate::cli::{ConfigFlags, Global};
use crate::failure::Failure;
use crate::progress::Screen;
use crate::{engine, startup};

/// Serves.
///
/// # Errors
///
/// The configuration is wrong, or a part cannot be started.
pub(crate) fn run(global: &Global, flags: &ConfigFlags, screen: &Screen) -> Result<(), Failure> {
    let config = startup::start(global, flags, Vec::new(), screen)?;
    serve(&config)
}

/// Starts store, event log, engine and gateway, and ends them in turn at a signal, which is success.
fn serve(config: &Config) -> Result<(), Failure> {
    engine::run(async move {
        let mut requests = engine::requests()?;
        let _lock = engine::take_data_dir(config)?;
        let store = engine::open_store(config)?;
        let log = engine::open_log(config)?;
        let swarm = engine::start(config, store, Some(log)).await?;
        let gateway = HttpThread::start(&config.gateway, Arc::new(swarm.clone()));
        let gateway = match gateway {
            Ok(gateway) => gateway,
            Err(failure) => {
                swarm.shutdown().await;
                return Err(failure);
            }
        };
        info!(http = %gateway.address, "serving; Ctrl-C ends it");
        requests.next().await;
        info!("ending");
        gateway.end().await;
        swarm.shutdown().await;
        Ok(())
    })
}

/// The HTTP interface, on a thread and a runtime of its own: a request that takes long does not hold up
/// peers, and busy peers do not hold up requests.
struct HttpThread {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl HttpThread {
    fn start(config: &GatewayConfig, engine: Arc<dyn Engine>) -> Result<Self, Failure> {
        let (stop, stopped) = oneshot::channel();
        let (done, ended) = oneshot::channel();
        let (told, address) = std::sync::mpsc::channel();
        let config = config.clone();
        let thread = std::thread::Builder::new().name("http".to_owned());
        thread
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = match runtime {
                    Ok(runtime) => runtime,
                    Err(error) => {
                        let _ = told.send(Err(error.to_string()));
                        return;
                    }
                };
                runtime.block_on(async move {
                    match Gateway::bind(&config, engine).await {
                        Ok(gateway) => {
                            let _ = told.send(Ok(gateway.local_addr()));
                            gateway.serve(async { _ = stopped.await }).await;
                        }
                        Err(error) => _ = told.send(Err(error.to_string())),
                    }
                });
                let _ = done.send(());
            })
            .map_err(|error| Failure::failed(format_args!("cannot start: {error}")))?;
        match address.recv() {
            Ok(Ok(address)) => Ok(Self { address, stop, ended }),
            Ok(Err(why)) => Err(Failure::failed(why)),
            Err(_) => Err(Failure::failed("the HTTP interface did not start")),
        }
    }

    /// Lets requests end, within the gateway's bound.
    async fn end(self) {
        let _ = self.stop.send(());
        let _ = self.ended.await;
    }
}
