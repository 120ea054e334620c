//! The actors on simulated hosts, from inside: what fails in one of them, and what becomes of the others.

#[path = "../../tests/engine/lab.rs"]
mod lab;
mod supervision;
