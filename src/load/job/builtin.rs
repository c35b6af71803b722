//! The jobs that come with the binary, by name.

/// A job that comes with the binary.
#[derive(Clone, Copy, Debug)]
pub struct BuiltinJob {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! jobs {
    ($($name:literal),* $(,)?) => {
        /// All of them, by name.
        pub const BUILTIN: &[BuiltinJob] = &[
            $(BuiltinJob { name: $name, text: include_str!(concat!("../../../config/jobs/", $name, ".toml")) },)*
        ];
    };
}

jobs! {
    "backlog", "burst", "connections", "durable", "e2e", "latency", "mixed", "one", "perf-test", "ramp",
    "small-requests", "throughput",
}

/// The one with this name.
#[must_use]
pub fn builtin(name: &str) -> Option<&'static BuiltinJob> {
    BUILTIN.iter().find(|job| job.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::job::{Job, Settings};

    #[test]
    fn every_builtin_job_is_valid_and_says_what_it_measures() {
        for job in BUILTIN {
            let parsed = Job::parse(job.name, job.text, &Settings::default(), &[]);
            let parsed = parsed.unwrap_or_else(|problems| panic!("{}: {problems:?}", job.name));
            assert!(parsed.about.len() > 20, "{}", job.name);
        }
    }
}
