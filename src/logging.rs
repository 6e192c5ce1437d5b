//! Log lines go to standard error, so that standard output stays a program's.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSection};

/// Replaces the filter; `false` where nobody logs any more.
type Replace = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// There is one log for a process.
static FILTER: OnceLock<Replace> = OnceLock::new();

/// Starts logging; refuses a filter that cannot be read.
pub fn start(log: &LogSection) -> anyhow::Result<()> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(log)?)
        .with_writer(std::io::stderr)
        // It would complain on standard error, and panic where that is a closed pipe.
        .log_internal_errors(false);
    let replace: Replace = match log.format {
        LogFormat::Text => {
            let lines =
                lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).with_filter_reloading();
            let handle = lines.reload_handle();
            lines.init();
            Box::new(move |filter| handle.reload(filter).is_ok())
        }
        LogFormat::Json => {
            let lines = lines.json().with_filter_reloading();
            let handle = lines.reload_handle();
            lines.init();
            Box::new(move |filter| handle.reload(filter).is_ok())
        }
    };
    let _ = FILTER.set(replace);
    Ok(())
}

/// Refuses a filter that cannot be read.
pub fn check(log: &LogSection) -> anyhow::Result<()> {
    filter(log).map(drop)
}

/// From now on this is logged.
pub fn set_level(log: &LogSection) -> anyhow::Result<()> {
    let filter = filter(log)?;
    match FILTER.get() {
        Some(replace) if replace(filter) => Ok(()),
        _ => anyhow::bail!("log.level: nobody logs"),
    }
}

fn filter(log: &LogSection) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(&log.level).map_err(|e| anyhow::anyhow!("log.level {:?}: {e}", log.level))
}
