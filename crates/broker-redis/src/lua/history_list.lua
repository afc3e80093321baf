-- Reads a channel's list, newest first, and where it stands; a channel without an epoch gets one.
--
-- KEYS  1 list  2 meta data
-- ARGV  1 whether entries are wanted  2 lifetime of the meta data in milliseconds, 0: for ever  3 epoch, if there is none yet
-- Returns offset, epoch, entries.
local list, meta = KEYS[1], KEYS[2]
local known = redis.call('HMGET', meta, 'e', 's')
local epoch, offset = known[1], known[2] or 0
if not epoch then
  epoch = ARGV[3]
  redis.call('HSET', meta, 'e', epoch)
end
if ARGV[2] ~= '0' then
  redis.call('PEXPIRE', meta, ARGV[2])
end
if ARGV[1] == '0' or not known[1] then
  return { offset, epoch, {} }
end
return { offset, epoch, redis.call('LRANGE', list, 0, -1) }
