//! Frames into the tables: all of them or none.

use invispose_pipeline::PoseFrame;
use sqlx::{Any, Row, Transaction};

use super::aggregate::{Cells, Counts, Key, MINUTE, Seen, Sums, pack, unpack};
use super::{Store, StoreError, block, now_ns};
use crate::Site;

const POSITION: &str = "SELECT COALESCE(MAX(last_id), 0) FROM pose_block WHERE site = $1";

const BLOCK: &str = "INSERT INTO pose_block
    (site, first_id, last_id, first_ns, last_ns, frames, thinned, stored_ns, body)
    VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8)";

const BUCKET: &str = "INSERT INTO bucket
    (site, span_ns, start_ns, zone, source, frames, known, present, occupied, persons, most, motion,
     standing, walking, sitting, lying, waving, falling, stored_ns)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
    ON CONFLICT (site, span_ns, start_ns, zone, source) DO UPDATE SET
    frames = bucket.frames + excluded.frames,
    known = bucket.known + excluded.known,
    present = bucket.present + excluded.present,
    occupied = bucket.occupied + excluded.occupied,
    persons = bucket.persons + excluded.persons,
    most = CASE WHEN excluded.most > bucket.most THEN excluded.most ELSE bucket.most END,
    motion = bucket.motion + excluded.motion,
    standing = bucket.standing + excluded.standing,
    walking = bucket.walking + excluded.walking,
    sitting = bucket.sitting + excluded.sitting,
    lying = bucket.lying + excluded.lying,
    waving = bucket.waving + excluded.waving,
    falling = bucket.falling + excluded.falling,
    stored_ns = excluded.stored_ns";

const HEAT: &str = "INSERT INTO heat (site, span_ns, start_ns, source, cells, stored_ns) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (site, span_ns, start_ns, source) DO UPDATE SET cells = excluded.cells, stored_ns = excluded.stored_ns";

const PERSON: &str = "INSERT INTO person
    (site, id, source, first_id, last_id, first_ns, last_ns, frames, confidence, zone,
     standing, walking, sitting, lying, waving, falling, stored_ns)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
    ON CONFLICT (site, id) DO UPDATE SET
    last_id = excluded.last_id,
    last_ns = excluded.last_ns,
    frames = person.frames + excluded.frames,
    confidence = person.confidence + excluded.confidence,
    zone = excluded.zone,
    standing = person.standing + excluded.standing,
    walking = person.walking + excluded.walking,
    sitting = person.sitting + excluded.sitting,
    lying = person.lying + excluded.lying,
    waving = person.waving + excluded.waving,
    falling = person.falling + excluded.falling,
    stored_ns = excluded.stored_ns";

impl Store {
    /// The newest frame of the site in the database; 0 where there is none.
    ///
    /// # Errors
    /// The database has no answer.
    pub async fn position(&self, site: &str) -> Result<u64, StoreError> {
        let row = sqlx::query(POSITION).bind(site).fetch_one(self.pool()?).await?;
        Ok(row.try_get::<i64, _>(0)? as u64)
    }

