//! Who may import whom. The table here is the one of `docs/ARCHITECTURE.md`; a new edge needs a decision record.
#![expect(clippy::disallowed_methods, reason = "the test reads the tree it judges")]

mod tree;

use tree::{TextFile, Token};

/// One folder of `src/`, and the folders it may import besides itself. Rows import only rows above them.
struct Layer {
    name: &'static str,
    imports: &'static [&'static str],
}

const fn layer(name: &'static str, imports: &'static [&'static str]) -> Layer {
    Layer { name, imports }
}

const LAYERS: &[Layer] = &[
    layer("base", &[]),
    layer("wire", &["base"]),
    layer("conf", &["base"]),
    layer("metrics", &["base"]),
    layer("seam", &["base"]),
    layer("log", &["base", "wire"]),
    layer("cluster", &["base", "wire"]),
    layer("quorum", &["base", "wire"]),
    layer("peer", &["base", "wire", "cluster"]),
    layer("replica", &["base", "wire", "log"]),
    layer("group", &["base", "wire"]),
    layer("txn", &["base", "wire"]),
    layer("security", &["base", "wire", "conf"]),
    layer(
        "api",
        &["base", "wire", "conf", "metrics", "log", "cluster", "replica", "group", "txn", "security"],
    ),
    layer(
        "shard",
        &[
            "base", "wire", "conf", "metrics", "seam", "log", "cluster", "quorum", "peer", "replica",
            "group", "txn", "security", "api",
        ],
    ),
    layer("rt", &["base", "metrics", "seam"]),
    layer(
        "sim",
        &[
            "base", "wire", "conf", "metrics", "seam", "log", "cluster", "quorum", "peer", "replica",
            "group", "txn", "security", "api", "shard",
        ],
    ),
    layer("load", &["base", "wire", "conf", "metrics", "seam", "rt"]),
    layer("boot", EVERYTHING),
    layer("bin", EVERYTHING),
];

const EVERYTHING: &[&str] = &[
    "base", "wire", "conf", "metrics", "seam", "log", "cluster", "quorum", "peer", "replica", "group", "txn",
    "security", "api", "shard", "rt", "sim", "load", "boot",
];

/// Crates and parts of `std` that only some layers may name. Every dependency has a row.
const OUTSIDE: &[Layer] = &[
    layer("glommio", &["rt"]),
    layer("io_uring", &["rt"]),
    layer("libc", &["rt"]),
    layer("mimalloc", &["bin"]),
    layer("socket2", &["rt"]),
    layer("std::fs", &["rt", "load", "boot", "bin"]),
    layer("std::thread", &["rt", "load", "boot", "bin"]),
    layer("std::process", &["rt", "load", "boot", "bin"]),
    layer("std::env", &["rt", "sim", "load", "boot", "bin"]),
    layer("std::os", &["rt"]),
    layer("clap", &["load", "boot", "bin"]),
    layer("tracing_subscriber", &["sim", "load", "boot", "bin"]),
    layer("tracing", &["api", "shard", "rt", "sim", "load", "boot", "bin"]),
    layer("toml", &["conf", "boot", "load"]),
    layer("serde", &["conf", "load", "boot"]),
    layer("serde_json", &["load"]),
    layer("hdrhistogram", &["metrics", "load"]),
    layer("prometheus_client", &["metrics"]),
    layer("futures_lite", &["seam", "shard", "rt", "sim", "load", "boot", "bin"]),
    layer("crc32c", &["wire", "log", "cluster", "quorum", "load"]),
    layer("flate2", &["wire"]),
    layer("lz4_flex", &["wire"]),
    layer("snap", &["wire"]),
    layer("zstd", &["wire"]),
    layer("zerocopy", &["base", "wire", "log"]),
    layer("raft", &["quorum"]),
    layer("regex", &["group", "txn"]),
    layer("slog", &["quorum"]),
    layer("bytes", EVERYTHING),
];

/// A name that a file uses and that its layer doesn't allow, as `path:line: sentence`.
type Finding = String;

/// The folder of `src/` that a file is in; None for `lib.rs` and files outside `src/`.
fn layer_of(path: &str) -> Option<&str> {
    path.strip_prefix("src/")?.split_once('/').map(|(name, _)| name)
}

/// The module path that a file stands for, from the crate's root: `src/log/index.rs` is `log`, `index`.
fn module_depth(path: &str) -> usize {
    let inner = path.strip_prefix("src/").unwrap_or(path);
    let parts = inner.split('/').count();
    if inner.ends_with("/mod.rs") || inner == "lib.rs" { parts - 1 } else { parts }
}

/// The names that follow a path's start at `at`: one word, or the heads of a braced group.
fn heads(tokens: &[Token], at: usize) -> Vec<Token> {
    let Some(first) = tokens.get(at) else { return Vec::new() };
    if first.text != "{" {
        return vec![first.clone()];
    }
    let mut found = Vec::new();
    let mut depth = 1;
    let mut at_head = true;
    for token in &tokens[at + 1..] {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => break,
            "}" => depth -= 1,
            "," if depth == 1 => at_head = true,
            _ if at_head && depth == 1 => {
                found.push(token.clone());
                at_head = false;
            }
            _ => {}
        }
    }
    found
}

