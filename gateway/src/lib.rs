//! The HTTP gateway: native REST API over the control language.
