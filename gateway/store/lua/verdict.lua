-- Keep a verdict on a job, and tell its follower.
-- KEYS: job
-- ARGV: id, verdict, channel prefix
local follower = redis.call('HGET', KEYS[1], 'fol')
if not follower then
    return 0
end
redis.call('HSET', KEYS[1], 'verdict', ARGV[2])
redis.call('PUBLISH', ARGV[3] .. follower, ARGV[1])
return 1
