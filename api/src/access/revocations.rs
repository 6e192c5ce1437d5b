//! Rights that were taken back before their end.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::principal::Principal;
use crate::Time;

/// By mark, and until when that matters.
type Revoked = Arc<HashMap<String, i64>>;

/// What is known to be revoked, by this process and by others.
#[derive(Debug)]
pub(super) struct Revocations(watch::Sender<Revoked>);

impl Default for Revocations {
    fn default() -> Self {
        Self(watch::Sender::new(Revoked::default()))
    }
}

impl Revocations {
    /// Are these somebody's rights?
    pub(super) fn hit(&self, who: &Principal) -> bool {
        hit(&self.0.borrow(), who)
    }

    /// Takes back what has this mark until `until_ns`.
    pub(super) fn add(&self, mark: String, until_ns: i64) {
        self.0.send_modify(|all| {
            Arc::make_mut(all).insert(mark, until_ns);
        });
    }

    /// Adds what others have revoked, and forgets what has ended by itself.
    pub(super) fn hear(&self, found: Vec<(String, i64)>) {
        let now = Time::now().as_ns();
        self.0.send_if_modified(|all| {
            let news = found.iter().any(|(mark, _)| !all.contains_key(mark));
            let old = all.values().any(|until| *until <= now);
            if news || old {
                let all = Arc::make_mut(all);
                all.retain(|_, until| *until > now);
                all.extend(found);
            }
            news
        });
    }

    /// Resolves once somebody's rights are taken back, and never if they are not.
    pub(super) fn ended(&self, who: &Principal) -> impl Future<Output = ()> + Send + use<> {
        let (who, mut revoked) = (who.clone(), self.0.subscribe());
        async move {
            if who.marks().is_empty() || revoked.wait_for(|all| hit(all, &who)).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

fn hit(all: &HashMap<String, i64>, who: &Principal) -> bool {
    !all.is_empty() && who.marks().iter().any(|mark| all.contains_key(mark))
}
