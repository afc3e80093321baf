-- How many are in a channel whose users are counted. Those whose time is over go.
--
-- KEYS  1 connections  2 when they end  3 connections of users  4 when users end
-- ARGV  1 whether fields of hashes have lifetimes of their own
-- Returns the number of connections and of users.
if ARGV[1] ~= '1' then
  local now = redis.call('TIME')[1]
  for at = 1, 3, 2 do
    local over = redis.call('ZRANGEBYSCORE', KEYS[at + 1], '-inf', now)
    for _, name in ipairs(over) do
      redis.call('HDEL', KEYS[at], name)
    end
    if #over > 0 then
      redis.call('ZREMRANGEBYSCORE', KEYS[at + 1], '-inf', now)
    end
  end
end
return { redis.call('HLEN', KEYS[1]), redis.call('HLEN', KEYS[3]) }
