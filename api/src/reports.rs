//! Reports: jobs that sum up a stretch of time, and their progress.

use std::sync::{Arc, OnceLock};

use invispose_pipeline::events::{Event, EventKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use crate::query::{Filter, QueryError, TimeRange};
use crate::store::{Kind, Resource, Store, StoreError};
use crate::{ApiState, Time};

/// Reports that are made at the same time.
const AT_ONCE: usize = 2;
/// Parts of a report, after each of which its progress is written.
const PARTS: i64 = 10;
/// Persons that a report lists.
const MOST_PERSONS: usize = 1000;

/// What a report is about.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    /// The site; the first one where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_id: Option<String>,
    /// First moment.
    pub start_time: Time,
    /// First moment that is too late.
    pub end_time: Time,
    /// Length of a stretch, such as `15m`, `1h` (the default) or `1d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^([1-9][0-9]{0,3}m|[1-9][0-9]{0,2}h|[1-9][0-9]?d)$")]
    pub interval: Option<String>,
}

/// How far a report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReportStatus {
    /// It waits for others.
    Queued,
    /// It is being made.
    Running,
    /// It is ready.
    Done,
    /// It will not be made.
    Failed,
}

/// A report and its progress.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// What it is about.
    pub request: ReportRequest,
    /// How far it is.
    pub status: ReportStatus,
    /// 0..1.
    pub progress: f64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it says, once it is done: `activity`, `heatmap` and `persons` as their own addresses give them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub result: Option<Value>,
    /// Of the process that makes it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(ignore)]
    run: String,
}

/// Of this process.
fn run_id() -> &'static str {
    static RUN: OnceLock<String> = OnceLock::new();
    RUN.get_or_init(|| uuid::Uuid::now_v7().to_string())
}

impl Report {
    /// As the document says; one that another process left unfinished has failed.
    pub(crate) fn of(resource: &Resource) -> Result<Self, StoreError> {
        let mut report: Self = serde_json::from_value(resource.body.clone())?;
        let unfinished = matches!(report.status, ReportStatus::Queued | ReportStatus::Running);
        if unfinished && report.run != run_id() {
            report.status = ReportStatus::Failed;
            report.error = Some("the server was stopped meanwhile".into());
        }
        report.run.clear();
        Ok(report)
    }
}

/// What turns sums into the JSON of their own addresses.
pub(crate) type Write = fn(&str, (Time, Time), i64, Vec<crate::analytics::Stretch>) -> Value;

/// Checks the request, adds the report and starts to make it.
pub(crate) async fn start(
    state: &ApiState,
    store: &Store,
    request: ReportRequest,
    width: i64,
    write: Write,
) -> Result<Resource, QueryError> {
    TimeRange::checked(Some(request.start_time), Some(request.end_time))?;
    let site = state.site(request.site_id.as_deref())?.config().id.clone();
    let report = Report {
        request: ReportRequest { site_id: Some(site.clone()), ..request },
        status: ReportStatus::Queued,
        progress: 0.0,
        error: None,
        result: None,
        run: run_id().to_owned(),
    };
    let id = uuid::Uuid::now_v7().to_string();
    let body = serde_json::to_value(&report).map_err(StoreError::from)?;
    let resource = store.create(Kind::Report, &site, &id, &body).await?;
    let job =
        Job { state: state.clone(), store: store.clone(), resource: resource.clone(), report, width, write };
    tokio::spawn(job.run());
    Ok(resource)
}

struct Job {
    state: ApiState,
    store: Store,
    resource: Resource,
    report: Report,
    width: i64,
    write: Write,
}

impl Job {
    async fn run(mut self) {
        static TURN: OnceLock<Arc<Semaphore>> = OnceLock::new();
        let turn = TURN.get_or_init(|| Arc::new(Semaphore::new(AT_ONCE))).clone();
        let Ok(_turn) = turn.acquire_owned().await else { return };
        let made = self.make().await;
        match made {
            Ok(result) => {
                self.report.status = ReportStatus::Done;
                self.report.progress = 1.0;
                self.report.result = Some(result);
            }
            Err(e) => {
                self.report.status = ReportStatus::Failed;
                self.report.error = Some(e.to_string());
            }
        }
        if self.tell().await.is_ok() && self.report.status == ReportStatus::Done {
            let site = self.resource.site.as_str().into();
            let event = Event::new(EventKind::ReportGenerated, Time::now().as_ns()).at(&site);
            self.state.events().publish(event.about(self.resource.id.as_str()));
        }
    }

    /// Writes how far it is. An error: somebody removed the report, or the database is away.
    async fn tell(&mut self) -> Result<(), QueryError> {
        let body = serde_json::to_value(&self.report).map_err(StoreError::from)?;
        self.resource = self.store.replace(Kind::Report, &self.resource, body).await?;
        Ok(())
    }

    async fn make(&mut self) -> Result<Value, QueryError> {
        let request = self.report.request.clone();
        let filter = Filter { site: request.site_id.clone(), ..Filter::default() };
        let selection = self.state.select(&filter)?;
        let (from, to) = (request.start_time, request.end_time);
        self.report.status = ReportStatus::Running;
        self.tell().await?;

        let mut stretches = Vec::new();
        // Parts of whole stretches, so that none is cut in two.
        let stretch = (to.as_ns().saturating_sub(from.as_ns()) / PARTS / self.width + 1) * self.width;
        let mut start = from.as_ns() - from.as_ns().rem_euclid(self.width);
        while start < to.as_ns() {
            let end = start.saturating_add(stretch).min(to.as_ns());
            let part = (Time::from_ns(start.max(from.as_ns())), Time::from_ns(end));
            stretches.extend(selection.stretches(part.0, part.1, self.width).await?);
            start = end;
            let done = (end - from.as_ns()) as f64 / (to.as_ns() - from.as_ns()).max(1) as f64;
            self.report.progress = (done * 90.0).floor() / 100.0;
            self.tell().await?;
        }
        let heat = selection.heat(from, to).await?;
        let range = TimeRange { from: Some(from), to: Some(to) };
        let persons = selection.known_persons(range, MOST_PERSONS, 0).await?;
        let site = &selection.site().config().id;
        Ok(json!({
            "activity": (self.write)(site, (from, to), self.width, stretches),
            "persons": persons.len(),
            "heatmap": {
                "cell_m": heat.cell_m,
                "cells": heat.cells.iter().map(|c| json!([c.corner_m[0], c.corner_m[1], c.count])).collect::<Vec<_>>(),
            },
        }))
    }
}
