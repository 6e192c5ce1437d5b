//! `invispose token`: access for those who have none yet.

use anyhow::{Context, bail};
use invispose_api::access::{self, Grant, SigningKey, Tier};
use invispose_api::store::Store;

use crate::cli::{Token, TokenCreate};
use crate::config::{Config, check_site_id};
use crate::output;

/// Works beside a running server, and before its first start: both take the key from the data directory.
pub fn run(command: &Token, config: &Config) -> anyhow::Result<()> {
    let Token::Create(args) = command;
    create(args, config)
}

fn create(args: &TokenCreate, config: &Config) -> anyhow::Result<()> {
    if args.name.is_empty() || args.name.chars().count() > 200 || args.name.chars().any(char::is_control) {
        bail!("--name: 1 to 200 characters are needed");
    }
    for site in &args.site {
        check_site_id(site).context("--site")?;
    }
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("data directory {}", config.data_dir.display()))?;
    let path = config.key_file();
    let key = SigningKey::open(&path).with_context(|| path.display().to_string())?;
    let grant = Grant {
        subject: args.name.clone(),
        scopes: args.scope.iter().copied().collect(),
        sites: (!args.site.is_empty()).then(|| args.site.iter().cloned().collect()),
        tier: if args.premium { Tier::Premium } else { Tier::Authenticated },
        ..Grant::default()
    };
    let token = key.mint(&grant, args.ttl)?;
    if let Err(reason) = note(config, &grant) {
        output::note(format_args!("not in the audit log: {reason:#}"));
    }
    output::line(format_args!("{token}"))
}

/// Writes into the audit log that a token was made, where there is a database yet.
fn note(config: &Config, grant: &Grant) -> anyhow::Result<()> {
    let database = config.database.store(&config.data_dir);
    if database.url.is_none() && !Store::file(&config.data_dir).exists() {
        return Ok(());
    }
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open(database).await?;
        access::note_token(&store, &user, grant).await?;
        anyhow::Ok(())
    })
}
