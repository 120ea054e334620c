//! The collections, their indexes, and the version of both.
//!
//! | collection | `_id` | what |
//! |---|---|---|
//! | `torrents` | torrent id (20 bytes) | the record; `epoch`, `owner {node, incarnation}`; `touched`, counted up by each write that stands on the torrent |
//! | `sources`, `checkpoints` | torrent id | one large value each |
//! | `outbox` | torrent id, epoch, number (36 bytes) | a fact that waits to be told |
//! | `nodes` | name | incarnation, state, `leaseUntil`, `seen`, what the node told of itself |
//! | `meta` | `{node, key}`, or `schema`, `clock` | values of a node; the version; the server's time |

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use store::StoreError;

use crate::MongoStore;
use crate::document::integer;
use crate::error::refused;

/// The version that this program reads and writes.
const VERSION: i64 = 1;

/// Brings an empty database up to date and refuses one of a newer version.
pub(crate) async fn prepare(store: &MongoStore) -> Result<(), StoreError> {
    let found =
        store.meta.find_one(doc! { "_id": "schema" }).await.map_err(|error| refused(&error))?;
    let version = found.as_ref().map(|schema| integer(schema, "version")).transpose()?.unwrap_or(0);
    if version > VERSION {
        let whole = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        return Err(StoreError::NewerSchema { found: whole(version), known: whole(VERSION) });
    }
    if version == VERSION {
        return Ok(());
    }
    // Several nodes may do this at once: each step may be done again.
    store.torrents.create_indexes(indexes()).await.map_err(|error| refused(&error))?;
    store
        .meta
        .update_one(doc! { "_id": "schema" }, doc! { "$max": { "version": VERSION } })
        .upsert(true)
        .await
        .map_err(|error| refused(&error))?;
    Ok(())
}

fn indexes() -> Vec<IndexModel> {
    let index = |keys: Document| IndexModel::builder().keys(keys).build();
    let of_some = |field: &str| {
        let present = IndexOptions::builder().sparse(true).build();
        IndexModel::builder().keys(doc! { field: 1 }).options(present).build()
    };
    vec![
        index(doc! { "createdAt": 1, "_id": 1 }),
        index(doc! { "owner.node": 1, "_id": 1 }),
        of_some("v1"),
        of_some("v2"),
        of_some("user"),
    ]
}
