-- What all tables that grow have in common. {stream} and {prefix} are filled in.

-- Makes the partitions of the days to come and drops those of days that are over, but none if p_keep is 0. Returns how many
-- there are then.
CREATE OR REPLACE FUNCTION {prefix}keep_partitions(p_ahead integer, p_keep integer)
RETURNS bigint LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    v_today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    v_day date;
    v_name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('{prefix}keep_partitions'));
    FOR n IN 0..p_ahead LOOP
        v_day := v_today + n;
        v_name := '{stream}_' || to_char(v_day, 'YYYY_MM_DD');
        CONTINUE WHEN to_regclass(v_name) IS NOT NULL;
        -- Attached afterwards, it waits for nobody who publishes.
        EXECUTE format('CREATE TABLE %I (LIKE {stream} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', v_name);
        EXECUTE format('ALTER TABLE {stream} ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            v_name, to_char(v_day, 'YYYY-MM-DD') || ' 00:00:00+00', to_char(v_day + 1, 'YYYY-MM-DD') || ' 00:00:00+00');
    END LOOP;
    IF p_keep > 0 THEN
        FOR v_name IN
            SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = '{stream}'::regclass AND c.relname ~ '_\d{4}_\d{2}_\d{2}$'
            AND to_date(right(c.relname, 10), 'YYYY_MM_DD') < v_today - p_keep
        LOOP
            EXECUTE format('DROP TABLE %I', v_name);
        END LOOP;
    END IF;
    RETURN (SELECT count(*) FROM pg_inherits WHERE inhparent = '{stream}'::regclass);
END $$;
