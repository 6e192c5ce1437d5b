//! `invispose config`: the configuration and where each value comes from.

use std::fmt::Write as _;

use anyhow::Context;
use serde_json::json;

use crate::cli::ConfigArgs;
use crate::config::{Loaded, TABLES, leaves};
use crate::output;

/// Prints every setting with its origin.
pub fn run(args: &ConfigArgs, loaded: &Loaded) -> anyhow::Result<()> {
    let mut table = toml::Table::try_from(&loaded.config).context("configuration")?;
    table.iter_mut().for_each(|(_, value)| shorten(value));
    if let Some(url) = table.get_mut("database").and_then(|database| database.get_mut("url")) {
        hide_password(url);
    }
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

/// What stands between the user's name and the host is for the database alone.
fn hide_password(url: &mut toml::Value) {
    let Some((scheme, rest)) = url.as_str().and_then(|text| text.split_once("://")) else { return };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if let Some((user, host)) = authority.rsplit_once('@')
        && let Some((name, _)) = user.split_once(':')
    {
        *url = toml::Value::String(format!("{scheme}://{name}:***@{host}{path}"));
    }
}

/// TOML knows only f64, in which an f32 of 0.3 reads 0.30000001192092896: takes the shortest number that is the same f32.
fn shorten(value: &mut toml::Value) {
    match value {
        toml::Value::Float(x) if f64::from(*x as f32) == *x => {
            *x = (*x as f32).to_string().parse().unwrap_or(*x);
        }
        toml::Value::Array(list) => list.iter_mut().for_each(shorten),
        toml::Value::Table(table) => table.iter_mut().for_each(|(_, value)| shorten(value)),
        _ => {}
    }
}
