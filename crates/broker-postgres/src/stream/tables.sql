-- The tables of one kind of streams. {stream}, {prefix} and {data} are filled in. All of it may be done again.

-- What was published, in the order of commits within a shard.
CREATE TABLE IF NOT EXISTS {stream} (
    id bigserial,
    channel text NOT NULL,
    channel_offset bigint NOT NULL, -- 0: it has no place in the stream
    epoch text NOT NULL DEFAULT '',
    kind smallint NOT NULL DEFAULT 0, -- 0 publication, 1 join, 2 leave, 3 publication that is removed from the history
    data {data},
    tags jsonb,
    client_id text,
    user_id text,
    conn_info {data},
    chan_info {data},
    prev_data {data},
    created_at timestamptz NOT NULL DEFAULT now(),
    shard_id smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
ALTER TABLE {stream} ADD COLUMN IF NOT EXISTS use_delta boolean NOT NULL DEFAULT false;
CREATE INDEX IF NOT EXISTS {stream}_channel_epoch_offset_idx ON {stream} (channel, epoch, channel_offset) WHERE kind = 0;
CREATE INDEX IF NOT EXISTS {stream}_shard_id_idx ON {stream} (shard_id, id);
CREATE INDEX IF NOT EXISTS {stream}_removed_idx ON {stream} (created_at) WHERE kind = 3;

-- Where the streams of channels stand, and what they keep.
CREATE TABLE IF NOT EXISTS {prefix}meta (
    channel text PRIMARY KEY,
    top_offset bigint NOT NULL DEFAULT 0,
    epoch text NOT NULL DEFAULT '',
    history_ttl interval NOT NULL DEFAULT interval '1 minute',
    history_size integer NOT NULL DEFAULT 100,
    top_version bigint NOT NULL DEFAULT 0,
    top_version_epoch text NOT NULL DEFAULT '',
    expires_at timestamptz NOT NULL DEFAULT now() + interval '7 days',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now() -- of the latest publication
);
-- What was published up to here is not in the history any more.
ALTER TABLE {prefix}meta ADD COLUMN IF NOT EXISTS history_from bigint NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS {prefix}meta_expires_idx ON {prefix}meta (expires_at);

-- Which keys were used, and for what.
CREATE TABLE IF NOT EXISTS {prefix}idempotency (
    channel text NOT NULL,
    idempotency_key text NOT NULL,
    result_offset bigint NOT NULL,
    result_epoch text NOT NULL,
    result_id bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (channel, idempotency_key)
);
CREATE INDEX IF NOT EXISTS {prefix}idempotency_expires_idx ON {prefix}idempotency (expires_at);

-- One row a shard: whoever publishes into it has the row's lock until the commit.
CREATE TABLE IF NOT EXISTS {prefix}shard_lock (shard_id smallint PRIMARY KEY);

-- 1: which tables these are. 2: which functions of ours.
CREATE TABLE IF NOT EXISTS {prefix}schema_version (id integer PRIMARY KEY, schema_version integer NOT NULL);
