-- What appending to a stream and to a list have in common.
--
-- KEYS  1 stream or list  2 meta data  3 result of the idempotency key
-- ARGV  1 publication  2 size  3 lifetime of the stream  4 pub/sub channel  5 lifetime of the meta data, 0: for ever
--       6 epoch, if there is none yet  7 lifetime of the result, 0: there is no key  8 whether a delta may follow
--       9 version, 0: none  10 epoch of the version  11 command that hands it on
-- Lifetimes are in milliseconds. Returns offset, epoch, and why nothing was done: 0 it was, 1 key, 2 version.
local ENTRIES, META, RESULT = KEYS[1], KEYS[2], KEYS[3]

if ARGV[7] ~= '0' then
  local noted = redis.call('HMGET', RESULT, 'e', 's')
  if noted[1] then
    return { noted[2] or 0, noted[1], 1 }
  end
end

local epoch = redis.call('HGET', META, 'e')
if not epoch then
  epoch = ARGV[6]
  redis.call('HSET', META, 'e', epoch)
end

-- The next offset, as a number and as text.
local function advance()
  local offset = redis.call('HINCRBY', META, 's', 1)
  if ARGV[5] ~= '0' then
    redis.call('PEXPIRE', META, ARGV[5])
  end
  if offset == 1 then
    -- The meta data may have been evicted and the entries not: they would be of another epoch.
    redis.call('DEL', ENTRIES)
  end
  return offset, string.format('%.0f', offset)
end

-- The publication with its place.
local function placed(id)
  return '__p1:' .. id .. ':' .. epoch .. '__' .. ARGV[1]
end

-- Hands the publication on, and notes what became of the idempotency key. Returns the answer.
local function hand_on(id, previous)
  local message = placed(id)
  if ARGV[8] == '1' then
    message = table.concat({ '__d1', id, epoch, #previous, previous, #ARGV[1], ARGV[1] }, ':')
  end
  redis.call(ARGV[11], ARGV[4], message)
  if ARGV[7] ~= '0' then
    redis.call('HSET', RESULT, 'e', epoch, 's', id)
    redis.call('PEXPIRE', RESULT, ARGV[7])
  end
  return { id, epoch, 0 }
end

