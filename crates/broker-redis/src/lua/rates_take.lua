-- Takes a token of each bucket of somebody, if each has one; otherwise of none. A bucket that is full is no state at all.
--
-- KEYS  1 hash of the buckets that are not full: when each will be, in microseconds since 1970
-- ARGV  for each bucket: its name, the microseconds that a token takes to come back, and those that all of them take
-- Returns whether they were taken. The clock is that of Redis, so that nodes need not agree on theirs.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local taken, latest = {}, now

for at = 1, #ARGV, 3 do
  local step, span = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local full = tonumber(redis.call('HGET', KEYS[1], ARGV[at]) or 0)
  -- The clock may have been set back, and numbers have no more than a quarter of a microsecond left.
  local after = math.min(math.max(full, now), now + span) + step
  if after - now > span + 1 then
    return 0
  end
  taken[#taken + 1] = ARGV[at]
  taken[#taken + 1] = string.format('%.2f', after)
  latest = math.max(latest, after)
end

if #taken > 0 then
  redis.call('HSET', KEYS[1], unpack(taken))
  local lives = math.ceil((latest - now) / 1000) + 1
  redis.call('PEXPIRE', KEYS[1], math.max(lives, redis.call('PTTL', KEYS[1])))
end
return 1
