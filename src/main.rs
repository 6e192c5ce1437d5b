//! The command line: reads configuration, builds the pipeline, starts the API.

// They panic where a pipe is closed; `output` does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod commands;
mod config;
mod data_dir;
mod listener;
mod logging;
mod model_card;
mod network;
mod output;
mod places;
mod reload;
mod serve;
mod service;

use std::process::ExitCode;

use clap::Parser;
use toml::Value;

use cli::{Calibrate, Cli, Command, Common};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<output::Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            output::note(format_args!("invispose: {}", causes(&error)));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, less what its text says already.
fn causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let flags = flags(&cli);
    let loaded = config::load(cli.config.as_deref(), variables(), &flags)?;
    logging::start(&loaded.config.log)?;
    // Flags hold as well when the configuration is read again.
    let file = cli.config.clone();
    let again = Box::new(move || Ok(config::load(file.as_deref(), variables(), &flags)?.config));
    match cli.command {
        Command::Demo(args) => commands::serve::demo(&args, &loaded.config, again),
        Command::Run(args) => commands::serve::run(&args, &loaded.config, again),
        Command::Replay(args) => commands::serve::replay(&args, &loaded.config, again),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Convert(args) => commands::convert::run(&args),
        Command::Record(args) => commands::record::run(&args),
        Command::Simulate(args) => commands::simulate::run(&args),
        Command::Ring(args) => commands::ring::run(&args),
        Command::Doctor(args) => commands::doctor::run(&args, &loaded.config),
        Command::Backup(args) => commands::backup::backup(&args, &loaded.config),
        Command::Restore(args) => commands::backup::restore(&args, &loaded.config),
        Command::Config(args) => commands::config::run(&args, &loaded),
        Command::Token(command) => commands::token::run(&command, &loaded.config),
        Command::Train(args) => commands::train::run(&args),
        Command::Study(args) => commands::study::run(&args),
        Command::Calibrate(args) => commands::calibrate::run(&args, &loaded.config),
        Command::Evaluate(args) => commands::evaluate::run(&loaded.config, &args),
    }
}

/// The environment, less what is no text: no setting is.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Flags that stand for a setting, as (key, value, flag).
fn flags(cli: &Cli) -> Vec<(&'static str, Value, &'static str)> {
    let mut flags = Vec::new();
    if let Some(format) = cli.log_format {
        let name = match format {
            cli::LogFormat::Text => "text",
            cli::LogFormat::Json => "json",
        };
        flags.push(("log.format", Value::String(name.into()), "--log-format"));
    }
    if let Some(level) = &cli.log_level {
        flags.push(("log.level", Value::String(level.clone()), "--log-level"));
    }
    let data_dir = match &cli.command {
        Command::Doctor(args) => args.data_dir.as_ref(),
        Command::Backup(args) => args.data_dir.as_ref(),
        Command::Restore(args) => args.data_dir.as_ref(),
        _ => None,
    };
    if let Some(dir) = data_dir {
        flags.push(("data_dir", Value::String(dir.to_string_lossy().into_owned()), "--data-dir"));
    }
    let common: Option<&Common> = match &cli.command {
        Command::Demo(args) => Some(&args.common),
        Command::Run(args) => Some(&args.common),
        Command::Replay(args) => Some(&args.serve.common),
        _ => None,
    };
    let other = match &cli.command {
        Command::Token(cli::Token::Create(args)) => args.data_dir.as_ref(),
        Command::Calibrate(Calibrate::Baseline(args)) => args.data_dir.as_ref(),
        Command::Calibrate(Calibrate::Activity(args) | Calibrate::Count(args)) => args.data_dir.as_ref(),
        Command::Calibrate(Calibrate::Camera(args)) => args.room.data_dir.as_ref(),
        Command::Calibrate(Calibrate::Walk(args)) => args.room.data_dir.as_ref(),
        _ => None,
    };
    let data_dir = common.and_then(|c| c.data_dir.as_ref()).or(other);
    if let Some(dir) = data_dir {
        flags.push(("data_dir", Value::String(dir.to_string_lossy().into_owned()), "--data-dir"));
    }
    if let Some(common) = common {
        if let Some(listen) = common.listen {
            flags.push(("listen", Value::String(listen.to_string()), "--listen"));
        }
        if let Some(device) = &common.device {
            flags.push(("device", Value::String(device.clone()), "--device"));
        }
    }
    flags
}
