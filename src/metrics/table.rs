//! Tables of metrics: each is named once, with the text that an operator reads.

use super::counter::{Counter, Gauge};

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only rises.
    Counter,
    /// It rises and falls.
    Gauge,
}

/// A metric and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name; a counter's ends in `_total`.
    pub name: &'static str,
    /// What it says, as a sentence.
    pub help: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its value.
    pub value: u64,
}

/// What can be in a table.
pub(super) trait Field {
    const KIND: Kind;
    fn value(&self) -> u64;
}

impl Field for Counter {
    const KIND: Kind = Kind::Counter;

    fn value(&self) -> u64 {
        self.get()
    }
}

impl Field for Gauge {
    const KIND: Kind = Kind::Gauge;

    fn value(&self) -> u64 {
        self.get()
    }
}

pub(super) fn metric<F: Field>(name: &'static str, help: &'static str, field: &F) -> Metric {
    Metric { name, help, kind: F::KIND, value: field.value() }
}

/// A table, and a snapshot of it for whoever compares two moments.
macro_rules! table {
    ($(#[$about:meta])* $table:ident, $snapshot:ident; $($kind:ident $name:ident = $help:literal;)*) => {
        $(#[$about])*
        // Of its own cache lines: what one shard counts must not slow down another.
        #[repr(align(128))]
        #[derive(Debug, Default)]
        pub struct $table {
            $(#[doc = $help] pub $name: $kind,)*
        }

        /// What a table's metrics were at some moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $snapshot {
            $(#[doc = $help] pub $name: u64,)*
        }

        impl $table {
            /// The values now.
            #[must_use]
            pub fn snapshot(&self) -> $snapshot {
                $snapshot { $($name: self.$name.get(),)* }
            }

            /// All metrics in order.
            #[must_use]
            pub fn metrics(&self) -> Vec<Metric> {
                vec![$(metric(stringify!($name), $help, &self.$name),)*]
            }
        }
    };
}

pub(super) use table;
