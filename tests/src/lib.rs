//! The world in which the end-to-end tests and the demo run.
