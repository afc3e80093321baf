-- Reads a page of the state.
--
-- ARGV  5 after which key, empty: from the beginning  6 how many at most, empty: all  7 one key, empty: a page
-- Returns offset, epoch, keys and entries in turn, and the key to go on after.
local epoch = begin()
keep()
if ARGV[6] == '0' then
  return { place(), epoch, {}, '' }
end
if redis.call('ZCARD', NAMES) ~= redis.call('HLEN', STATE) then
  -- Other nodes may not keep the names.
  redis.call('DEL', NAMES)
  for _, key in ipairs(redis.call('HKEYS', STATE)) do
    redis.call('ZADD', NAMES, 0, key)
  end
  keep()
end
local names, cursor = { ARGV[7] }, ''
if ARGV[7] == '' then
  local from = ARGV[5] == '' and '-' or '(' .. ARGV[5]
  if ARGV[6] == '' then
    names = redis.call('ZRANGEBYLEX', NAMES, from, '+')
  else
    names = redis.call('ZRANGEBYLEX', NAMES, from, '+', 'LIMIT', 0, ARGV[6] + 1)
    if #names > tonumber(ARGV[6]) then
      table.remove(names)
      cursor = names[#names]
    end
  end
end
local entries = {}
for _, key in ipairs(names) do
  local entry = redis.call('HGET', STATE, key)
  if entry and not is_due(key) then
    table.insert(entries, key)
    table.insert(entries, entry)
  end
end
return { place(), epoch, entries, cursor }
