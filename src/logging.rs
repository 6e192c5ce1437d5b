//! Log lines go to standard error, so that standard output stays a program's.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSection};

/// Starts logging; refuses a filter that cannot be read.
pub fn start(log: &LogSection) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(&log.level).map_err(|e| anyhow::anyhow!("log.level {:?}: {e}", log.level))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would complain on standard error, and panic where that is a closed pipe.
        .log_internal_errors(false);
    match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
