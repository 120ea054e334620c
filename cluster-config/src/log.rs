//! `[log]`: what the program says about itself.

use crate::section::section;
use crate::value::choice;

section! {
    /// What the program says about itself.
    pub struct LogConfig {
        keys {
            /// What is logged: "error", "warn", "info", "debug", "trace", or levels by module, as in
            /// "info,swarm::tracker=debug".
            level: String = "info".to_owned();
            /// How it is written: "text", "json", or "auto": text on a terminal, JSON elsewhere.
            format: LogFormat = LogFormat::Auto;
        }
    }
}

choice! {
    /// How log lines are written.
    pub enum LogFormat {
        /// Text on a terminal, JSON elsewhere.
        Auto = "auto",
        /// A line of text each.
        Text = "text",
        /// A JSON object each.
        Json = "json",
    }
}
