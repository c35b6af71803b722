//! The house rules that a compiler doesn't hold: sizes, module docs, unfinished work, columns, the changelog.
#![expect(clippy::disallowed_methods, reason = "the test reads the tree it judges")]

mod tree;

use tree::TextFile;

/// Lines that a source file may have.
const LINES_SOFT_MAX: usize = 600;
/// Lines that no source file may have, listed or not.
const LINES_HARD_MAX: usize = 1000;
/// Source files in one folder.
const FILES_PER_FOLDER_MAX: usize = 25;
/// Columns of a line of code.
const COLUMNS_MAX: usize = 120;

/// Tables of one row a line, which columns would tear apart.
const TABLES: &[&str] = &["src/conf/keys.rs", "src/conf/topic/table.rs", "src/load/job/keys.rs"];
/// Bytes of a text file that people wrote.
const FILE_BYTES_MAX: usize = 256 * 1024;

/// Output of the generators: checked by running them again, not by reading.
const GENERATED: [&str; 1] = ["src/wire/generated/"];

/// Files over the soft limit, with the lines they had when they were listed. The list may only shrink, in both ways: a
/// file that fits is struck off, a number is only lowered.
const FROZEN: &[(&str, usize)] = &[];

/// Folders of `src/` whose work hasn't begun: their module doc is a placeholder. Empty before the first release.
const NOT_BEGUN: &[&str] =
    &["api", "boot", "cluster", "conf", "log", "metrics", "replica", "rt", "shard", "sim"];

/// Words that no file holds: unfinished work, and hosts that a person behind a mirror can't reach. Written in two
/// halves, so that this list isn't a finding.
const BANNED: &[(&str, &str, &str)] = &[
    ("TO", "DO", "finish it, or open an issue"),
    ("FIX", "ME", "mend it, or assert what it does now and open an issue"),
    ("X", "XX", "say what is meant"),
    ("todo", "!(", "finish it"),
    ("unimplemented", "!(", "finish it, or return an error"),
    ("dbg", "!(", "remove it"),
    ("crates", ".io", "clients know their registry; a mirror has another host"),
    ("py", "pi.org", "clients know their registry; a mirror has another host"),
    ("pythonhosted", ".org", "clients know their registry; a mirror has another host"),
    ("repo1.maven", ".org", "clients know their registry; a mirror has another host"),
    ("repo.maven", ".apache.org", "clients know their registry; a mirror has another host"),
    ("npmjs", ".org", "clients know their registry; a mirror has another host"),
    ("proxy.golang", ".org", "clients know their registry; a mirror has another host"),
];

fn is_generated(file: &TextFile) -> bool {
    GENERATED.iter().any(|folder| file.path.starts_with(folder)) || file.path.ends_with("Cargo.lock")
}

fn is_code(file: &TextFile) -> bool {
    file.ends_with(&[".rs", ".py", ".sh", ".java"])
        || file.text.starts_with("#!/") && !file.path.starts_with('.')
}

fn written() -> Vec<TextFile> {
    tree::files().into_iter().filter(|file| !is_generated(file)).collect()
}

/// Why this file is too long, if it is. `listed` is its number in the frozen list.
fn size_finding(path: &str, lines: usize, listed: Option<usize>) -> Option<String> {
    let allowed = listed.unwrap_or(LINES_SOFT_MAX);
    if lines > LINES_HARD_MAX {
        Some(format!("{path}: {lines} lines, more than the hard limit of {LINES_HARD_MAX}"))
    } else if lines > allowed {
        Some(format!("{path}: {lines} lines, more than {allowed}: split it"))
    } else if listed.is_some() && lines <= LINES_SOFT_MAX {
        Some(format!("{path}: {lines} lines fit: strike it off the frozen list"))
    } else {
        None
    }
}

