//! Frames as JSON, written once however many ask: of a frame everything but its age stays as it is.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::contract::PoseFrame;
use crate::view::FrameView;

/// Frames that are kept: some megabytes.
const KEPT: usize = 2048;
/// With this the age begins.
const AGE: &[u8] = b",\"stale\":";

/// What was asked for lately.
#[derive(Debug)]
pub(crate) struct Written {
    slots: Box<[Mutex<Option<Entry>>]>,
}

#[derive(Debug)]
struct Entry {
    of: FrameView,
    text: Bytes,
}

impl Default for Written {
    fn default() -> Self {
        Self { slots: (0..KEPT).map(|_| Mutex::default()).collect() }
    }
}

impl Written {
    /// The frame's JSON up to its age.
    fn without_age(&self, view: &FrameView, stale_after: Duration) -> serde_json::Result<Bytes> {
        let slot = self.slots.get(view.frame().frame_id as usize % self.slots.len());
        let mut slot = slot.map(|s| s.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(entry) = slot.as_ref().and_then(|s| s.as_ref())
            && entry.of.shows_the_same(view)
        {
            return Ok(entry.text.clone());
        }
        let mut text = serde_json::to_vec(&PoseFrame::new(view, stale_after))?;
        // The last one: strings before it cannot hold a bare quotation mark.
        let end = text.windows(AGE.len()).rposition(|w| w == AGE).unwrap_or(text.len());
        text.truncate(end);
        text.shrink_to_fit();
        let text = Bytes::from(text);
        if let Some(slot) = &mut slot {
            **slot = Some(Entry { of: view.clone(), text: text.clone() });
        }
        Ok(text)
    }

    /// The frame as the contract writes it.
    pub(crate) fn frame(&self, view: &FrameView, stale_after: Duration) -> serde_json::Result<Pieces> {
        let mut pieces = Pieces::default();
        self.push(&mut pieces, view, stale_after)?;
        Ok(pieces)
    }

    /// The frames as an array.
    pub(crate) fn frames(&self, views: &[FrameView], stale_after: Duration) -> serde_json::Result<Pieces> {
        let mut pieces = Pieces::default();
        pieces.own.push('[');
        for (i, view) in views.iter().enumerate() {
            if i > 0 {
                pieces.own.push(',');
            }
            self.push(&mut pieces, view, stale_after)?;
        }
        pieces.own.push(']');
        Ok(pieces)
    }

    fn push(&self, to: &mut Pieces, view: &FrameView, stale_after: Duration) -> serde_json::Result<()> {
        to.shared(self.without_age(view, stale_after)?);
        let number = |v: Option<f64>| v.map_or(serde_json::Value::Null, serde_json::Value::from);
        // Writing to memory does not fail.
        let _ = write!(
            to.own,
            ",\"stale\":{},\"age_ms\":{},\"latency_ms\":{}}}}}",
            view.is_stale(stale_after),
            number(view.age_ms()),
            number(view.latency_ms())
        );
        Ok(())
    }
}

/// Text in pieces, shared ones and those in between.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// In their order, each after so many bytes of `own`.
    shared: Vec<(usize, Bytes)>,
    own: String,
}

impl Pieces {
    fn shared(&mut self, text: Bytes) {
        self.shared.push((self.own.len(), text));
    }

    /// Sent without being put together first.
    pub(crate) fn into_body(self) -> Body {
        let own = Bytes::from(self.own);
        let mut pieces = VecDeque::with_capacity(2 * self.shared.len() + 1);
        let mut sent = 0;
        for (at, text) in self.shared {
            pieces.push_back(own.slice(sent..at));
            pieces.push_back(text);
            sent = at;
        }
        pieces.push_back(own.slice(sent..));
        pieces.retain(|p| !p.is_empty());
        let left = pieces.iter().map(|p| p.len() as u64).sum();
        Body::new(Sending { pieces, left })
    }
}

struct Sending {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl hyper::body::Body for Sending {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = self.pieces.pop_front();
        self.left -= next.as_ref().map_or(0, |p| p.len() as u64);
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
