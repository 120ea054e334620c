//! The language between nodes, gateways and events: commands, queries, events, snapshots and the Engine trait.
