//! The tree as the house tests see it: its files, and Rust source cut into tokens.

use std::fs;
use std::path::Path;

/// One text file of the tree.
#[derive(Clone, Debug)]
pub(crate) struct TextFile {
    /// Path below the root of the package, with `/` between its parts.
    pub(crate) path: String,
    /// What it holds.
    pub(crate) text: String,
}

impl TextFile {
    /// A file that a test plants.
    pub(crate) fn planted(path: &str, text: &str) -> Self {
        TextFile { path: path.to_owned(), text: text.to_owned() }
    }

    /// Whether its name ends in one of these.
    pub(crate) fn ends_with(&self, endings: &[&str]) -> bool {
        endings.iter().any(|ending| self.path.ends_with(ending))
    }
}

/// Whether a folder holds outputs, never sources. The same that `.gitignore` names.
fn is_output(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    ["target", "__pycache__"].contains(&name)
        || [".git", "data", "fuzz/corpus", "fuzz/artifacts"].contains(&path)
}

/// Every text file below the root of the package, in path order. Files that aren't UTF-8 are left out.
pub(crate) fn files() -> Vec<TextFile> {
    let mut found = Vec::new();
    collect(Path::new(env!("CARGO_MANIFEST_DIR")), "", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.iter().any(|file| file.path == "src/lib.rs"), "the walk starts at the package's root");
    found
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<TextFile>) {
    for entry in fs::read_dir(folder).expect("a folder of the tree can be listed") {
        let entry = entry.expect("a folder of the tree can be listed");
        let name = entry.file_name().into_string().expect("names in the tree are UTF-8");
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().expect("an entry of the tree has a type");
        if kind.is_dir() && !is_output(&path) {
            collect(&entry.path(), &format!("{path}/"), found);
        } else if kind.is_file()
            && name != ".git"
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            found.push(TextFile { path, text });
        }
    }
}

/// One token of Rust source. Comments are dropped; literals keep their place, not their text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// Line it starts on, from 1.
    pub(crate) line: usize,
    /// A word, `::`, one punctuation character, or `""` for a literal.
    pub(crate) text: String,
}

/// Cuts Rust source into tokens. Meant for finding names: numbers are words, and literals are all alike.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut scanner = Scanner { rest: source, line: 1, found: Vec::new() };
    while !scanner.rest.is_empty() {
        scanner.step();
    }
    scanner.found
}

struct Scanner<'a> {
    rest: &'a str,
    line: usize,
    found: Vec<Token>,
}

impl Scanner<'_> {
    fn step(&mut self) {
        let rest = self.rest;
        let first = rest.chars().next().expect("step is called while text is left");
        if rest.starts_with("//") {
            self.skip(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.skip(block_comment_bytes(rest));
        } else if let Some(bytes) = literal_bytes(rest) {
            self.take("\"\"", bytes);
        } else if is_word(first) {
            let bytes = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            self.take(&rest[..bytes], bytes);
        } else if rest.starts_with("::") {
            self.take("::", 2);
        } else if first.is_whitespace() {
            self.skip(first.len_utf8());
        } else {
            self.take(&rest[..first.len_utf8()], first.len_utf8());
        }
    }

    fn take(&mut self, text: &str, bytes: usize) {
        self.found.push(Token { line: self.line, text: text.to_owned() });
        self.skip(bytes);
    }

    fn skip(&mut self, bytes: usize) {
        assert!(bytes > 0, "every step moves on");
        self.line += self.rest[..bytes].matches('\n').count();
        self.rest = &self.rest[bytes..];
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment_bytes(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Bytes of the string or character literal that starts here, or None.
fn literal_bytes(text: &str) -> Option<usize> {
    for prefix in ["", "b", "c"] {
        let Some(rest) = text.strip_prefix(prefix) else { continue };
        if rest.starts_with('"') {
            return Some(prefix.len() + quoted_bytes(rest, '"'));
        }
        if let Some(raw) = rest.strip_prefix('r') {
            let hashes = raw.len() - raw.trim_start_matches('#').len();
            if raw[hashes..].starts_with('"') {
                let close = format!("\"{}", "#".repeat(hashes));
                let body = &raw[hashes + 1..];
                let end = body.find(&close).map_or(body.len(), |at| at + close.len());
                return Some(prefix.len() + 1 + hashes + 1 + end);
            }
        }
        if rest.starts_with('\'') && !is_lifetime(rest) {
            return Some(prefix.len() + quoted_bytes(rest, '\''));
        }
    }
    None
}

fn is_lifetime(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    let (first, second) = (chars.next(), chars.next());
    first.is_some_and(is_word) && second != Some('\'')
}

fn quoted_bytes(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}
