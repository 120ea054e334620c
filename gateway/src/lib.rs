//! The HTTP gateway: native REST API over the control language.
//!
//! Start at [`Gateway`]: it accepts connections within limits and hands each request to `service`,
//! which names it, refuses what a foreign page may have sent (`guard`), routes it by warp filters to a
//! module of `api`, and turns a `problem::Problem` into its document (RFC 9457). Filters
//! match the path only; the method is looked at by the resource, so that a wrong one is answered with
//! 405 and nothing that a resource refuses falls through to another.
//!
//! Nobody has to say who they are yet: listen on a loopback address, as the default does.
//!
//! This crate talks to the engine only through [`control::Engine`] and must not know what answers there.
//! It is an edge of real sockets, never simulated: `server` and `deadline` are the places where it
//! touches sockets, tasks and clocks.

mod api;
mod body;
mod deadline;
mod guard;
mod problem;
mod server;
mod service;

pub use server::{Error, Gateway};
