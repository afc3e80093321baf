-- Forgets a channel, and tells whoever listens that positions are lost.
redis.call('DEL', META, STATE, ENDS, RULES, NAMES, STREAM)
redis.call('ZREM', DUE, ARGV[1])
redis.call('PUBLISH', ARGV[4], 'c')