/// Every name directly under the crate's root that the file uses: after `crate::`, after `ringlog::`, and after as
/// many `super::` as reach the root.
fn root_names(file: &TextFile) -> Vec<Token> {
    let tokens = tree::tokens(&file.text);
    let mut found = Vec::new();
    let mut open = 0_usize;
    let mut inline_mods: Vec<usize> = Vec::new();
    let mut supers = 0;
    for (at, token) in tokens.iter().enumerate() {
        let path_goes_on = tokens.get(at + 1).is_some_and(|next| next.text == "::");
        match token.text.as_str() {
            "{" => open += 1,
            "}" => {
                open = open.saturating_sub(1);
                inline_mods.retain(|&depth| depth <= open);
            }
            "mod" if tokens.get(at + 2).is_some_and(|next| next.text == "{") => inline_mods.push(open + 1),
            "crate" | "ringlog" if path_goes_on => found.extend(heads(&tokens, at + 2)),
            "crate" if tokens.get(at + 1).is_some_and(|next| next.text == "as") => found.push(token.clone()),
            "super" if path_goes_on => {
                supers += 1;
                let next_is_super = tokens.get(at + 2).is_some_and(|next| next.text == "super");
                if !next_is_super {
                    if supers >= module_depth(&file.path) + inline_mods.len() {
                        found.extend(heads(&tokens, at + 2));
                    }
                    supers = 0;
                }
            }
            _ => {}
        }
    }
    found
}

/// Imports between folders that the table doesn't hold.
fn import_findings(file: &TextFile) -> Vec<Finding> {
    let Some(own) = layer_of(&file.path) else { return Vec::new() };
    let Some(row) = LAYERS.iter().find(|row| row.name == own) else {
        return vec![format!("{}:1: the folder {own} has no row in the layer table", file.path)];
    };
    root_names(file)
        .into_iter()
        .filter(|name| name.text != own && !row.imports.contains(&name.text.as_str()))
        .map(|name| format!("{}:{}: {own} may not import {}", file.path, name.line, name.text))
        .collect()
}

/// Whether the tokens from `at` start the path `name`, and aren't the inside of a longer path.
fn starts_path(tokens: &[Token], at: usize, name: &str) -> bool {
    let words: Vec<&str> = name.split("::").collect();
    let goes_on = words.iter().enumerate().all(|(nth, word)| {
        tokens.get(at + 2 * nth).is_some_and(|token| token.text == *word)
            && (nth == 0 || tokens[at + 2 * nth - 1].text == "::")
    });
    let inside = match at.checked_sub(1).map(|before| tokens[before].text.as_str()) {
        Some(".") => true,
        Some("::") if at >= 2 => {
            let before = &tokens[at - 2].text;
            before != "use" && before.chars().all(|c| c.is_alphanumeric() || c == '_')
        }
        _ => false,
    };
    let used = tokens
        .get(at + 2 * words.len() - 1)
        .is_some_and(|next| ["::", ";", "as"].contains(&next.text.as_str()));
    let in_use = at >= 1 && ["use", "crate"].contains(&tokens[at - 1].text.as_str());
    goes_on && !inside && used && (in_use || tokens[at + 2 * words.len() - 1].text == "::")
}

