-- Reads some of the records, in the order of their ends: that stays the same for as long as the version does.
--
-- ARGV  1 the first, counted from zero  2 how many
-- Returns life, version, and name, end and number of each.
local about = redis.call('HMGET', ABOUT, 'e', 'v')
local found = {}
if ARGV[2] ~= '0' then
  found = redis.call('ZRANGE', ENDS, ARGV[1], ARGV[1] + ARGV[2] - 1, 'WITHSCORES')
end
local records = {}
for at = 1, #found, 2 do
  records[#records + 1] = found[at]
  records[#records + 1] = found[at + 1]
  records[#records + 1] = redis.call('ZSCORE', NUMBERS, found[at]) or '0'
end
return { about[1] or '', about[2] or '0', records }
