-- Reads a part of a channel's stream, and where it stands; a channel without an epoch gets one.
--
-- KEYS  1 stream  2 meta data
-- ARGV  1 first offset, or the last one in reverse; empty for any  2 most entries, 0: none, empty: all  3 whether newest first
--       4 lifetime of the meta data in milliseconds, 0: for ever  5 epoch, if there is none yet
-- Returns offset, epoch, entries.
local stream, meta = KEYS[1], KEYS[2]
local known = redis.call('HMGET', meta, 'e', 's')
local epoch, offset = known[1], known[2] or 0
if not epoch then
  epoch = ARGV[5]
  redis.call('HSET', meta, 'e', epoch)
end
if ARGV[4] ~= '0' then
  redis.call('PEXPIRE', meta, ARGV[4])
end
if ARGV[2] == '0' or not known[1] then
  return { offset, epoch, {} }
end

local command, from, to = 'XRANGE', '-', '+'
if ARGV[3] == '1' then
  command, from, to = 'XREVRANGE', '+', '-'
end
if ARGV[1] ~= '' then
  from = ARGV[1]
end
if ARGV[2] == '' then
  return { offset, epoch, redis.call(command, stream, from, to) }
end
return { offset, epoch, redis.call(command, stream, from, to, 'COUNT', ARGV[2]) }
