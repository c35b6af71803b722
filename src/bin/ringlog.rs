//! The broker's binary.
fn main() {}
