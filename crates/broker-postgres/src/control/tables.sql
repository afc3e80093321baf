-- The tables of messages between nodes. {stream} and {prefix} are filled in. All of it may be done again.

-- Messages, in the order of commits within a shard.
CREATE TABLE IF NOT EXISTS {stream} (
    id bigserial,
    shard_id smallint NOT NULL DEFAULT 0,
    node_id text NOT NULL DEFAULT '', -- whom it is for; empty: for all
    data bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
ALTER TABLE {stream} ADD COLUMN IF NOT EXISTS sender text NOT NULL DEFAULT '';
CREATE INDEX IF NOT EXISTS {stream}_shard_id_idx ON {stream} (shard_id, id);

-- One row a shard: whoever sends into it has the row's lock until the commit.
CREATE TABLE IF NOT EXISTS {prefix}shard_lock (shard_id smallint PRIMARY KEY);

-- 1: which tables these are. 2: which functions of ours.
CREATE TABLE IF NOT EXISTS {prefix}schema_version (id integer PRIMARY KEY, schema_version integer NOT NULL);
