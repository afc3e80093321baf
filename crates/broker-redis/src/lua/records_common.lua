-- What the scripts of records have in common.
--
-- KEYS  1 names by the second at which each ends (+inf: never)  2 names by their number, where that is not zero
--       3 hash: life (`e`, made anew where Redis has forgotten everything) and version (`v`)
local ENDS, NUMBERS, ABOUT = KEYS[1], KEYS[2], KEYS[3]

-- What was changed has another version.
local function changed(life)
  redis.call('HSETNX', ABOUT, 'e', life)
  redis.call('HINCRBY', ABOUT, 'v', 1)
end

local function drop(name)
  redis.call('ZREM', NUMBERS, name)
  return redis.call('ZREM', ENDS, name)
end

