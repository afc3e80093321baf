-- What the scripts of keyed channels have in common.
--
-- KEYS  1 meta data  2 state  3 when keys end  4 rules: epoch, versions, what the stream keeps  5 names of keys, in order
--       6 stream  7 channels with keys that end  8 result of the idempotency key
-- ARGV  1 channel  2 lifetime of the meta data, 0: for ever  3 epoch, if there is none yet  4 pub/sub channel
-- Lifetimes are in milliseconds. An entry of the state is `<offset>:<epoch>:<publication>`.
local META, STATE, ENDS, RULES, NAMES, STREAM = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local DUE, RESULT = KEYS[7], KEYS[8]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- What is of an epoch before this one goes.
local function begin()
  local epoch = redis.call('HGET', META, 'e')
  if not epoch then
    epoch = ARGV[3]
    redis.call('HSET', META, 'e', epoch)
  end
  if redis.call('HGET', RULES, 'epoch') ~= epoch then
    redis.call('DEL', STATE, ENDS, RULES, NAMES)
    redis.call('ZREM', DUE, ARGV[1])
  end
  return epoch
end

-- What is used lives on.
local function keep()
  for _, key in ipairs({ META, STATE, ENDS, RULES, NAMES }) do
    if ARGV[2] ~= '0' then
      redis.call('PEXPIRE', key, ARGV[2])
    else
      redis.call('PERSIST', key)
    end
  end
end

local function place()
  return redis.call('HGET', META, 's') or 0
end

-- Whether a key has ended and nobody has been told yet.
local function is_due(key)
  local ends = redis.call('ZSCORE', ENDS, key)
  return ends and tonumber(ends) <= now
end

-- Says when somebody has to look after the channel next.
local function register()
  local first = redis.call('ZRANGE', ENDS, 0, 0, 'WITHSCORES')
  if first[2] then
    redis.call('ZADD', DUE, first[2], ARGV[1])
  else
    redis.call('ZREM', DUE, ARGV[1])
  end
end

-- Puts a change into the stream, if it keeps any, and hands it on. Returns its offset.
local function tell(epoch, publication, previous, size, ttl)
  local offset = '0'
  if size ~= '0' then
    offset = string.format('%.0f', redis.call('HINCRBY', META, 's', 1))
    if offset == '1' then
      redis.call('DEL', STREAM)
    end
    redis.call('XADD', STREAM, 'MAXLEN', size, offset, 'e', epoch, 'd', publication)
    redis.call('PEXPIRE', STREAM, ttl)
  end
  local message = { offset, epoch, publication }
  if previous then
    message = { 'd', offset, epoch, #previous, previous, #publication, publication }
  end
  redis.call('PUBLISH', ARGV[4], table.concat(message, ':'))
  return offset
end

local function drop(key)
  redis.call('HDEL', STATE, key)
  redis.call('ZREM', ENDS, key)
  redis.call('ZREM', NAMES, key)
  redis.call('HDEL', RULES, 'v:' .. key, 've:' .. key)
end

-- What became of the idempotency key, if it was used.
local function noted(ttl)
  if ttl == '0' then
    return nil
  end
  local result = redis.call('HMGET', RESULT, 'e', 's')
  return result[1] and { result[2] or 0, result[1], 'idempotency' }
end

local function note(ttl, epoch, offset)
  if ttl ~= '0' then
    redis.call('HSET', RESULT, 'e', epoch, 's', offset)
    redis.call('PEXPIRE', RESULT, ttl)
  end
end

-- Whether an entry was set elsewhere than expected.
local function is_elsewhere(entry, offset, epoch, expected)
  if offset == '' then
    return false
  end
  return expected ~= epoch or not entry or string.match(entry, '^(%d+):') ~= offset
end

