-- Appends a publication to a channel's stream and hands it to subscribers, as one step.
--
-- KEYS  1 stream  2 meta data  3 result of the idempotency key
-- ARGV  1 publication  2 size  3 lifetime of the stream  4 pub/sub channel  5 lifetime of the meta data, 0: for ever
--       6 epoch, if there is none yet  7 lifetime of the result, 0: there is no key  8 whether a delta may follow
--       9 version, 0: none  10 epoch of the version  11 command that hands it on
-- Lifetimes are in milliseconds. Returns offset, epoch, and why nothing was done: 0 it was, 1 key, 2 version.
local stream, meta, result = KEYS[1], KEYS[2], KEYS[3]

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

-- Whole numbers in decimal, however large: numbers of Lua are exact to 2^53 only.
local function is_newer(version, than)
  if #version ~= #than then
    return #version > #than
  end
  return version > than
end

if ARGV[9] ~= '0' then
  local latest = redis.call('HMGET', meta, 'v', 've', 's')
  local comparable = latest[1] and (ARGV[10] == '' or ARGV[10] == latest[2])
  if comparable and not is_newer(ARGV[9], latest[1]) then
    return { latest[3] or 0, epoch, 2 }
  end
  redis.call('HSET', meta, 'v', ARGV[9], 've', ARGV[10])
end

local offset = redis.call('HINCRBY', meta, 's', 1)
if ARGV[5] ~= '0' then
  redis.call('PEXPIRE', meta, ARGV[5])
end

local previous = ''
if offset == 1 then
  -- The meta data may have been evicted and the stream not: it would be of another epoch.
  redis.call('DEL', stream)
elseif ARGV[8] == '1' then
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  local fields = last and last[2] or {}
  for at = 1, #fields, 2 do
    if fields[at] == 'd' then
      previous = fields[at + 1]
    end
  end
end

local id = string.format('%.0f', offset)
redis.call('XADD', stream, 'MAXLEN', ARGV[2], id, 'd', ARGV[1])
redis.call('PEXPIRE', stream, ARGV[3])

if ARGV[8] == '1' then
  local message = { '__d1', id, epoch, #previous, previous, #ARGV[1], ARGV[1] }
  redis.call(ARGV[11], ARGV[4], table.concat(message, ':'))
else
  redis.call(ARGV[11], ARGV[4], '__p1:' .. id .. ':' .. epoch .. '__' .. ARGV[1])
end

if ARGV[7] ~= '0' then
  redis.call('HSET', result, 'e', epoch, 's', id)
  redis.call('PEXPIRE', result, ARGV[7])
end
return { id, epoch, 0 }
