//! The store on a real server, whose address is in `MONGODB_URI`: `tests/services.sh up mongo` starts one.
//!
//! Each test has databases of its own and leaves them there: dropping one that held ten megabytes takes the tests'
//! server half a minute. `tests/services.sh wipe mongo` removes them all.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failing test panics, in its helpers too"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use control::NodeName;
use mongo_store::MongoStore;
use mongodb::Client;
use mongodb::bson::doc;
use store::StoreError;

fn uri() -> String {
    std::env::var("MONGODB_URI")
        .expect("MONGODB_URI names no server; start one: export $(tests/services.sh up mongo)")
}

fn node() -> NodeName {
    NodeName::new("node-1").unwrap()
}

async fn connect(uri: &str, database: &str, node: &NodeName) -> Result<MongoStore, StoreError> {
    let env = env::real::node_env(&env::real::RealConfig::default());
    MongoStore::connect(env, uri, database, node).await
}

/// The name of a database that no other test has, in this process or another.
fn database() -> String {
    static NTH: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}", std::process::id(), NTH.fetch_add(1, Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    store::conformance::check(async || {
        Arc::new(connect(&uri(), &database(), &node()).await.unwrap())
    })
    .await;
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let name = database();
    let store = connect(&uri(), &name, &node()).await.unwrap();
    let client = Client::with_uri_str(uri()).await.unwrap();
    let meta = client.database(&name).collection::<mongodb::bson::Document>("meta");
    let newer = doc! { "$set": { "version": 99_i64 } };
    meta.update_one(doc! { "_id": "schema" }, newer).await.unwrap();
    let refused = connect(&uri(), &name, &node()).await.unwrap_err();
    assert_eq!(refused, StoreError::NewerSchema { found: 99, known: 1 });
    drop(store);
}

#[tokio::test]
async fn what_two_nodes_keep_of_themselves_is_apart() {
    use store::{Change, TorrentStore};
    let name = database();
    let one = connect(&uri(), &name, &node()).await.unwrap();
    let other = NodeName::new("node-2").unwrap();
    let other = connect(&uri(), &name, &other).await.unwrap();
    let value = Some(bytes::Bytes::from_static(b"mine"));
    one.write(vec![Change::SetMeta("k".to_owned(), value.clone())]).await.unwrap();
    assert_eq!(other.meta("k").await, Ok(None));
    assert_eq!(one.meta("k").await, Ok(value));
}

#[tokio::test]
async fn says_what_is_wrong_and_never_the_password() {
    let wrong = [
        ("nonsense", "torrentedge"),
        ("mongodb://user:hunter2@", "torrentedge"),
        ("mongodb://user:hunter2@127.0.0.1:1/?serverSelectionTimeoutMS=200", "torrentedge"),
        ("mongodb://user:hunter2@127.0.0.1:1", "no.such name"),
    ];
    for (uri, database) in wrong {
        let error = connect(uri, database, &node()).await.unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        let expected = matches!(error, StoreError::Invalid(_) | StoreError::Unavailable(_));
        assert!(expected, "{error:?}");
    }
}
