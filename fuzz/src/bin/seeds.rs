//! Writes every target's seeds to corpus/TARGET.

use ringlog_fuzz::{TARGETS, seeds::seeds};
use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    for target in TARGETS {
        let folder = home.join("corpus").join(target.name);
        fs::create_dir_all(&folder)?;
        for (nth, seed) in seeds(target.name, &home.join("../tests/golden")).iter().enumerate() {
            fs::write(folder.join(format!("seed-{nth}")), seed)?;
        }
    }
    Ok(())
}
