//! Message stream encryption (MSE/PE) as a machine.
