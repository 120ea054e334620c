//! Typed configuration: defaults, files, environment and flags, with units and origins.
