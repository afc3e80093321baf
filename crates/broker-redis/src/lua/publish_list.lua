-- As publish_stream.lua, with a list for the stream: no versions, and entries that say where they stand themselves.
--
-- KEYS  1 list  2 meta data  3 result of the idempotency key
-- ARGV  as there
local list, meta, result = KEYS[1], KEYS[2], KEYS[3]

if ARGV[7] ~= '0' then
  local noted = redis.call('HMGET', result, 'e', 's')
  if noted[1] then
    return { noted[2] or 0, noted[1], 1 }
  end
end

local epoch = redis.call('HGET', meta, 'e')
if not epoch then
  epoch = ARGV[6]
  redis.call('HSET', meta, 'e', epoch)
end

local offset = redis.call('HINCRBY', meta, 's', 1)
if ARGV[5] ~= '0' then
  redis.call('PEXPIRE', meta, ARGV[5])
end

local previous = ''
if offset == 1 then
  redis.call('DEL', list)
elseif ARGV[8] == '1' then
  -- What follows the place where it stands.
  local last = redis.call('LINDEX', list, 0) or ''
  local _, head = string.find(last, '__', 3, true)
  previous = head and string.sub(last, head + 1) or ''
end

local id = string.format('%.0f', offset)
local entry = '__p1:' .. id .. ':' .. epoch .. '__' .. ARGV[1]
redis.call('LPUSH', list, entry)
redis.call('LTRIM', list, 0, ARGV[2] - 1)
redis.call('PEXPIRE', list, ARGV[3])

if ARGV[8] == '1' then
  local message = { '__d1', id, epoch, #previous, previous, #ARGV[1], ARGV[1] }
  redis.call(ARGV[11], ARGV[4], table.concat(message, ':'))
else
  redis.call(ARGV[11], ARGV[4], entry)
end

if ARGV[7] ~= '0' then
  redis.call('HSET', result, 'e', epoch, 's', id)
  redis.call('PEXPIRE', result, ARGV[7])
end
return { id, epoch, 0 }
