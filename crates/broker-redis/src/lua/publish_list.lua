-- Appends a publication to a channel's list and hands it to subscribers, as one step: no versions, and entries that say
-- where they stand themselves.
local offset, id = advance()

local previous = ''
if offset > 1 and ARGV[8] == '1' then
  -- What follows the place where it stands.
  local last = redis.call('LINDEX', ENTRIES, 0) or ''
  local _, head = string.find(last, '__', 3, true)
  previous = head and string.sub(last, head + 1) or ''
end

redis.call('LPUSH', ENTRIES, placed(id))
redis.call('LTRIM', ENTRIES, 0, ARGV[2] - 1)
redis.call('PEXPIRE', ENTRIES, ARGV[3])
return hand_on(id, previous)