/// Names of crates and of `std` parts that the table doesn't allow here.
fn outside_findings(file: &TextFile) -> Vec<Finding> {
    let Some(own) = layer_of(&file.path) else { return Vec::new() };
    let tokens = tree::tokens(&file.text);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        for row in OUTSIDE.iter().filter(|row| !row.imports.contains(&own) && own != "bin") {
            if starts_path(&tokens, at, row.name) || std_group_names(&tokens, at, row.name) {
                found.push(format!("{}:{}: {own} may not name {}", file.path, tokens[at].line, row.name));
            }
        }
    }
    found
}

/// Whether `use std::{…}` from `at` names this part of `std` among its heads.
fn std_group_names(tokens: &[Token], at: usize, name: &str) -> bool {
    let Some(part) = name.strip_prefix("std::") else { return false };
    let is = |nth: usize, text: &str| tokens.get(at + nth).is_some_and(|token| token.text == text);
    is(0, "std") && is(1, "::") && is(2, "{") && heads(tokens, at + 2).iter().any(|head| head.text == part)
}

/// Names under `[dependencies]` of a manifest, as Rust paths write them.
fn dependencies(manifest: &str) -> Vec<String> {
    manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim().split('.').next().unwrap_or_default().replace('-', "_"))
        .collect()
}

fn sources() -> Vec<TextFile> {
    tree::files()
        .into_iter()
        .filter(|file| file.path.starts_with("src/") && file.ends_with(&[".rs"]))
        .collect()
}

