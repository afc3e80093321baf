-- Notes that a connection is not in a channel any more.
--
-- KEYS  1 connections  2 when they end  3 connections of users  4 when users end
-- ARGV  1 connection  2 user  3 whether users are counted  4 whether fields of hashes have lifetimes of their own
local clients, expire, users, users_expire = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local fields = ARGV[4] == '1'

local left = redis.call('HDEL', clients, ARGV[1]) == 1
if not fields then
  redis.call('ZREM', expire, ARGV[1])
end
if ARGV[3] ~= '1' or not left then
  return
end
if redis.call('HINCRBY', users, ARGV[2], -1) <= 0 then
  redis.call('HDEL', users, ARGV[2])
  if not fields then
    redis.call('ZREM', users_expire, ARGV[2])
  end
end