/// The folder that holds this path.
fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Folders that hold more source files than one may.
fn crowded_folders(files: &[TextFile]) -> Vec<String> {
    let mut folders: Vec<&str> =
        files.iter().filter(|file| file.ends_with(&[".rs"])).map(|file| folder_of(&file.path)).collect();
    folders.sort_unstable();
    folders
        .chunk_by(|a, b| a == b)
        .filter(|same| same.len() > FILES_PER_FOLDER_MAX)
        .map(|same| format!("{}: {} files, more than {FILES_PER_FOLDER_MAX}", same[0], same.len()))
        .collect()
}

/// The banned words in a file, and lines that are too wide or end in blanks.
fn line_findings(file: &TextFile) -> Vec<String> {
    let mut found = Vec::new();
    for (nth, line) in file.text.lines().enumerate() {
        let at = format!("{}:{}", file.path, nth + 1);
        for (head, tail, instead) in BANNED {
            let placeholder = NOT_BEGUN.iter().any(|folder| file.path == format!("src/{folder}/mod.rs"));
            if has_word(line, &format!("{head}{tail}")) && !placeholder {
                found.push(format!("{at}: {head}{tail}: {instead}"));
            }
        }
        let may_be_long = line.contains("https://") || TABLES.contains(&file.path.as_str());
        if is_code(file) && line.chars().count() > COLUMNS_MAX && !may_be_long {
            found.push(format!("{at}: more than {COLUMNS_MAX} columns"));
        }
        if line.ends_with([' ', '\t']) || is_code(file) && line.contains('\t') {
            found.push(format!("{at}: a tab, or blanks at the end"));
        }
    }
    found
}

/// Whether the word is in the line and isn't the inside of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let longer = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let open_end = word.ends_with('(');
        !before.is_some_and(longer) && (open_end || !after.is_some_and(longer))
    })
}

/// Attributes that switch something off without saying why, tests that never run, and `unsafe` outside the runtime.
fn token_findings(file: &TextFile) -> Vec<String> {
    let tokens = tree::tokens(&file.text);
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let place = format!("{}:{}", file.path, token.line);
        let in_attribute = at > 1 && is(at - 1, "[") && (is(at - 2, "#") || is(at - 2, "!"));
        match token.text.as_str() {
            "allow" | "expect" if in_attribute && is(at + 1, "(") => {
                let end = (at..tokens.len()).find(|&end| is(end, ")")).unwrap_or(at);
                if !(at..end).any(|inner| is(inner, "reason")) {
                    found.push(format!("{place}: {}(…) without a reason", token.text));
                }
            }
            "ignore" if in_attribute => {
                found.push(format!("{place}: an ignored test: assert what happens now instead"));
            }
            "unsafe" if file.path.starts_with("src/") && !file.path.starts_with("src/rt/") => {
                found.push(format!("{place}: unsafe code belongs to src/rt"));
            }
            _ => {}
        }
    }
    found
}

/// Why the first lines of a folder's `mod.rs` aren't a module doc, if they aren't.
fn module_doc_finding(folder: &str, text: Option<&str>) -> Option<String> {
    let Some(text) = text else { return Some(format!("src/{folder} has no mod.rs")) };
    let first = text.lines().next().unwrap_or_default();
    let doc = first.strip_prefix("//! ").unwrap_or_default();
    let placeholder = doc.starts_with(concat!("TO", "DO")) && NOT_BEGUN.contains(&folder);
    let sentence = doc.len() >= 20 && doc.contains(' ');
    if placeholder || sentence {
        None
    } else {
        Some(format!("src/{folder}/mod.rs: its first line should say in a sentence what the folder owns"))
    }
}

/// What is wrong with the changelog, by line.
fn changelog_findings(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    if lines.next().map(|(_, line)| line) != Some("# Changelog") {
        found.push("1: the title is `# Changelog`".to_owned());
    }
    let mut section = "";
    for (nth, line) in lines {
        let good = if let Some(version) = line.strip_prefix("## ") {
            section = "";
            version == "Unreleased" || is_release(version)
        } else if let Some(kind) = line.strip_prefix("### ") {
            section = kind;
            ["Added", "Changed", "Fixed"].contains(&kind)
        } else if line.starts_with("- ") || line.starts_with("  ") {
            !section.is_empty()
        } else {
            line.is_empty() || section.is_empty() && !line.starts_with('#')
        };
        if !good {
            found.push(format!("{}: {line}", nth + 1));
        }
    }
    found
}

