-- Notes that a connection is in a channel, or still is.
--
-- KEYS  1 connections  2 when they end  3 connections of users  4 when users end
-- ARGV  1 connection  2 what is told of it  3 user  4 lifetime in seconds  5 whether users are counted
--       6 whether fields of hashes have lifetimes of their own
local clients, expire, users, users_expire = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local counted, fields = ARGV[5] == '1', ARGV[6] == '1'
local ends = redis.call('TIME')[1] + ARGV[4]

local came = redis.call('HSET', clients, ARGV[1], ARGV[2]) == 1
redis.call('EXPIRE', clients, ARGV[4])
if fields then
  redis.call('HEXPIRE', clients, ARGV[4], 'FIELDS', 1, ARGV[1])
else
  redis.call('ZADD', expire, ends, ARGV[1])
  redis.call('EXPIRE', expire, ARGV[4])
end
if not counted then
  return
end

if came then
  redis.call('HINCRBY', users, ARGV[3], 1)
end
redis.call('EXPIRE', users, ARGV[4])
if fields then
  redis.call('HEXPIRE', users, ARGV[4], 'FIELDS', 1, ARGV[3])
else
  redis.call('ZADD', users_expire, ends, ARGV[3])
  redis.call('EXPIRE', users_expire, ARGV[4])
end
