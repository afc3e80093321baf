-- Sets a key.
--
-- ARGV  5 key  6 publication  7 size of the stream, 0: none  8 its lifetime  9 lifetime of the result, 0: there is no key of
--       idempotency  10 whether a delta may follow  11 version, 0: none  12 its epoch  13 new, exists or empty
--       14 whether a key that is there lives on  15 lifetime of the key, 0: for ever  16 expected offset, empty: any
--       17 expected epoch
-- Returns offset, epoch, why nothing was done, and the entry that has ended, if that is why.
local key, size, ttl = ARGV[5], ARGV[7], ARGV[15]
local used = noted(ARGV[9])
if used then
  return used
end
local epoch = begin()
local entry = redis.call('HGET', STATE, key)
if entry and is_due(key) then
  return { place(), epoch, 'due', entry }
end

-- Whole numbers in decimal, however large.
local function is_newer(version, than)
  if #version ~= #than then
    return #version > #than
  end
  return version > than
end

local function refused()
  if ARGV[11] ~= '0' then
    local latest = redis.call('HMGET', RULES, 'v:' .. key, 've:' .. key)
    local comparable = latest[1] and (ARGV[12] == '' or ARGV[12] == latest[2])
    if comparable and not is_newer(ARGV[11], latest[1]) then
      return 'version'
    end
  end
  if ARGV[13] == 'new' and entry then
    if ARGV[14] == '1' and ttl ~= '0' then
      redis.call('ZADD', ENDS, now + ttl, key)
      register()
      if size ~= '0' then
        redis.call('PEXPIRE', STREAM, ARGV[8])
      end
    end
    return 'key_exists'
  end
  if ARGV[13] == 'exists' and not entry then
    return 'key_not_found'
  end
  if is_elsewhere(entry, ARGV[16], epoch, ARGV[17]) then
    return 'position_mismatch'
  end
end

local why = refused()
if why then
  keep()
  return { place(), epoch, why }
end

local previous = nil
if ARGV[10] == '1' then
  previous = entry or ''
end
local offset = tell(epoch, ARGV[6], previous, size, ARGV[8])
redis.call('HSET', STATE, key, offset .. ':' .. epoch .. ':' .. ARGV[6])
redis.call('ZADD', NAMES, 0, key)
if ttl ~= '0' then
  redis.call('ZADD', ENDS, now + ttl, key)
else
  redis.call('ZREM', ENDS, key)
end
register()
-- Whoever ends keys does not know what the channel keeps.
redis.call('HSET', RULES, 'epoch', epoch, 'size', size, 'ttl', ARGV[8])
if ARGV[11] ~= '0' then
  redis.call('HSET', RULES, 'v:' .. key, ARGV[11], 've:' .. key, ARGV[12])
end
note(ARGV[9], epoch, offset)
keep()
return { offset, epoch, '' }
