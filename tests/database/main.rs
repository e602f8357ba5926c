//! The schema, and the two doors to it.
