-- When API keys were used last; the keys themselves are documents of `resource`.
CREATE TABLE api_key_use (
    id TEXT NOT NULL PRIMARY KEY,
    used_ns BIGINT NOT NULL
);

-- Refresh tokens, each used once; the grant is JSON. Those that descend from one another are a family.
CREATE TABLE refresh_token (
    id TEXT NOT NULL PRIMARY KEY,
    family TEXT NOT NULL,
    hash TEXT NOT NULL,
    body TEXT NOT NULL,
    expires_ns BIGINT NOT NULL,
    used BIGINT NOT NULL
);
CREATE INDEX refresh_token_age ON refresh_token (expires_ns);

-- Rights that were taken back, for as long as tokens may still claim them.
CREATE TABLE revocation (
    mark TEXT NOT NULL PRIMARY KEY,
    until_ns BIGINT NOT NULL
);

-- Who changed what, and who was refused. Rows are added and in time forgotten, and never changed. Ids sort by time.
CREATE TABLE audit (
    id TEXT NOT NULL PRIMARY KEY,
    time_ns BIGINT NOT NULL,
    who TEXT NOT NULL,
    kind TEXT NOT NULL,
    address TEXT NOT NULL,
    operation TEXT NOT NULL,
    object TEXT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    times BIGINT NOT NULL
);
CREATE INDEX audit_age ON audit (outcome, id);

-- Rates that several processes share: when each caller has everything again, nanoseconds since the Unix epoch.
CREATE TABLE rate (
    caller TEXT NOT NULL PRIMARY KEY,
    full_ns BIGINT NOT NULL
);
CREATE INDEX rate_age ON rate (full_ns);
