//! The partition machine: what a partition's leader decides, without doing any I/O.

pub mod call;
