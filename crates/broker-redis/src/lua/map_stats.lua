-- How many keys there are that have not ended.
if redis.call('HGET', RULES, 'epoch') ~= redis.call('HGET', META, 'e') then
  return 0
end
return redis.call('HLEN', STATE) - redis.call('ZCOUNT', ENDS, '-inf', now)
