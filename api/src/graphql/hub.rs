//! Fan-out: subscriptions that ask for the same are executed and written once for all who asked.
//!
//! ```text
//! subscription ─► one stream of answers ─► text, once ─► newest only (frames)  ─► each subscriber at its own pace
//!                                                    └─► in a row    (events)
//! ```
//!
//! What asks for the same has the same document, operation and variables, and the same rights. A subscriber that is
//! slower than frames come gets the newest one whenever it takes one; one that falls behind events is told how many it missed, and
//! that is its end. Nobody waits for anybody else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_graphql::parser::types::{DocumentOperations, ExecutableDocument, OperationType, Selection};
use async_graphql::{Request, Response};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::AbortHandle;

use super::{Schema, access, bounds, unexecuted};
use crate::ApiState;
use crate::metrics::Traffic;

/// Events that a subscriber may be behind before it is given up.
const BEHIND: usize = 1024;
/// Somebody who joins gets the newest answer, unless it is older than this: then it may not be true any more.
const FRESH: Duration = Duration::from_millis(250);
/// Root fields whose answers are things that happened: none may be left out in silence.
const HAPPENINGS: [&str; 3] = ["events", "zoneEvents", "alerts"];

/// An answer as it is sent.
#[derive(Debug)]
pub(super) struct Answer {
    /// The result as JSON; the list of its errors where nothing was executed.
    pub text: String,
    /// Whether something was executed.
    pub executed: bool,
}

impl Answer {
    fn new(response: &Response) -> Arc<Self> {
        let executed = !unexecuted(response);
        let text =
            if executed { serde_json::to_string(response) } else { serde_json::to_string(&response.errors) };
        Arc::new(Self { text: text.unwrap_or_default(), executed })
    }

    fn missed(count: u64) -> Arc<Self> {
        let error = async_graphql::Error::new(format!("{count} events were missed"));
        let error = error.into_server_error(async_graphql::Pos::default());
        let mut response = Response::from_errors(vec![error]);
        response.errors.iter_mut().for_each(|e| e.locations.clear());
        Arc::new(Self { text: serde_json::to_string(&response).unwrap_or_default(), executed: true })
    }
}

/// Answers of one operation.
pub(super) type Answers = BoxStream<'static, Arc<Answer>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    document: String,
    operation: Option<String>,
    variables: String,
    /// Scopes and sites.
    rights: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Only the newest matters.
    Newest,
    /// All in a row.
    All,
}

/// What is being executed, by what was asked. Cheap to clone.
#[derive(Clone)]
pub(super) struct Hub {
    schema: Schema,
    running: Arc<Mutex<HashMap<Key, Weak<Running>>>>,
    traffic: Arc<Traffic>,
}

/// One execution for everybody who asked for the same; it ends with the last of them.
struct Running {
    key: Key,
    feed: Feed,
    task: AbortHandle,
    all: Arc<Mutex<HashMap<Key, Weak<Running>>>>,
}

enum Feed {
    Newest {
        newest: watch::Receiver<Newest>,
        /// Somebody waits for the next one: it is made only then.
        wanted: Arc<Notify>,
    },
    All {
        row: Row,
        /// The place of the one who began: nothing comes before it.
        first: Mutex<Option<broadcast::Receiver<Option<Arc<Answer>>>>>,
        /// Set before the `None` that ends the row.
        ended: Arc<AtomicBool>,
    },
}

type Row = broadcast::Sender<Option<Arc<Answer>>>;

