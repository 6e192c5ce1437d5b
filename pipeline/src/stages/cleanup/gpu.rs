//! Cleanup on a GPU: one upload of packed samples, one submission and one small way back for a batch of windows of all sites.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, after};
use invispose_kernels::Layout;
use invispose_kernels::cleanup::{CleanupSpec, Sanitise};
use invispose_kernels::gpu::{
    DeviceSamples, GpuBatch, GpuCleanup, GpuContext, GpuError, GpuOptions, Pool, Pooled, Readback,
    SampleFormat, Uploads,
};

use super::columns::column_index;
use super::pack::Packed;
use super::{CleanLink, CleanWindow, Cleanup, Key, Prepared, stays};
use crate::health::Health;
use crate::stages::assembly::CsiWindow;
use crate::stages::gather::{BatchConfig, gather};
use crate::stages::motion::gpu::{Measured, MotionProgram};
use crate::stages::segments::Segments;
use crate::trail::mark;

/// Links' windows in one batch; those beyond are cleaned on the CPU.
const ROWS: usize = 2048;
/// Rows of a plan's results begin at multiples of this, so that they begin at multiples of 256 bytes.
const ROW_STEP: usize = 256 / size_of::<Measured>();
/// Plans at once: links differ in layout and in the columns that carry signal.
const PLANS: usize = 64;
/// Bytes on the device that one plan's amplitudes may take.
const PLAN_BYTES: usize = 8 << 20;

/// Cleans batches on a GPU.
struct GpuCleaner {
    context: GpuContext,
    pool: Pool,
    uploads: Uploads,
    /// Motion of every row.
    results: Pooled,
    /// Two, so that one batch's results can come back while the next is made ready.
    lanes: [Readback; 2],
    packed: HashMap<Key, Packed>,
    plans: HashMap<PlanKey, Plan>,
    batches: u64,
}

/// What a plan is made for.
#[derive(Clone, PartialEq, Eq, Hash)]
struct PlanKey {
    layout: Layout,
    steps: usize,
    columns: Arc<[u16]>,
    index: Vec<i16>,
}

struct Plan {
    /// `None`: the GPU cannot do it.
    programs: Option<(GpuCleanup, MotionProgram)>,
    /// Rows of one run.
    rows: usize,
    last_batch: u64,
}

/// A batch on its way.
struct Flying {
    windows: Vec<(CsiWindow, Vec<Prepared>)>,
    /// When it was made ready.
    begun: Instant,
    /// Its lane and rows; `None` if it never got off.
    lane: Option<(usize, usize)>,
    /// Of each link of each window in their order: the row of its results and its samples; `None` where the CPU is to
    /// clean it.
    places: Vec<Option<(usize, DeviceSamples)>>,
}

/// Links' windows of a batch that one run of a plan cleans.
struct Part {
    key: PlanKey,
    format: SampleFormat,
    first_row: usize,
    /// Their numbers in the batch.
    links: Vec<usize>,
    bytes: Vec<u8>,
}

impl Cleanup {
    /// Cleans on a GPU until its input ends or nobody takes its output; windows of all sites are gathered as `batch` says, and
    /// while the GPU works on one batch the next is made ready. Once the GPU is lost all goes on on the CPU, beginning
    /// with the windows that were on their way, and a fault of `device` says so.
    ///
    /// A link whose packets do not fit the GPU (too large, not finite, one kind too many) is cleaned on the CPU.
    pub fn serve_on(
        mut self,
        context: &GpuContext,
        batch: BatchConfig,
        health: &Health,
        input: &Receiver<CsiWindow>,
        output: &Sender<CleanWindow>,
    ) {
        let lost = match GpuCleaner::new(context) {
            Ok(mut gpu) => match self.fly(&mut gpu, batch, health, input, output) {
                Some(error) => error,
                None => return,
            },
            Err(error) => error,
        };
        let told = format!("{lost}; cleanup goes on on the CPU");
        tracing::error!("{told}");
        health.set_fault("device", Some(told));
        self.serve(health, input, output);
    }

