-- Reads a part of the stream.
--
-- ARGV  5 first offset, or the last one in reverse; empty for any  6 how many at most, empty: all  7 whether newest first
-- Returns offset, epoch, entries of the stream.
local epoch = begin()
keep()
if ARGV[6] == '0' or tonumber(place()) == 0 then
  return { place(), epoch, {} }
end
local command, from, to = 'XRANGE', '-', '+'
if ARGV[7] == '1' then
  command, from, to = 'XREVRANGE', '+', '-'
end
if ARGV[5] ~= '' then
  from = ARGV[5]
end
if ARGV[6] == '' then
  return { place(), epoch, redis.call(command, STREAM, from, to) }
end
return { place(), epoch, redis.call(command, STREAM, from, to, 'COUNT', ARGV[6]) }
