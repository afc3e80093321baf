-- Who is in a channel. Those whose time is over go.
--
-- KEYS  1 connections  2 when they end
-- ARGV  1 whether fields of hashes have lifetimes of their own
-- Returns connections and what is told of them, in turn.
if ARGV[1] ~= '1' then
  local now = redis.call('TIME')[1]
  local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)
  for _, client in ipairs(over) do
    redis.call('HDEL', KEYS[1], client)
  end
  if #over > 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  end
end
return redis.call('HGETALL', KEYS[1])
