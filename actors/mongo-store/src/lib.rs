//! The store of a cluster in MongoDB, by its official driver.
//!
//! [`MongoStore`] implements `store`'s traits and passes their suite. Reading order: `schema` (collections and
//! indexes) → `document` (a record as a document) → `torrents` (reading) → `write` (many changes or none) →
//! `outbox` (facts that wait) → `ownership` (lives and owners). All that is written is acknowledged by a majority and journaled: what was
//! acknowledged outlives any one server.
//!
//! Only operations of MongoDB 4.4 are used, and none that the server of the tests does otherwise: times are taken
//! from the server's own writes and compared in filters, and uniqueness stands on `_id` alone. Nothing here
//! decides; it is an edge of real sockets, which no simulation runs.

mod document;
mod error;
mod outbox;
mod ownership;
mod schema;
mod torrents;
mod write;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use control::NodeName;
use env::NodeEnv;
use mongodb::bson::Document;
use mongodb::options::{Acknowledgment, ClientOptions, ReadConcern, WriteConcern};
use mongodb::{Client, Collection, Database};
use store::StoreError;

/// A server is found within this time, or a call fails.
const SELECTION_TIME: Duration = Duration::from_secs(5);
/// A call is answered within this time, or fails; what it did may then have been done or not.
const CALL_TIME: Duration = Duration::from_secs(10);
/// The most connections to one server.
const CONNECTIONS_MAX: u32 = 16;
/// The longest name of a database, in bytes: MongoDB's.
const DATABASE_LEN_MAX: usize = 63;

/// A store in a MongoDB database, as one node uses it.
pub struct MongoStore {
    client: Client,
    torrents: Collection<Document>,
    sources: Collection<Document>,
    checkpoints: Collection<Document>,
    nodes: Collection<Document>,
    meta: Collection<Document>,
    outbox: Collection<Document>,
    /// Whose values [`store::TorrentStore::meta`] gives: a database has those of all nodes.
    node: NodeName,
    env: NodeEnv,
    is_closed: AtomicBool,
}

impl fmt::Debug for MongoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The driver's types would show the address, which may hold a password.
        f.debug_struct("MongoStore").field("node", &self.node).finish_non_exhaustive()
    }
}

impl MongoStore {
    /// Connects to the servers that `uri` names (a MongoDB connection string) and opens `database` there for `node`,
    /// with its collections and indexes, which are made if they are not there.
    ///
    /// # Errors
    ///
    /// The address cannot be read; no server answers within 5 s; the database is of a newer version.
    pub async fn connect(
        env: NodeEnv,
        uri: &str,
        database: &str,
        node: &NodeName,
    ) -> Result<Self, StoreError> {
        let is_name = (1..=DATABASE_LEN_MAX).contains(&database.len())
            && database.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if !is_name {
            let why = format!(
                "the database name {database:?}: 1 to {DATABASE_LEN_MAX} letters, digits, '_' and '-'"
            );
            return Err(StoreError::Invalid(why));
        }
        // The driver's own words may repeat the address with its password.
        let unreadable =
            |_| StoreError::Invalid("the address of MongoDB cannot be read".to_owned());
        let mut options = ClientOptions::parse(uri).await.map_err(unreadable)?;
        options.app_name.get_or_insert_with(|| "torrentedge".to_owned());
        options.server_selection_timeout.get_or_insert(SELECTION_TIME);
        options.connect_timeout.get_or_insert(SELECTION_TIME);
        options.max_pool_size.get_or_insert(CONNECTIONS_MAX);
        options.read_concern = Some(ReadConcern::majority());
        options.write_concern = Some(durable());
        let client = Client::with_options(options).map_err(unreadable)?;
        let store = Self::new(env, &client.database(database), client, node.clone());
        store.call(schema::prepare(&store)).await?;
        Ok(store)
    }

    fn new(env: NodeEnv, database: &Database, client: Client, node: NodeName) -> Self {
        Self {
            torrents: database.collection("torrents"),
            sources: database.collection("sources"),
            checkpoints: database.collection("checkpoints"),
            nodes: database.collection("nodes"),
            meta: database.collection("meta"),
            outbox: database.collection("outbox"),
            client,
            node,
            env,
            is_closed: AtomicBool::new(false),
        }
    }

    /// Waits for an answer, but not for ever and not of a store that was closed.
    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        let answered = self.env.timeout(CALL_TIME, call).await;
        answered.unwrap_or_else(|| {
            let why = format!("MongoDB has not answered for {} s", CALL_TIME.as_secs());
            Err(StoreError::Unavailable(why))
        })
    }
}

/// Acknowledged by a majority, each of which has it on disk.
fn durable() -> WriteConcern {
    WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build()
}
