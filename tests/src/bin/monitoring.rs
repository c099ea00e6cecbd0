//! `make monitoring`: writes the alerts and the dashboards.

use std::fs;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    for (path, text) in tests::monitoring::files()? {
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
