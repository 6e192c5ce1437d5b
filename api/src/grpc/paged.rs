//! What is kept, read page by page as the client takes it.

use std::future::Future;

use futures_util::{Stream, TryStreamExt, stream};

use crate::query::DEFAULT_PAGE;

/// Up to `limit` of what `read` finds, 0 for all of it. `read` gets a cursor and how many are wanted at most, and gives them with the
/// cursor of the next page, where there may be one. The first error is the last.
pub(super) fn paged<C, T, E, R, F>(first: C, limit: u64, read: R) -> impl Stream<Item = Result<T, E>>
where
    R: Fn(C, usize) -> F,
    F: Future<Output = Result<(Vec<T>, Option<C>), E>>,
{
    let left = if limit == 0 { u64::MAX } else { limit };
    let pages = stream::try_unfold((Some(first), left, read), |(cursor, left, read)| async move {
        let Some(cursor) = cursor.filter(|_| left > 0) else { return Ok(None) };
        let count = usize::try_from(left).map_or(DEFAULT_PAGE, |left| left.min(DEFAULT_PAGE));
        let (items, next) = read(cursor, count).await?;
        let left = left.saturating_sub(items.len() as u64);
        Ok(Some((stream::iter(items.into_iter().map(Ok)), (next, left, read))))
    });
    pages.try_flatten()
}
