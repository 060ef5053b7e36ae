//! Tests of the whole of `token`.