    /// Adds frames, in the order of their ids. Those up to [`Store::position`] are there already and left out.
    pub(super) async fn insert_frames(&self, site: &Site, frames: &[PoseFrame]) -> Result<(), StoreError> {
        let id = site.config().id.as_str();
        let mut transaction = self.write().await?;
        let row = sqlx::query(POSITION).bind(id).fetch_one(&mut *transaction).await?;
        let position = row.try_get::<i64, _>(0)? as u64;
        let new = frames.partition_point(|f| f.frame_id <= position);
        let frames = frames.get(new..).unwrap_or_default();
        if frames.is_empty() {
            return Ok(());
        }
        let floor = site.floor();
        let zone = |number| floor.id(number).map(|id| &**id);
        let now = now_ns();
        for part in steady(frames) {
            insert_block(&mut transaction, id, part, &block::encode(part, zone)?, now).await?;
        }
        let sums = Sums::of(frames, zone);
        for (key, counts) in &sums.buckets {
            insert_bucket(&mut transaction, id, key, counts, now).await?;
        }
        for ((span_ns, start_ns, source), cells) in sums.heat {
            insert_heat(&mut transaction, (id, span_ns, start_ns, source), cells, now).await?;
        }
        for (person, seen) in &sums.persons {
            insert_person(&mut transaction, id, *person, seen, now).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// Parts in which time does not fall and that span at most a minute.
fn steady(frames: &[PoseFrame]) -> Vec<&[PoseFrame]> {
    let mut parts = Vec::new();
    let (mut start, mut end) = (0, 0);
    for pair in frames.windows(2) {
        let ([before, after], Some(first)) = (pair, frames.get(start)) else { continue };
        end += 1;
        let spans = after.time_ns.saturating_sub(first.time_ns) > MINUTE;
        if after.time_ns < before.time_ns || spans || end - start == block::MAX_FRAMES {
            parts.extend(frames.get(start..end));
            start = end;
        }
    }
    parts.extend(frames.get(start..).filter(|rest| !rest.is_empty()));
    parts
}

async fn insert_block(
    transaction: &mut Transaction<'static, Any>,
    site: &str,
    part: &[PoseFrame],
    body: &[u8],
    now: i64,
) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (part.first(), part.last()) else { return Ok(()) };
    sqlx::query(BLOCK)
        .bind(site)
        .bind(first.frame_id as i64)
        .bind(last.frame_id as i64)
        .bind(first.time_ns)
        .bind(last.time_ns)
        .bind(part.len() as i64)
        .bind(now)
        .bind(body)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn insert_bucket(
    transaction: &mut Transaction<'static, Any>,
    site: &str,
    key: &Key,
    counts: &Counts,
    now: i64,
) -> Result<(), StoreError> {
    let mut query = sqlx::query(BUCKET)
        .bind(site)
        .bind(key.span_ns)
        .bind(key.start_ns)
        .bind(key.zone.as_str())
        .bind(key.source)
        .bind(counts.frames)
        .bind(counts.known)
        .bind(counts.present)
        .bind(counts.occupied)
        .bind(counts.persons)
        .bind(counts.most)
        .bind(counts.motion);
    for n in counts.activities {
        query = query.bind(n);
    }
    query.bind(now).execute(&mut **transaction).await?;
    Ok(())
}

async fn insert_heat(
    transaction: &mut Transaction<'static, Any>,
    (site, span_ns, start_ns, source): (&str, i64, i64, &str),
    mut cells: Cells,
    now: i64,
) -> Result<(), StoreError> {
    const OLD: &str =
        "SELECT cells FROM heat WHERE site = $1 AND span_ns = $2 AND start_ns = $3 AND source = $4";
    let old = sqlx::query(OLD).bind(site).bind(span_ns).bind(start_ns).bind(source);
    if let Some(row) = old.fetch_optional(&mut **transaction).await? {
        unpack(&row.try_get::<Vec<u8>, _>(0)?, &mut cells)?;
    }
    let new = sqlx::query(HEAT).bind(site).bind(span_ns).bind(start_ns).bind(source);
    new.bind(pack(&cells)).bind(now).execute(&mut **transaction).await?;
    Ok(())
}

async fn insert_person(
    transaction: &mut Transaction<'static, Any>,
    site: &str,
    person: u64,
    seen: &Seen,
    now: i64,
) -> Result<(), StoreError> {
    let mut query = sqlx::query(PERSON)
        .bind(site)
        .bind(person as i64)
        .bind(seen.source)
        .bind(seen.first.0 as i64)
        .bind(seen.last.0 as i64)
        .bind(seen.first.1)
        .bind(seen.last.1)
        .bind(seen.frames)
        .bind(seen.confidence)
        .bind(seen.zone.as_str());
    for n in seen.activities {
        query = query.bind(n);
    }
    query.bind(now).execute(&mut **transaction).await?;
    Ok(())
}
