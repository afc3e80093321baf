-- Ends keys, if they still are what they were when they were found to have ended.
--
-- ARGV  from 5 on, in turn: key, entry, removal
local rules = redis.call('HMGET', RULES, 'epoch', 'size', 'ttl')
local epoch = redis.call('HGET', META, 'e')
if not epoch or rules[1] ~= epoch then
  return
end
for at = 5, #ARGV, 3 do
  local key = ARGV[at]
  if redis.call('HGET', STATE, key) == ARGV[at + 1] and is_due(key) then
    tell(epoch, ARGV[at + 2], nil, rules[2] or '100', rules[3] or '60000')
    drop(key)
  end
end
register()
