-- Removes a key.
--
-- ARGV  5 key  6 removal  7 size of the stream, 0: none  8 its lifetime  9 lifetime of the result, 0: there is no key of
--       idempotency  10 the entry that the removal was made for, `*` for any  11 expected offset, empty: any
--       12 expected epoch
-- Returns offset, epoch, why nothing was done, and the entry, if it has ended or is another.
local key = ARGV[5]
local used = noted(ARGV[9])
if used then
  return used
end
local epoch = begin()
local entry = redis.call('HGET', STATE, key)
if not entry then
  keep()
  return { place(), epoch, 'key_not_found' }
end
if is_due(key) then
  return { place(), epoch, 'due', entry }
end
if is_elsewhere(entry, ARGV[11], epoch, ARGV[12]) then
  keep()
  return { place(), epoch, 'position_mismatch' }
end
if ARGV[10] ~= '*' and ARGV[10] ~= entry then
  return { place(), epoch, 'changed', entry }
end
local offset = tell(epoch, ARGV[6], nil, ARGV[7], ARGV[8])
drop(key)
register()
note(ARGV[9], epoch, offset)
keep()
return { offset, epoch, '' }
