//! `invispose config`: the configuration and where each value comes from.

use anyhow::Context;
use serde_json::json;

use crate::cli::ConfigArgs;
use crate::config::{Loaded, leaves};

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
        let lists = json!({ "site": loaded.config.sites, "source": loaded.config.sources });
        println!("{}", json!({ "settings": settings, "lists": lists }));
        return Ok(());
    }
    for (key, value) in leaves(&table) {
        println!("{:<32}  # {}", format!("{key} = {value}"), origin(&key));
    }
    for (key, list) in [("site", table.get("site")), ("source", table.get("source"))] {
        if let Some(list) = list.and_then(toml::Value::as_array)
            && !list.is_empty()
        {
            let mut lists = toml::Table::new();
            lists.insert(key.to_owned(), toml::Value::Array(list.clone()));
            println!("\n# {}\n{}", origin(key), toml::to_string(&lists).context("configuration")?);
        }
    }
    Ok(())
}
