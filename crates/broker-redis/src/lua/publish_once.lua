-- Hands a publication to subscribers unless its key was used, and keeps nothing but that.
--
-- KEYS  1 result of the idempotency key
-- ARGV  1 publication  2 pub/sub channel  3 lifetime of the result in milliseconds  4 command that hands it on
-- Returns offset, epoch, and why nothing was done: 0 it was, 1 key. A key that was used where there is a stream tells the
-- place.
local noted = redis.call('HMGET', KEYS[1], 'e', 's')
if noted[1] then
  return { noted[2] or 0, noted[1], 1 }
end
redis.call(ARGV[4], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[1], 'e', '')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { 0, '', 0 }
