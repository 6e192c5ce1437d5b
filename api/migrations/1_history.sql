-- Pose frames, many to a row: see store/block.rs. Times do not fall within a row, and span at most a minute.
CREATE TABLE pose_block (
    site TEXT NOT NULL,
    first_id BIGINT NOT NULL,
    last_id BIGINT NOT NULL,
    first_ns BIGINT NOT NULL,
    last_ns BIGINT NOT NULL,
    frames BIGINT NOT NULL,
    thinned BIGINT NOT NULL,
    stored_ns BIGINT NOT NULL,
    body {BLOB} NOT NULL,
    PRIMARY KEY (site, first_id)
);
CREATE INDEX pose_block_time ON pose_block (site, first_ns, last_ns, first_id, last_id, frames);
CREATE INDEX pose_block_age ON pose_block (thinned, stored_ns);

-- What was seen in a minute, an hour and a day (span_ns), of the whole site (zone '') and of its zones.
CREATE TABLE bucket (
    site TEXT NOT NULL,
    span_ns BIGINT NOT NULL,
    start_ns BIGINT NOT NULL,
    zone TEXT NOT NULL,
    source TEXT NOT NULL,
    frames BIGINT NOT NULL,
    known BIGINT NOT NULL,
    present BIGINT NOT NULL,
    occupied BIGINT NOT NULL,
    persons BIGINT NOT NULL,
    most BIGINT NOT NULL,
    motion DOUBLE PRECISION NOT NULL,
    standing BIGINT NOT NULL,
    walking BIGINT NOT NULL,
    sitting BIGINT NOT NULL,
    lying BIGINT NOT NULL,
    waving BIGINT NOT NULL,
    falling BIGINT NOT NULL,
    stored_ns BIGINT NOT NULL,
    PRIMARY KEY (site, span_ns, start_ns, zone, source)
);
CREATE INDEX bucket_age ON bucket (span_ns, stored_ns);

-- Where on the floor people were: cells of a quarter of a metre and how many frames showed somebody there.
CREATE TABLE heat (
    site TEXT NOT NULL,
    span_ns BIGINT NOT NULL,
    start_ns BIGINT NOT NULL,
    source TEXT NOT NULL,
    cells {BLOB} NOT NULL,
    stored_ns BIGINT NOT NULL,
    PRIMARY KEY (site, span_ns, start_ns, source)
);
CREATE INDEX heat_age ON heat (span_ns, stored_ns);

CREATE TABLE person (
    site TEXT NOT NULL,
    id BIGINT NOT NULL,
    source TEXT NOT NULL,
    first_id BIGINT NOT NULL,
    last_id BIGINT NOT NULL,
    first_ns BIGINT NOT NULL,
    last_ns BIGINT NOT NULL,
    frames BIGINT NOT NULL,
    confidence DOUBLE PRECISION NOT NULL,
    zone TEXT NOT NULL,
    standing BIGINT NOT NULL,
    walking BIGINT NOT NULL,
    sitting BIGINT NOT NULL,
    lying BIGINT NOT NULL,
    waving BIGINT NOT NULL,
    falling BIGINT NOT NULL,
    stored_ns BIGINT NOT NULL,
    PRIMARY KEY (site, id)
);
CREATE INDEX person_time ON person (site, last_ns, id);
CREATE INDEX person_age ON person (stored_ns);

-- The event itself is JSON; the columns are what is searched by. Ids sort by time of publication.
CREATE TABLE event (
    id TEXT NOT NULL PRIMARY KEY,
    site TEXT NOT NULL,
    time_ns BIGINT NOT NULL,
    kind TEXT NOT NULL,
    severity BIGINT NOT NULL,
    zone TEXT NOT NULL,
    person BIGINT,
    body TEXT NOT NULL,
    stored_ns BIGINT NOT NULL
);
CREATE INDEX event_time ON event (site, time_ns, id);
CREATE INDEX event_age ON event (stored_ns);

-- What operators set up: zones, routers, alert rules, templates; and reports. The body is JSON.
CREATE TABLE resource (
    kind TEXT NOT NULL,
    site TEXT NOT NULL,
    id TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_ns BIGINT NOT NULL,
    changed_ns BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, site, id)
);
