-- What nodes call to send messages. {stream} and {prefix} are filled in. All of it may be done again.

-- Another function of this name would make calls ambiguous.
DROP FUNCTION IF EXISTS {prefix}publish(bytea, text, integer);

-- Sends a message to a node, or to all where it is empty. Those of one sender to all are in one shard, and so are those to one
-- node.
CREATE OR REPLACE FUNCTION {prefix}publish(
    p_data bytea, p_node_id text DEFAULT '', p_num_shards integer DEFAULT NULL, p_sender text DEFAULT ''
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_shards integer := p_num_shards;
    v_shard integer;
    v_id bigint;
BEGIN
    IF v_shards IS NULL THEN
        SELECT count(*) INTO v_shards FROM {prefix}shard_lock;
    END IF;
    IF v_shards > 0 THEN
        v_shard := abs(hashtext(CASE WHEN p_node_id = '' THEN p_sender ELSE p_node_id END)::bigint) % v_shards;
        PERFORM 1 FROM {prefix}shard_lock WHERE shard_id = v_shard FOR UPDATE;
    END IF;
    IF v_shard IS NULL OR NOT FOUND THEN
        RAISE EXCEPTION '{prefix}shard_lock has no row for a message';
    END IF;
    INSERT INTO {stream} (shard_id, node_id, data, sender, created_at)
    VALUES (v_shard, p_node_id, p_data, p_sender, clock_timestamp()) RETURNING id INTO v_id;
    PERFORM pg_notify('{prefix}notify', '');
    RETURN v_id;
END $$;
