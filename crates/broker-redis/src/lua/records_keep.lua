-- Keeps a record. Of one that is there already, the later end and the larger number count.
--
-- ARGV  1 name  2 end, in seconds since 1970, or +inf  3 number  4 the present second  5 the most records
--       6 life, if there is none yet
-- Returns whether there was room.
for _, name in ipairs(redis.call('ZRANGEBYSCORE', ENDS, '-inf', ARGV[4], 'LIMIT', 0, 100)) do
  drop(name)
end
local ends = redis.call('ZSCORE', ENDS, ARGV[1])
if ends and tonumber(ends) <= tonumber(ARGV[4]) then
  drop(ARGV[1])
  ends = false
end
if not ends and redis.call('ZCARD', ENDS) >= tonumber(ARGV[5]) then
  return 0
end
redis.call('ZADD', ENDS, 'GT', ARGV[2], ARGV[1])
if ARGV[3] ~= '0' then
  redis.call('ZADD', NUMBERS, 'GT', ARGV[3], ARGV[1])
end
changed(ARGV[6])
return 1
