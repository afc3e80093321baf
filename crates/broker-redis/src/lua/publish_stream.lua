-- Appends a publication to a channel's stream and hands it to subscribers, as one step.

-- Whole numbers in decimal, however large: numbers of Lua are exact to 2^53 only.
local function is_newer(version, than)
  if #version ~= #than then
    return #version > #than
  end
  return version > than
end

if ARGV[9] ~= '0' then
  local latest = redis.call('HMGET', META, 'v', 've', 's')
  local comparable = latest[1] and (ARGV[10] == '' or ARGV[10] == latest[2])
  if comparable and not is_newer(ARGV[9], latest[1]) then
    return { latest[3] or 0, epoch, 2 }
  end
  redis.call('HSET', META, 'v', ARGV[9], 've', ARGV[10])
end

local offset, id = advance()

local previous = ''
if offset > 1 and ARGV[8] == '1' then
  local last = redis.call('XREVRANGE', ENTRIES, '+', '-', 'COUNT', 1)[1]
  local fields = last and last[2] or {}
  for at = 1, #fields, 2 do
    if fields[at] == 'd' then
      previous = fields[at + 1]
    end
  end
end

redis.call('XADD', ENTRIES, 'MAXLEN', ARGV[2], id, 'd', ARGV[1])
redis.call('PEXPIRE', ENTRIES, ARGV[3])
return hand_on(id, previous)