    /// Until the GPU is lost (its error), or there is nothing more to do (`None`).
    fn fly(
        &mut self,
        gpu: &mut GpuCleaner,
        batch: BatchConfig,
        health: &Health,
        input: &Receiver<CsiWindow>,
        output: &Sender<CleanWindow>,
    ) -> Option<GpuError> {
        let stats = health.stage("cleanup");
        let mut flying: Option<Flying> = None;
        let mut lost = None;
        loop {
            let windows: Vec<CsiWindow> = match &flying {
                // What has come meanwhile, without a wait.
                Some(_) if lost.is_none() => input.try_iter().take(batch.windows).collect(),
                Some(_) => Vec::new(),
                None if lost.is_some() => return lost,
                None => {
                    let first = input.recv().ok()?;
                    gather(first, input, batch.windows, &after(batch.wait), |_| true)
                }
            };
            let started = Instant::now();
            stats.taken.add(windows.len() as u64);
            stats.queued.set(input.len() as u64);
            let next = (!windows.is_empty()).then(|| {
                let windows = windows.into_iter().map(|window| self.prepare(window)).collect();
                gpu.launch(windows, &mut lost)
            });
            let landed = flying.take().map_or_else(Vec::new, |flight| self.land(gpu, flight, &mut lost));
            flying = next;
            stats.busy_ns.add(started.elapsed().as_nanos() as u64);
            for window in landed {
                output.send(window).ok()?;
                stats.given.add(1);
            }
        }
    }

    /// Waits for a batch. What the GPU did not do the CPU does.
    fn land(
        &mut self,
        gpu: &mut GpuCleaner,
        flight: Flying,
        lost: &mut Option<GpuError>,
    ) -> Vec<CleanWindow> {
        let results = gpu.fetch(&flight).unwrap_or_else(|error| {
            lost.get_or_insert(error);
            Vec::new()
        });
        let mut places = flight.places.into_iter();
        let windows = flight.windows.into_iter();
        windows
            .map(|(mut window, links)| {
                mark(&mut window.trail, "cleanup", flight.begun);
                let links = links.into_iter().map(|link| {
                    let place = places.next().flatten();
                    let done = place.and_then(|(row, samples)| Some((results.get(row)?, samples)));
                    // The GPU takes a packet without power for one that was not received.
                    match done.filter(|(result, _)| result.received() == link.packets()) {
                        Some((result, samples)) => CleanLink {
                            columns: link.columns,
                            amplitude: Vec::new(),
                            phase: Vec::new(),
                            ratio: Vec::new(),
                            doppler: Vec::new(),
                            delay: Vec::new(),
                            motion: result.motion(),
                            new_steps: link.new_steps,
                            samples: Some(samples),
                            raw: link.raw,
                        },
                        None => self.clean(&window, link),
                    }
                });
                CleanWindow { links: links.collect(), window }
            })
            .collect()
    }
}

impl GpuCleaner {
    fn new(context: &GpuContext) -> Result<Self, GpuError> {
        let pool = Pool::new(context);
        let bytes = (ROWS * size_of::<Measured>()) as u64;
        let lane = || Readback::new(context, bytes);
        Ok(Self {
            context: context.clone(),
            uploads: Uploads::new(2),
            results: pool.take(bytes)?,
            lanes: [lane()?, lane()?],
            pool,
            packed: HashMap::new(),
            plans: HashMap::new(),
            batches: 0,
        })
    }

    /// Sends a batch off; `lost` says why if that cannot be done.
    fn launch(&mut self, windows: Vec<(CsiWindow, Vec<Prepared>)>, lost: &mut Option<GpuError>) -> Flying {
        let mut flight = Flying { windows, begun: Instant::now(), lane: None, places: Vec::new() };
        if lost.is_none()
            && let Err(error) = self.submit(&mut flight)
        {
            *lost = Some(error);
        }
        flight
    }

    fn submit(&mut self, flight: &mut Flying) -> Result<(), GpuError> {
        self.batches += 1;
        let (parts, links) = self.parts(&flight.windows)?;
        flight.places = vec![None; links];
        let Some(rows) = parts.last().map(|part| part.first_row + part.links.len()) else { return Ok(()) };

        self.uploads.clear();
        for part in &parts {
            self.uploads.begin(part.format);
            self.uploads.push(&part.bytes, part.bytes.len() / part.format.value_bytes());
        }
        let mut batch = GpuBatch::new(&self.context)?;
        let samples = self.uploads.record(&mut batch, &self.pool)?;
        for (part, samples) in parts.iter().zip(samples) {
            let Some((cleanup, motion)) = self.plans.get_mut(&part.key).and_then(|p| p.programs.as_mut())
            else {
                continue;
            };
            cleanup.record(&mut batch, &samples).map_err(|e| GpuError::Refused(e.to_string()))?;
            motion.record(&mut batch, cleanup, &self.results, part.first_row, part.links.len())?;
            let window = part.key.steps * part.key.layout.values();
            for (i, &link) in part.links.iter().enumerate() {
                flight.places[link] = Some((part.first_row + i, samples.slice(i * window, window)));
            }
        }
        let lane = (self.batches % 2) as usize;
        let readback = &mut self.lanes[lane];
        readback.record(&mut batch, &[(self.results.buffer(), (rows * size_of::<Measured>()) as u64)])?;
        batch.submit(Some(&mut self.uploads), Some(readback))?;
        flight.lane = Some((lane, rows));
        Ok(())
    }

