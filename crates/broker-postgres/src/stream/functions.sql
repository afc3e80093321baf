-- What applications and nodes call. {stream}, {prefix} and {data} are filled in. All of it may be done again.

-- Takes the channel's shard until the transaction ends, so that the order of ids is that of commits. Returns the shard.
CREATE OR REPLACE FUNCTION {prefix}lock(p_channel text, p_num_shards integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_shards integer := p_num_shards;
    v_shard integer;
BEGIN
    IF v_shards IS NULL THEN
        SELECT count(*) INTO v_shards FROM {prefix}shard_lock;
    END IF;
    IF v_shards > 0 THEN
        v_shard := abs(hashtext(p_channel)::bigint) % v_shards;
        PERFORM 1 FROM {prefix}shard_lock WHERE shard_id = v_shard FOR UPDATE;
    END IF;
    IF v_shard IS NULL OR NOT FOUND THEN
        RAISE EXCEPTION '{prefix}shard_lock has no row for channel %', quote_nullable(p_channel);
    END IF;
    RETURN v_shard;
END $$;

-- What the answer to a key was, if it was used.
CREATE OR REPLACE FUNCTION {prefix}noted(p_channel text, p_key text) RETURNS SETOF {prefix}idempotency LANGUAGE sql STABLE
AS $$
    SELECT * FROM {prefix}idempotency
    WHERE channel = p_channel AND idempotency_key = p_key AND expires_at > clock_timestamp()
$$;

-- Notes that a key was used. A note that is over is replaced.
CREATE OR REPLACE FUNCTION {prefix}note(
    p_channel text, p_key text, p_ttl interval, p_offset bigint, p_epoch text, p_id bigint
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO {prefix}idempotency (channel, idempotency_key, result_offset, result_epoch, result_id, expires_at) VALUES (
        p_channel, p_key, p_offset, p_epoch, p_id, clock_timestamp() + coalesce(p_ttl, interval '5 minutes')
    ) ON CONFLICT (channel, idempotency_key) DO UPDATE SET
        result_offset = EXCLUDED.result_offset, result_epoch = EXCLUDED.result_epoch,
        result_id = EXCLUDED.result_id, expires_at = EXCLUDED.expires_at
$$;

-- Refuses what nodes could not deliver.
CREATE OR REPLACE FUNCTION {prefix}check(p_data {data}, p_tags jsonb) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF p_data IS NULL THEN
        RAISE EXCEPTION 'p_data must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF p_tags IS NOT NULL AND (
        jsonb_typeof(p_tags) <> 'object' OR p_tags @? 'strict $.keyvalue() ? (@.value.type() <> "string")'
    ) THEN
        RAISE EXCEPTION 'p_tags must be an object of strings' USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;

-- Appends to the channel's stream and delivers when the transaction commits.
CREATE OR REPLACE FUNCTION {prefix}publish(
    p_channel text,
    p_data {data},
    p_tags jsonb DEFAULT NULL,
    p_history_ttl interval DEFAULT NULL,
    p_history_size integer DEFAULT NULL,
    p_meta_ttl interval DEFAULT NULL,
    p_version bigint DEFAULT NULL,
    p_version_epoch text DEFAULT NULL,
    p_idempotency_key text DEFAULT NULL,
    p_idempotency_ttl interval DEFAULT NULL,
    p_use_delta boolean DEFAULT false,
    p_client_id text DEFAULT NULL,
    p_user_id text DEFAULT NULL,
    p_conn_info {data} DEFAULT NULL,
    p_chan_info {data} DEFAULT NULL,
    p_num_shards integer DEFAULT NULL
) RETURNS TABLE (
    out_result_id bigint, out_channel_offset bigint, out_epoch text, out_suppressed boolean, out_suppress_reason text
) LANGUAGE plpgsql AS $$
DECLARE
    v_shard integer := {prefix}lock(p_channel, p_num_shards);
    v_now timestamptz := clock_timestamp();
    v_meta {prefix}meta;
    v_noted {prefix}idempotency;
    v_life interval;
    v_before {data};
    v_id bigint;
BEGIN
    PERFORM {prefix}check(p_data, p_tags);

    -- From here to the end of the transaction nobody cleans it up. What is over begins anew.
    INSERT INTO {prefix}meta AS m (channel, epoch) VALUES (p_channel, left(gen_random_uuid()::text, 8))
    ON CONFLICT (channel) DO UPDATE SET
        top_offset = EXCLUDED.top_offset, epoch = EXCLUDED.epoch,
        history_ttl = EXCLUDED.history_ttl, history_size = EXCLUDED.history_size,
        top_version = EXCLUDED.top_version, top_version_epoch = EXCLUDED.top_version_epoch,
        expires_at = EXCLUDED.expires_at, created_at = EXCLUDED.created_at, history_from = EXCLUDED.history_from
    WHERE m.expires_at <= v_now;
    SELECT * INTO v_meta FROM {prefix}meta WHERE channel = p_channel;

    IF p_idempotency_key IS NOT NULL THEN
        SELECT * INTO v_noted FROM {prefix}noted(p_channel, p_idempotency_key);
        IF FOUND THEN
            RETURN QUERY SELECT NULL::bigint, v_noted.result_offset, v_noted.result_epoch, true, 'idempotency';
            RETURN;
        END IF;
    END IF;

    IF p_version > 0 THEN
        IF v_meta.top_version >= p_version AND coalesce(p_version_epoch, '') IN ('', v_meta.top_version_epoch) THEN
            RETURN QUERY SELECT NULL::bigint, v_meta.top_offset, v_meta.epoch, true, 'version';
            RETURN;
        END IF;
        v_meta.top_version := p_version;
        v_meta.top_version_epoch := coalesce(p_version_epoch, v_meta.top_version_epoch);
    END IF;

    IF p_use_delta THEN
        SELECT data INTO v_before FROM {stream}
        WHERE channel = p_channel AND epoch = v_meta.epoch AND kind = 0 AND channel_offset = v_meta.top_offset;
    END IF;

    IF v_meta.updated_at + v_meta.history_ttl <= v_now THEN
        v_meta.history_from := v_meta.top_offset;
    END IF;
    v_meta.history_ttl := coalesce(p_history_ttl, v_meta.history_ttl);
    v_life := CASE
        WHEN p_meta_ttl IS NULL AND p_history_ttl IS NULL THEN greatest(interval '7 days', v_meta.history_ttl)
        WHEN p_meta_ttl < interval '0' THEN NULL
        ELSE greatest(p_meta_ttl, p_history_ttl)
    END;
    UPDATE {prefix}meta SET
        top_offset = v_meta.top_offset + 1,
        history_ttl = v_meta.history_ttl,
        history_size = coalesce(p_history_size, v_meta.history_size),
        top_version = v_meta.top_version,
        top_version_epoch = v_meta.top_version_epoch,
        expires_at = coalesce(v_now + v_life, 'infinity'),
        updated_at = v_now,
        history_from = v_meta.history_from
    WHERE channel = p_channel;
    INSERT INTO {stream} (
        channel, channel_offset, epoch, data, tags, client_id, user_id, conn_info, chan_info, prev_data, use_delta,
        created_at, shard_id
    ) VALUES (
        p_channel, v_meta.top_offset + 1, v_meta.epoch, p_data, p_tags, p_client_id, p_user_id, p_conn_info, p_chan_info,
        v_before, coalesce(p_use_delta, false), v_now, v_shard
    ) RETURNING id INTO v_id;
    IF p_idempotency_key IS NOT NULL THEN
        PERFORM {prefix}note(
            p_channel, p_idempotency_key, p_idempotency_ttl, v_meta.top_offset + 1, v_meta.epoch, v_id);
    END IF;
    PERFORM pg_notify('{prefix}notify', '');
    RETURN QUERY SELECT v_id, v_meta.top_offset + 1, v_meta.epoch, false, NULL::text;
END $$;

-- As above; what is superfluous is an error.
CREATE OR REPLACE FUNCTION {prefix}publish_strict(
    p_channel text,
    p_data {data},
    p_tags jsonb DEFAULT NULL,
    p_history_ttl interval DEFAULT NULL,
    p_history_size integer DEFAULT NULL,
    p_meta_ttl interval DEFAULT NULL,
    p_version bigint DEFAULT NULL,
    p_version_epoch text DEFAULT NULL,
    p_idempotency_key text DEFAULT NULL,
    p_idempotency_ttl interval DEFAULT NULL,
    p_use_delta boolean DEFAULT false,
    p_client_id text DEFAULT NULL,
    p_user_id text DEFAULT NULL,
    p_conn_info {data} DEFAULT NULL,
    p_chan_info {data} DEFAULT NULL,
    p_num_shards integer DEFAULT NULL
) RETURNS TABLE (out_result_id bigint, out_channel_offset bigint, out_epoch text) LANGUAGE plpgsql AS $$
DECLARE
    v_done record;
BEGIN
    SELECT * INTO v_done FROM {prefix}publish(
        p_channel, p_data, p_tags, p_history_ttl, p_history_size, p_meta_ttl, p_version, p_version_epoch,
        p_idempotency_key, p_idempotency_ttl, p_use_delta, p_client_id, p_user_id, p_conn_info, p_chan_info, p_num_shards);
    IF v_done.out_suppressed THEN
        RAISE EXCEPTION 'publish suppressed: %', v_done.out_suppress_reason;
    END IF;
    RETURN QUERY SELECT v_done.out_result_id, v_done.out_channel_offset, v_done.out_epoch;
END $$;

-- Delivers and gives no place in the stream: what nodes call where a channel has no history.
CREATE OR REPLACE FUNCTION {prefix}publish_past(
    p_channel text,
    p_data {data},
    p_tags jsonb DEFAULT NULL,
    p_idempotency_key text DEFAULT NULL,
    p_idempotency_ttl interval DEFAULT NULL,
    p_use_delta boolean DEFAULT false,
    p_client_id text DEFAULT NULL,
    p_user_id text DEFAULT NULL,
    p_conn_info {data} DEFAULT NULL,
    p_chan_info {data} DEFAULT NULL,
    p_num_shards integer DEFAULT NULL
) RETURNS TABLE (
    out_result_id bigint, out_channel_offset bigint, out_epoch text, out_suppressed boolean, out_suppress_reason text
) LANGUAGE plpgsql AS $$
DECLARE
    v_shard integer := {prefix}lock(p_channel, p_num_shards);
    v_noted {prefix}idempotency;
    v_id bigint;
BEGIN
    PERFORM {prefix}check(p_data, p_tags);
    IF p_idempotency_key IS NOT NULL THEN
        SELECT * INTO v_noted FROM {prefix}noted(p_channel, p_idempotency_key);
        IF FOUND THEN
            RETURN QUERY SELECT NULL::bigint, v_noted.result_offset, v_noted.result_epoch, true, 'idempotency';
            RETURN;
        END IF;
    END IF;
    INSERT INTO {stream} (
        channel, channel_offset, data, tags, client_id, user_id, conn_info, chan_info, use_delta, created_at, shard_id
    ) VALUES (
        p_channel, 0, p_data, p_tags, p_client_id, p_user_id, p_conn_info, p_chan_info, coalesce(p_use_delta, false),
        clock_timestamp(), v_shard
    ) RETURNING id INTO v_id;
    IF p_idempotency_key IS NOT NULL THEN
        PERFORM {prefix}note(p_channel, p_idempotency_key, p_idempotency_ttl, 0, '', v_id);
    END IF;
    PERFORM pg_notify('{prefix}notify', '');
    RETURN QUERY SELECT v_id, 0::bigint, '', false, NULL::text;
END $$;

-- Tells subscribers that somebody came (1) or left (2).
CREATE OR REPLACE FUNCTION {prefix}tell(
    p_kind smallint, p_channel text, p_client_id text, p_user_id text, p_conn_info {data}, p_chan_info {data},
    p_num_shards integer
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_shard integer := {prefix}lock(p_channel, p_num_shards);
    v_id bigint;
BEGIN
    INSERT INTO {stream} (
        channel, channel_offset, kind, client_id, user_id, conn_info, chan_info, created_at, shard_id
    ) VALUES (
        p_channel, 0, p_kind, coalesce(p_client_id, ''), p_user_id, p_conn_info, p_chan_info, clock_timestamp(), v_shard
    ) RETURNING id INTO v_id;
    PERFORM pg_notify('{prefix}notify', '');
    RETURN v_id;
END $$;

CREATE OR REPLACE FUNCTION {prefix}publish_join(
    p_channel text, p_client_id text, p_user_id text, p_conn_info {data} DEFAULT NULL, p_chan_info {data} DEFAULT NULL,
    p_num_shards integer DEFAULT NULL
) RETURNS bigint LANGUAGE sql AS $$
    SELECT {prefix}tell(1::smallint, p_channel, p_client_id, p_user_id, p_conn_info, p_chan_info, p_num_shards)
$$;

CREATE OR REPLACE FUNCTION {prefix}publish_leave(
    p_channel text, p_client_id text, p_user_id text, p_conn_info {data} DEFAULT NULL, p_chan_info {data} DEFAULT NULL,
    p_num_shards integer DEFAULT NULL
) RETURNS bigint LANGUAGE sql AS $$
    SELECT {prefix}tell(2::smallint, p_channel, p_client_id, p_user_id, p_conn_info, p_chan_info, p_num_shards)
$$;

-- Forgets the publications and keeps the position. They stay for a while outside of the history, for nodes that have not
-- delivered them yet.
CREATE OR REPLACE FUNCTION {prefix}remove_history(p_channel text, p_num_shards integer DEFAULT NULL)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {prefix}lock(p_channel, p_num_shards);
    -- What is older than the history is outside of it already, and may be most of the table.
    UPDATE {stream} s SET kind = 3 FROM {prefix}meta m
        WHERE m.channel = p_channel AND s.channel = p_channel AND s.kind = 0 AND s.epoch = m.epoch
        AND s.channel_offset > greatest(m.top_offset - m.history_size, m.history_from, 0);
    UPDATE {prefix}meta SET history_from = top_offset WHERE channel = p_channel;
END $$;

-- Where a stream stands: offset 0 and no epoch where there is none.
CREATE OR REPLACE FUNCTION {prefix}top_position(p_channel text)
RETURNS TABLE (out_top_offset bigint, out_epoch text) LANGUAGE sql STABLE AS $$
    SELECT coalesce(m.top_offset, 0::bigint), coalesce(m.epoch, '')
    FROM (SELECT 1) one LEFT JOIN {prefix}meta m ON m.channel = p_channel AND m.expires_at > clock_timestamp()
$$;
