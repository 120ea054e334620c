//! Rates and token buckets.