    fn fetch(&mut self, flight: &Flying) -> Result<Vec<Measured>, GpuError> {
        let Some((lane, rows)) = flight.lane else { return Ok(Vec::new()) };
        let mut results = vec![Measured::default(); rows];
        self.lanes[lane].fetch(bytemuck::cast_slice_mut(&mut results))?;
        Ok(results)
    }

    /// The batch's links by plan and format, and how many links there are.
    fn parts(&mut self, windows: &[(CsiWindow, Vec<Prepared>)]) -> Result<(Vec<Part>, usize), GpuError> {
        let mut parts: Vec<Part> = Vec::new();
        let mut number = 0;
        for (window, links) in windows {
            self.packed.retain(|(site, _, _), packed| stays(window, site, packed.end_step()));
            for link in links {
                let at = number;
                number += 1;
                // The motion of parts that are scaled apart is measured on the CPU.
                if !Segments::of(&link.raw, &link.columns).is_whole() {
                    continue;
                }
                let key = PlanKey::of(link);
                let Some(most) = self.plan(&key)? else { continue };
                let name = (window.site.clone(), link.raw.link.clone(), link.raw.layout);
                let packed = Packed::of(self.packed.remove(&name), window.end_step, &link.raw);
                let format = packed.format();
                let fits = |p: &&mut Part| p.key == key && p.format == format && p.links.len() < most;
                match parts.iter_mut().find(fits) {
                    Some(part) => {
                        part.links.push(at);
                        part.bytes.extend_from_slice(packed.bytes());
                    }
                    None => parts.push(Part {
                        key,
                        format,
                        first_row: 0,
                        links: vec![at],
                        bytes: packed.bytes().to_vec(),
                    }),
                }
                self.packed.insert(name, packed);
            }
        }
        let mut rows = 0;
        parts.retain_mut(|part| {
            part.first_row = rows;
            rows += part.links.len().next_multiple_of(ROW_STEP);
            rows <= ROWS
        });
        Ok((parts, number))
    }

    /// Rows that one run of the plan takes, made if it is not there; `None` if the GPU cannot do it.
    fn plan(&mut self, key: &PlanKey) -> Result<Option<usize>, GpuError> {
        if !self.plans.contains_key(key) {
            if self.plans.len() >= PLANS {
                let idle = self.plans.iter().filter(|(_, plan)| plan.last_batch < self.batches);
                let Some(oldest) = idle.min_by_key(|(_, plan)| plan.last_batch).map(|(key, _)| key.clone())
                else {
                    return Ok(None);
                };
                self.plans.remove(&oldest);
            }
            let plan = Plan::new(&self.context, key);
            self.context.check()?;
            self.plans.insert(key.clone(), plan);
        }
        Ok(self.plans.get_mut(key).and_then(|plan| {
            plan.last_batch = self.batches;
            plan.programs.is_some().then_some(plan.rows)
        }))
    }
}

impl PlanKey {
    fn of(link: &Prepared) -> Self {
        let raw = &link.raw;
        let index: Vec<i16> = (0..raw.layout.subcarriers).map(|c| column_index(raw, c)).collect();
        // The line under the phase needs them in order; without that it is drawn over the columns.
        let ascending = index.is_sorted_by(|a, b| a < b);
        Self {
            layout: raw.layout,
            steps: raw.received.len(),
            columns: link.columns.clone(),
            index: if ascending { index } else { (0..raw.layout.subcarriers as i16).collect() },
        }
    }
}

impl Plan {
    fn new(context: &GpuContext, key: &PlanKey) -> Self {
        let streams = key.layout.pairs() * key.columns.len();
        let row_bytes = (key.steps * streams * size_of::<f32>()).max(1);
        let rows = (PLAN_BYTES / row_bytes).clamp(1, ROWS);
        let spec = CleanupSpec {
            steps: key.steps,
            sanitise: Sanitise::Shared,
            ratio: None,
            ..CleanupSpec::packets(key.layout, key.index.clone(), key.columns.to_vec(), rows)
        };
        let options = GpuOptions { readback: false, slots: 0, ..GpuOptions::default() };
        let programs = GpuCleanup::new(context, spec, options)
            .map_err(|e| e.to_string())
            .and_then(|cleanup| {
                let motion = MotionProgram::new(context, key.steps, streams, rows);
                Ok((cleanup, motion.map_err(|e| e.to_string())?))
            })
            .inspect_err(|e| tracing::warn!(layout = %key.layout, "cleaned on the CPU: {e}"))
            .ok();
        Self { programs, rows, last_batch: 0 }
    }
}
