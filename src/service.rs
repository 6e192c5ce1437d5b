//! The service manager that started the server, where one did: systemd's notification protocol, sd_notify(3).

use std::time::Duration;

use invispose_api::{ApiState, system};
use sd_notify::NotifyState;

/// Says something to the service manager, if there is one.
fn say(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager was not told");
    }
}

/// The server answers.
pub fn ready(addresses: &[String]) {
    let status = format!("listening on {}", addresses.join(", "));
    say(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The configuration is being read again; [`ready`] follows.
pub fn reloading() {
    let mut state = vec![NotifyState::Reloading];
    state.extend(NotifyState::monotonic_usec_now());
    say(&state);
}

/// The server ends.
pub fn stopping() {
    say(&[NotifyState::Stopping]);
}

/// Tells the watchdog that the server lives, for as long as no part has a fault that only a new start would end. Never returns where
/// there is a watchdog.
pub async fn keep_watchdog(state: ApiState) {
    let Some(every) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = tokio::time::interval((every / 3).max(Duration::from_millis(10)));
    loop {
        ticks.tick().await;
        match system::dead(&state) {
            None => say(&[NotifyState::Watchdog]),
            Some(fault) => tracing::error!("{fault}: the service manager will start the server anew"),
        }
    }
}