#[test]
fn every_import_is_in_the_table() {
    let found: Vec<Finding> = sources().iter().flat_map(import_findings).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_outside_name_is_in_the_table() {
    let found: Vec<Finding> = sources().iter().flat_map(outside_findings).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_dependency_has_a_row() {
    let manifest = tree::files().into_iter().find(|file| file.path == "Cargo.toml").expect("the manifest");
    let names = dependencies(&manifest.text);
    assert!(names.iter().any(|name| name == "glommio"), "the manifest's section was found");
    for name in names {
        assert!(OUTSIDE.iter().any(|row| row.name == name), "say in OUTSIDE which layers may name {name}");
    }
}

#[test]
fn the_table_is_acyclic_and_names_only_itself() {
    for (nth, row) in LAYERS.iter().enumerate() {
        for import in row.imports {
            let above = LAYERS[..nth].iter().any(|other| other.name == *import) || *import == "boot";
            assert!(*import != "boot" || ["boot", "bin"].contains(&row.name), "{} imports boot", row.name);
            assert!(above, "{} imports {import}, which is not above it", row.name);
        }
    }
}

#[test]
fn the_root_only_declares_modules() {
    let root = sources().into_iter().find(|file| file.path == "src/lib.rs").expect("the library's root");
    for (nth, line) in root.text.lines().enumerate() {
        let declares = line.starts_with("pub mod ") && line.ends_with(';');
        let quiet =
            line.is_empty() || line.starts_with("//") || line.starts_with("#[") || line.starts_with("#![");
        assert!(declares || quiet, "src/lib.rs:{}: the root holds declarations only: {line}", nth + 1);
    }
}

#[test]
fn the_architecture_document_shows_the_same_table() {
    let document =
        tree::files().into_iter().find(|file| file.path == "docs/ARCHITECTURE.md").expect("the document");
    for row in LAYERS {
        let start = format!("| `{}` |", row.name);
        let line = document.text.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("docs/ARCHITECTURE.md has no row for {}", row.name));
        let imports = match row.imports {
            [] => "nothing".to_owned(),
            all if all == EVERYTHING => "everything".to_owned(),
            some => some.join(", "),
        };
        assert!(line.ends_with(&format!("| {imports} |")), "{}: the row should end in: {imports}", row.name);
    }
}

mod planted {
    //! The matchers against sources that hold the fault: a check that was never seen failing is no check.

    use super::*;

    fn imports(path: &str, text: &str) -> Vec<Finding> {
        import_findings(&TextFile::planted(path, text))
    }

    fn outside(path: &str, text: &str) -> Vec<Finding> {
        outside_findings(&TextFile::planted(path, text))
    }

    #[test]
    fn an_upward_import_is_found_in_every_spelling() {
        for text in [
            "use crate::rt::Disk;",
            "use crate::rt;",
            "use crate::{base::Offset, rt::{Disk, Net}};",
            "use crate::{\n    base,\n    rt,\n};",
            "fn f() -> crate::rt::Disk { todo() }",
            "fn f() { super::super::rt::go(); }",
            "use super::super::{base, rt};",
            "mod tests { use super::super::super::rt; }",
            "pub(in crate::rt) fn f() {}",
            "use crate as root;",
            "use crate::*;",
            "use ringlog::rt::Disk;",
        ] {
            let found = imports("src/wire/reader.rs", text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].starts_with("src/wire/reader.rs:"), "{found:?}");
        }
    }

    #[test]
    fn lines_are_right() {
        let found =
            imports("src/log/index.rs", "//! Doc.\n\nuse crate::base::Offset;\nuse crate::shard::Turn;\n");
        assert_eq!(found, ["src/log/index.rs:4: log may not import shard"]);
    }

    #[test]
    fn allowed_imports_comments_and_strings_are_quiet() {
        for text in [
            "use crate::base::{Offset, limits};",
            "use crate::{base::Offset, wire::Reader};",
            "use super::Reader;",
            "mod tests { use super::*; use super::super::text; }",
            "// use crate::rt::Disk;\n/* crate::rt /* crate::rt */ */",
            "const A: &str = \"crate::rt\"; const B: &str = r#\"crate::rt \"quoted\" \"#;",
            "fn f<'a>(c: char) -> bool { c == '\\'' || c == '\"' || c == 'x' }",
            "pub(crate) fn f() {}",
        ] {
            assert!(imports("src/wire/reader.rs", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_folder_without_a_row_is_found() {
        assert_eq!(imports("src/misc/a.rs", "").len(), 1);
    }

    #[test]
    fn super_from_a_folders_root_reaches_the_crate() {
        assert_eq!(imports("src/wire/mod.rs", "use super::rt::Disk;").len(), 1);
        assert!(imports("src/wire/mod.rs", "use super::base::Offset;").is_empty());
        assert!(imports("src/wire/batch/header.rs", "use super::super::reader;").is_empty());
    }

    #[test]
    fn the_runtime_is_named_only_in_rt() {
        for text in [
            "use glommio::LocalExecutor;",
            "use ::glommio::LocalExecutor;",
            "use glommio as g;",
            "extern crate glommio;",
            "fn f() { glommio::executor(); }",
            "use {bytes::Bytes, glommio::io};",
        ] {
            assert_eq!(outside("src/shard/turn.rs", text).len(), 1, "{text}");
            assert!(outside("src/rt/files.rs", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn parts_of_std_are_kept_out() {
        assert_eq!(outside("src/log/index.rs", "use std::fs::File;").len(), 1);
        assert_eq!(outside("src/log/index.rs", "use std::{fmt, fs};").len(), 1);
        assert_eq!(outside("src/log/index.rs", "fn f() { std::thread::yield_now(); }").len(), 1);
        assert!(outside("src/log/index.rs", "use std::{fmt, io};\nlet fs = 1; fs::x();").is_empty());
    }

    #[test]
    fn a_variable_with_a_crates_name_is_no_import() {
        assert!(outside("src/shard/turn.rs", "let snap = 1; f(snap, zstd); self.snap::<u8>();").is_empty());
        assert!(outside("src/shard/turn.rs", "use crate::wire::zstd::frame;").is_empty());
    }

    #[test]
    fn a_manifest_is_read() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\na-b = \"1\"\nc = { version = \"1\" }\n\
                        [dev-dependencies]\nd = \"1\"\n";
        assert_eq!(dependencies(manifest), ["a_b", "c"]);
    }
}
