//! `invispose config`: the configuration and where each value comes from.

use std::fmt::Write as _;

use anyhow::Context;
use serde_json::json;

use crate::cli::ConfigArgs;
use crate::config::{Loaded, TABLES, leaves};
use crate::output;

/// Prints every setting with its origin.
pub fn run(args: &ConfigArgs, loaded: &Loaded) -> anyhow::Result<()> {
    let table = toml::Table::try_from(&loaded.config).context("configuration")?;
    let origin = |key: &str| loaded.origins.get(key).map_or("default", String::as_str);
    if args.json {
        let settings: serde_json::Map<_, _> = leaves(&table)
            .into_iter()
            .map(|(key, value)| {
                let entry = json!({ "value": value, "origin": origin(&key) });
                (key, entry)
            })
            .collect();
        let lists: serde_json::Map<_, _> =
            TABLES.iter().map(|&key| (key.to_owned(), json!(table.get(key)))).collect();
        return output::line(json!({ "settings": settings, "lists": lists }));
    }
    let mut text = String::new();
    for (key, value) in leaves(&table) {
        writeln!(text, "{:<32}  # {}", format!("{key} = {value}"), origin(&key))?;
    }
    for (key, list) in TABLES.map(|key| (key, table.get(key))) {
        if let Some(list) = list.and_then(toml::Value::as_array)
            && !list.is_empty()
        {
            let mut lists = toml::Table::new();
            lists.insert(key.to_owned(), toml::Value::Array(list.clone()));
            let lists = toml::to_string(&lists).context("configuration")?;
            writeln!(text, "\n# {}\n{lists}", origin(key))?;
        }
    }
    output::write(|out| out.write_all(text.as_bytes()))
}
