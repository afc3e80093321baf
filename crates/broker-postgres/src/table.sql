CREATE TABLE IF NOT EXISTS tourbillon_revocations (
    kind text NOT NULL,
    id bytea GENERATED ALWAYS AS (sha256(name)) STORED,
    name bytea NOT NULL,
    until bigint,
    number bigint NOT NULL,
    life text,
    PRIMARY KEY (kind, id)
)
