-- Alerts as they are since their last change; the body is JSON. Ids sort by the time of opening.
CREATE TABLE alert (
    id TEXT NOT NULL PRIMARY KEY,
    site TEXT NOT NULL,
    status TEXT NOT NULL,
    body TEXT NOT NULL,
    stored_ns BIGINT NOT NULL
);
CREATE INDEX alert_status ON alert (status, id);
CREATE INDEX alert_site ON alert (site, id);
CREATE INDEX alert_age ON alert (stored_ns);

-- One row: what counts towards alerts but is not enough for one yet, as JSON.
CREATE TABLE alert_counts (
    id BIGINT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
);