/// `1.2.3 (2026-01-31)`.
fn is_release(text: &str) -> bool {
    let Some((version, date)) = text.split_once(" (") else { return false };
    let numbers = |text: &str, by: char, lengths: &[usize]| {
        let parts: Vec<&str> = text.split(by).collect();
        parts.len() == lengths.len()
            && parts
                .iter()
                .zip(lengths)
                .all(|(part, &length)| part.parse::<u32>().is_ok() && (length == 0 || part.len() == length))
    };
    let Some(date) = date.strip_suffix(')') else { return false };
    numbers(version, '.', &[0, 0, 0]) && numbers(date, '-', &[4, 2, 2])
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn no_source_file_outgrows_its_limit() {
    let sources: Vec<TextFile> = written().into_iter().filter(|file| file.ends_with(&[".rs"])).collect();
    for (path, _) in FROZEN {
        assert!(
            sources.iter().any(|file| file.path == *path),
            "{path} is gone: strike it off the frozen list"
        );
    }
    let found = sources.iter().filter_map(|file| {
        let listed = FROZEN.iter().find(|(path, _)| file.path == *path).map(|&(_, lines)| lines);
        size_finding(&file.path, file.text.lines().count(), listed)
    });
    assert_none(&found.collect::<Vec<_>>());
}

#[test]
fn no_text_file_is_huge() {
    let huge = written().into_iter().filter(|file| file.text.len() > FILE_BYTES_MAX);
    assert_none(&huge.map(|file| format!("{}: {} bytes", file.path, file.text.len())).collect::<Vec<_>>());
}

#[test]
fn no_folder_is_crowded() {
    let files: Vec<TextFile> = written().into_iter().filter(|file| file.path.starts_with("src/")).collect();
    assert_none(&crowded_folders(&files));
}

#[test]
fn every_folder_says_what_it_owns() {
    let files = tree::files();
    let mut folders: Vec<&str> =
        files.iter().filter_map(|file| folder_of(&file.path).strip_prefix("src/")).collect();
    folders.sort_unstable();
    folders.dedup();
    let found = folders.into_iter().filter(|folder| *folder != "bin").filter_map(|folder| {
        let path = format!("src/{folder}/mod.rs");
        let beside = format!("src/{folder}.rs");
        let home = files.iter().find(|file| file.path == path || file.path == beside);
        module_doc_finding(folder, home.map(|file| file.text.as_str()))
    });
    assert_none(&found.collect::<Vec<_>>());
}

#[test]
fn no_line_breaks_the_rules() {
    assert_none(&written().iter().flat_map(line_findings).collect::<Vec<_>>());
}

#[test]
fn no_attribute_hides_something() {
    let sources = written().into_iter().filter(|file| file.ends_with(&[".rs"]));
    assert_none(&sources.flat_map(|file| token_findings(&file)).collect::<Vec<_>>());
}

#[test]
fn text_files_end_in_one_newline() {
    let bad = written().into_iter().filter(|file| !file.text.is_empty());
    let bad = bad.filter(|file| !file.text.ends_with('\n') || file.text.ends_with("\n\n"));
    assert_none(&bad.map(|file| file.path).collect::<Vec<_>>());
}

#[test]
fn the_changelog_keeps_its_form() {
    let log = tree::files().into_iter().find(|file| file.path == "CHANGELOG.md").expect("the changelog");
    assert_none(&changelog_findings(&log.text));
}

mod planted {
    //! The matchers against the faults they are for.

    use super::*;

    fn rust(text: &str) -> TextFile {
        TextFile::planted("src/wire/reader.rs", text)
    }

    #[test]
    fn long_files_are_found() {
        assert!(size_finding("a.rs", 600, None).is_none());
        assert!(size_finding("a.rs", 601, None).is_some());
        assert!(size_finding("a.rs", 700, Some(700)).is_none());
        assert!(size_finding("a.rs", 701, Some(700)).is_some(), "a listed file may not grow");
        assert!(size_finding("a.rs", 600, Some(700)).is_some(), "a file that fits leaves the list");
        assert!(size_finding("a.rs", 1001, Some(2000)).is_some(), "nothing passes the hard limit");
    }

    #[test]
    fn crowded_folders_are_found() {
        let mut files: Vec<TextFile> =
            (0..25).map(|nth| TextFile::planted(&format!("src/api/a{nth}.rs"), "")).collect();
        assert!(crowded_folders(&files).is_empty());
        files.push(TextFile::planted("src/api/one_more.rs", ""));
        assert_eq!(crowded_folders(&files).len(), 1);
    }

    #[test]
    fn banned_words_are_found_as_words() {
        for (head, tail, _) in BANNED {
            let text = format!("// see {head}{tail} here\n");
            assert_eq!(line_findings(&rust(&text)).len(), 1, "{text}");
        }
        assert!(line_findings(&rust("let mastodons = 1;\n")).is_empty());
        assert!(line_findings(&rust(concat!("let MASTO", "DONT = 1;\n"))).is_empty());
    }

    #[test]
    fn wide_lines_and_blanks_are_found() {
        assert_eq!(line_findings(&rust(&format!("//{}\n", "x".repeat(119)))).len(), 1);
        assert!(line_findings(&rust(&format!("//{}\n", "é".repeat(118)))).is_empty(), "columns, not bytes");
        assert_eq!(line_findings(&rust("let a = 1; \n")).len(), 1);
        assert_eq!(line_findings(&rust("\tlet a = 1;\n")).len(), 1);
    }

    #[test]
    fn silent_attributes_are_found() {
        assert_eq!(token_findings(&rust("#[allow(dead_code)]\nfn f() {}")).len(), 1);
        assert_eq!(token_findings(&rust("#![expect(dead_code)]")).len(), 1);
        assert_eq!(token_findings(&rust("#[ignore]\nfn f() {}")).len(), 1);
        assert_eq!(token_findings(&rust("#[ignore = \"slow\"]\nfn f() {}")).len(), 1);
        assert_eq!(token_findings(&rust("fn f() { unsafe { g() } }")).len(), 1);
        assert!(token_findings(&rust("#[expect(dead_code, reason = \"x\")]\nfn f() {}")).is_empty());
        assert!(
            token_findings(&rust("fn f() { a.expect(\"x\"); [allow(1), b.allow(1)]; } // unsafe")).is_empty()
        );
        assert!(token_findings(&TextFile::planted("src/rt/ring.rs", "unsafe { g() }")).is_empty());
    }

    #[test]
    fn missing_module_docs_are_found() {
        assert!(module_doc_finding("wire", None).is_some());
        assert!(module_doc_finding("wire", Some("pub mod a;\n")).is_some());
        assert!(module_doc_finding("wire", Some("//! Wire.\n")).is_some());
        assert!(module_doc_finding("wire", Some(concat!("//! TO", "DO-DOC wire\n"))).is_some());
        assert!(module_doc_finding("wire", Some("//! Kafka bytes to values and back.\n")).is_none());
    }

    #[test]
    fn a_malformed_changelog_is_found() {
        let good = "# Changelog\n\nWhat changed.\n\n## Unreleased\n\n### Added\n\n- One\n  more\n\n\
                    ## 0.1.0 (2026-01-31)\n\n### Fixed\n\n- Two\n";
        assert!(changelog_findings(good).is_empty(), "{:?}", changelog_findings(good));
        for (from, to) in [
            ("# Changelog", "# Changes"),
            ("### Added", "### Misc"),
            ("(2026-01-31)", "(31.1.2026)"),
            ("- One", "One"),
            ("### Fixed", ""),
            ("0.1.0", "0.1"),
        ] {
            assert_eq!(changelog_findings(&good.replace(from, to)).len(), 1, "{from} -> {to}");
        }
    }
}
