-- Which keys of a channel have ended.
--
-- ARGV  5 how many at most
-- Returns keys and their entries, in turn.
if redis.call('HGET', RULES, 'epoch') ~= redis.call('HGET', META, 'e') then
  redis.call('DEL', STATE, ENDS, RULES, NAMES)
end
local found = {}
for _, key in ipairs(redis.call('ZRANGEBYSCORE', ENDS, '-inf', now, 'LIMIT', 0, ARGV[5])) do
  local entry = redis.call('HGET', STATE, key)
  if entry then
    table.insert(found, key)
    table.insert(found, entry)
  else
    redis.call('ZREM', ENDS, key)
  end
end
if #found == 0 then
  register()
end
return found
