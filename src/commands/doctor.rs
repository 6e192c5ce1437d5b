//! `invispose doctor`: what stands in the way of a server with this configuration, each with what to do about it.

mod checks;
mod machine;

use anyhow::bail;
use serde::Serialize;
use serde_json::json;

use crate::cli::Doctor;
use crate::config::Config;
use crate::output;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Nothing to do.
    Ok,
    /// Something will go worse than it could.
    Warning,
    /// The server will not start, or will not work.
    Error,
}

/// What was found out.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How bad it is.
    pub grade: Grade,
    /// What is so.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, grade: Grade::Ok, detail: detail.into(), fix: None }
    }

    fn warning(check: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, grade: Grade::Warning, detail: detail.into(), fix: Some(fix.into()) }
    }

    fn error(check: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, grade: Grade::Error, detail: detail.into(), fix: Some(fix.into()) }
    }
}

/// Prints the findings. Fails where there is an error among them.
pub fn run(args: &Doctor, config: &Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(checks::all(config))?;
    let errors = findings.iter().filter(|f| f.grade == Grade::Error).count();
    if args.json {
        output::line(json!({ "healthy": errors == 0, "findings": findings }))?;
    } else {
        output::write(|out| {
            for finding in &findings {
                let grade = match finding.grade {
                    Grade::Ok => "ok     ",
                    Grade::Warning => "WARNING",
                    Grade::Error => "ERROR  ",
                };
                writeln!(out, "{grade} {}: {}", finding.check, finding.detail)?;
                if let Some(fix) = &finding.fix {
                    writeln!(out, "        {fix}")?;
                }
            }
            Ok(())
        })?;
    }
    match errors {
        0 => Ok(()),
        n => bail!("{n} of {} checks found an error", findings.len()),
    }
}
