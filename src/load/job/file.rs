//! Job files: common values, and phases that run one after the other on the same topics.
//!
//! ```toml
//! about = "What it measures."
//! partitions = 6
//! rate = 50000
//!
//! [[phase]]
//! name = "steady"
//! duration = "30s"
//! ```
//!
//! Values count in this order, later ones win: defaults, the file's common values, flags, a phase's own values,
//! `--set PHASE.KEY=VALUE`.

use super::load::Load;
use super::settings::Settings;

/// One phase.
#[derive(Clone, Debug)]
pub struct Phase {
    /// Its name, for reports.
    pub name: String,
    /// Whether its figures are those of the job. Filling a backlog, for example, isn't.
    pub judged: bool,
    /// Its values, for reports.
    pub settings: Settings,
    /// What it does.
    pub load: Load,
}

/// Phases to run.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// What it measures.
    pub about: String,
    /// One after the other.
    pub phases: Vec<Phase>,
}

impl Job {
    /// A job of one phase.
    ///
    /// # Errors
    /// All that is wrong with the settings.
    pub fn single(name: &str, settings: &Settings) -> Result<Job, Vec<String>> {
        let phase = |load| Phase { name: name.to_owned(), judged: true, settings: settings.clone(), load };
        let phases = vec![phase(Load::check(settings)?)];
        Ok(Job { name: name.to_owned(), about: String::new(), phases })
    }

    /// A job from a file's text. `flags` come from the command line, `overrides` are `PHASE.KEY=VALUE`.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(name: &str, text: &str, flags: &Settings, overrides: &[String]) -> Result<Job, Vec<String>> {
        let mut table: toml::Table = text.parse().map_err(|error| vec![format!("{name}: {error}")])?;
        let about =
            table.remove("about").and_then(|about| about.as_str().map(str::to_owned)).unwrap_or_default();
        let phases = table.remove("phase");
        let mut common = Settings::default();
        common.toml(&table, name);
        let common = common.with(flags);
        let Some(phases) = phases else {
            let job = Job::single(name, &common).map(|job| Job { about, ..job });
            return if let Some(extra) = overrides.first() {
                Err(vec![format!("--set {extra}: {name} has no phases; use flags")])
            } else {
                job
            };
        };
        let tables = phases.as_array().into_iter().flatten().filter_map(toml::Value::as_table);
        let mut problems = Vec::new();
        let mut overrides = Overrides::parse(overrides, &mut problems);
        let mut list = Vec::new();
        for (nth, table) in tables.enumerate() {
            match phase(nth, table.clone(), &common, (name, &mut overrides)) {
                Ok(phase) => list.push(phase),
                Err(more) => problems.extend(more),
            }
        }
        problems.extend(overrides.left_over(&list));
        if list.is_empty() && problems.is_empty() {
            problems.push(format!("{name}: phase must be a list of tables, written as [[phase]]"));
        }
        problems.dedup();
        if problems.is_empty() {
            Ok(Job { name: name.to_owned(), about, phases: list })
        } else {
            Err(problems)
        }
    }
}

fn phase(
    nth: usize,
    mut table: toml::Table,
    common: &Settings,
    (job, overrides): (&str, &mut Overrides),
) -> Result<Phase, Vec<String>> {
    let name = table.remove("name").and_then(|name| name.as_str().map(str::to_owned));
    let name = name.unwrap_or_else(|| format!("phase-{}", nth + 1));
    let judged = table.remove("judged").and_then(|judged| judged.as_bool()).unwrap_or(true);
    let mut own = Settings::default();
    own.toml(&table, &format!("phase {name} of {job}"));
    overrides.apply(&name, &mut own);
    let settings = common.with(&own);
    let load = Load::check(&settings)?;
    Ok(Phase { name, judged, settings, load })
}

/// `PHASE.KEY=VALUE` from the command line.
struct Overrides(Vec<(String, String, String, bool)>);

impl Overrides {
    fn parse(texts: &[String], problems: &mut Vec<String>) -> Self {
        let mut found = Vec::new();
        for text in texts {
            let parts = text.split_once('=').and_then(|(path, value)| Some((path.split_once('.')?, value)));
            match parts {
                Some(((phase, key), value)) => {
                    found.push((phase.to_owned(), key.to_owned(), value.to_owned(), false));
                }
                None => problems.push(format!("--set {text}: write PHASE.KEY=VALUE")),
            }
        }
        Overrides(found)
    }

    fn apply(&mut self, phase: &str, own: &mut Settings) {
        for (_, key, value, used) in self.0.iter_mut().filter(|(name, ..)| name == phase) {
            own.set(key, value, &format!("--set {phase}.{key}"));
            *used = true;
        }
    }

    fn left_over(&self, phases: &[Phase]) -> Vec<String> {
        let known: Vec<&str> = phases.iter().map(|phase| phase.name.as_str()).collect();
        let unused = self.0.iter().filter(|(.., used)| !used);
        unused.map(|(phase, ..)| format!("--set {phase}.…: the phases are {}", known.join(", "))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "about = \"x\"\npartitions = 6\nrate = 1000\n[[phase]]\nname = \"fill\"\nrate = \"max\"\n\
                        judged = false\n[[phase]]\nduration = \"3s\"\n";

    #[test]
    fn phases_stand_over_common_values_and_flags_between() {
        let mut flags = Settings::default();
        flags.set("rate", "5k", "--rate");
        flags.set("partitions", "3", "--partitions");
        let job = Job::parse("j", TEXT, &flags, &["fill.batch=1MiB".to_owned()]).unwrap();
        assert_eq!((job.about.as_str(), job.phases.len()), ("x", 2));
        let [fill, second] = &job.phases[..] else { panic!("two phases") };
        assert!(!fill.judged && second.judged && second.name == "phase-2");
        assert!(!fill.load.rate.is_open(), "a phase's own value stands over a flag");
        assert_eq!(second.load.rate.mean(second.load.duration), Some(5000.0));
        assert_eq!((fill.load.partitions, fill.load.batch_bytes), (3, 1024 * 1024));
    }

    #[test]
    fn mistakes_are_named_with_their_phase() {
        let wrong = TEXT.replace("duration = \"3s\"", "duraton = \"3s\"");
        let problems =
            Job::parse("j", &wrong, &Settings::default(), &["drain.rate=1".to_owned()]).unwrap_err();
        let problems = problems.join("\n");
        assert!(problems.contains("duraton (phase phase-2 of j): unknown key; did you mean duration?"));
        assert!(problems.contains("the phases are fill"), "{problems}");
        assert!(Job::parse("j", "phase = 3", &Settings::default(), &[]).is_err());
    }
}