#[derive(Clone, Default)]
struct Newest {
    /// Counts answers from 1.
    number: u64,
    answer: Option<(Arc<Answer>, Instant)>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
        let mut all = lock(&self.all);
        if all.get(&self.key).is_some_and(|r| r.strong_count() == 0) {
            all.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub(super) fn new(schema: Schema, traffic: Arc<Traffic>) -> Self {
        Self { schema, running: Arc::default(), traffic }
    }

    /// Executes an operation for somebody, or joins others with the same rights who asked for the same.
    pub(super) fn open(&self, state: &ApiState, request: Request) -> Answers {
        let present = self.traffic.operation();
        self.join(state, request).map(move |answer| present.keep(answer)).boxed()
    }

    fn join(&self, state: &ApiState, mut request: Request) -> Answers {
        let looked = bounds::check(&mut request).inspect_err(|_| state.traffic().refused_document());
        if let Err(error) = looked.and_then(|()| access::permitted(state, &mut request)) {
            let refused = Answer::new(&Response::from_errors(vec![error]));
            return stream::once(async { refused }).boxed();
        }
        let name = request.operation_name.clone();
        let pace = request.parsed_query().ok().and_then(|d| pace(d, name.as_deref()));
        let Some(pace) = pace.filter(|_| request.extensions.is_empty()) else {
            return self.alone(state, request);
        };
        let key = Key {
            document: request.query.clone(),
            operation: request.operation_name.clone(),
            variables: serde_json::to_string(&request.variables).unwrap_or_default(),
            rights: state.who().rights(),
        };
        // Under the lock, so that two who come at once do not both begin.
        let mut all = lock(&self.running);
        let (running, joined) = match all.get(&key).and_then(Weak::upgrade) {
            Some(running) => (running, true),
            None => (self.start(state, key.clone(), pace, &request), false),
        };
        all.insert(key, Arc::downgrade(&running));
        drop(all);
        match &running.feed {
            Feed::Newest { newest, wanted } => {
                let (newest, wanted) = (newest.clone(), wanted.clone());
                let own = if joined { self.first(state, &newest, request) } else { None };
                follow_newest(running.clone(), newest, wanted, own)
            }
            Feed::All { row, first, ended } => {
                let row = lock(first).take().unwrap_or_else(|| row.subscribe());
                if joined && ended.load(Ordering::Acquire) {
                    // The end itself may have come before.
                    return self.alone(state, request);
                }
                follow_all(row, running.clone())
            }
        }
    }

    fn alone(&self, state: &ApiState, request: Request) -> Answers {
        self.schema.execute_stream(request.data(state.clone())).map(|r| Answer::new(&r)).boxed()
    }

    fn start(&self, state: &ApiState, key: Key, pace: Pace, request: &Request) -> Arc<Running> {
        let mut again = Request::new(key.document.clone()).variables(request.variables.clone());
        again.operation_name = key.operation.clone();
        let mut answers = self.alone(state, again);
        let (feed, task) = match pace {
            Pace::Newest => {
                let (sender, newest) = watch::channel(Newest::default());
                let wanted = Arc::<Notify>::default();
                let asked = wanted.clone();
                let task = tokio::spawn(async move {
                    while let Some(answer) = answers.next().await {
                        let answer = Some((answer, Instant::now()));
                        sender.send_modify(|n| *n = Newest { number: n.number + 1, answer });
                        asked.notified().await;
                    }
                });
                (Feed::Newest { newest, wanted }, task.abort_handle())
            }
            Pace::All => {
                let (row, first) = broadcast::channel(BEHIND);
                let (sender, ended) = (row.clone(), Arc::<AtomicBool>::default());
                let ending = ended.clone();
                let task = tokio::spawn(async move {
                    while let Some(answer) = answers.next().await {
                        let _ = sender.send(Some(answer));
                    }
                    ending.store(true, Ordering::Release);
                    let _ = sender.send(None);
                });
                (Feed::All { row, first: Mutex::new(Some(first)), ended }, task.abort_handle())
            }
        };
        Arc::new(Running { key, feed, task, all: self.running.clone() })
    }

    /// What somebody who joins is owed at once, where the newest answer that there is may not be true any more.
    fn first(&self, state: &ApiState, newest: &watch::Receiver<Newest>, request: Request) -> Option<Answers> {
        let old = newest.borrow().answer.as_ref().is_some_and(|(_, at)| at.elapsed() > FRESH);
        old.then(|| self.alone(state, request))
    }
}

/// The root field decides. `None`: no subscription that is known to be the same for all.
fn pace(document: &ExecutableDocument, name: Option<&str>) -> Option<Pace> {
    let operation = match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => operation,
        (DocumentOperations::Multiple(all), Some(name)) => all.get(name)?,
        (DocumentOperations::Multiple(all), None) if all.len() == 1 => all.values().next()?,
        _ => return None,
    };
    if operation.node.ty != OperationType::Subscription {
        return None;
    }
    match operation.node.selection_set.node.items.as_slice() {
        [only] => match &only.node {
            Selection::Field(field) if HAPPENINGS.contains(&field.node.name.node.as_str()) => Some(Pace::All),
            Selection::Field(_) => Some(Pace::Newest),
            Selection::FragmentSpread(_) | Selection::InlineFragment(_) => None,
        },
        _ => None,
    }
}

/// `own`: an answer of one's own that comes first.
fn follow_newest(
    running: Arc<Running>,
    newest: watch::Receiver<Newest>,
    wanted: Arc<Notify>,
    own: Option<Answers>,
) -> Answers {
    let seen = if own.is_some() { newest.borrow().number } else { 0 };
    let followed = (running, newest, wanted, own, seen);
    stream::unfold(followed, async |(running, mut newest, wanted, own, mut seen)| {
        if let Some(mut own) = own
            && let Some(answer) = own.next().await
        {
            let current = newest.borrow().clone();
            // Something newer came meanwhile: that is what is owed.
            return match current.answer.filter(|_| current.number > seen) {
                Some((answer, _)) => Some((answer, (running, newest, wanted, None, current.number))),
                None => Some((answer, (running, newest, wanted, None, seen))),
            };
        }
        loop {
            let current = newest.borrow_and_update().clone();
            if let Some((answer, _)) = current.answer.filter(|_| current.number > seen) {
                seen = current.number;
                return Some((answer, (running, newest, wanted, None, seen)));
            }
            wanted.notify_one();
            newest.changed().await.ok()?;
        }
    })
    .boxed()
}

fn follow_all(row: broadcast::Receiver<Option<Arc<Answer>>>, running: Arc<Running>) -> Answers {
    stream::unfold(Some((row, running)), async |open| {
        let (mut row, running) = open?;
        match row.recv().await {
            Ok(Some(answer)) => Some((answer, Some((row, running)))),
            Err(broadcast::error::RecvError::Lagged(count)) => Some((Answer::missed(count), None)),
            Ok(None) | Err(broadcast::error::RecvError::Closed) => None,
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_falls_behind_happenings_is_told_how_far() {
        let key =
            Key { document: String::new(), operation: None, variables: String::new(), rights: String::new() };
        let (row, heard) = broadcast::channel(2);
        let feed = Feed::All { row: row.clone(), first: Mutex::default(), ended: Arc::default() };
        let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
        let running = Running { key, feed, task, all: Arc::default() };
        for n in 0..5 {
            let text = n.to_string();
            let sent = row.send(Some(Arc::new(Answer { text, executed: true })));
            assert!(sent.is_ok());
        }
        let texts: Vec<String> = follow_all(heard, Arc::new(running)).map(|a| a.text.clone()).collect().await;
        assert_eq!(texts.len(), 1, "that is the end: {texts:?}");
        assert!(texts.iter().all(|text| text.contains("3 events were missed")), "{texts:?}");
    }
}
