-- Apply one change of a callback delivery under its fence.
-- KEYS: delivery, followed set, deliveries that have failed, those that were disabled, then what lives as long as the
--       delivery: job, outcome body, tombstone, set of the job's deliveries
-- ARGV: id, follower, expected revision, record, new revision, keep (ms), state, now (ms)
local held = redis.call('HMGET', KEYS[1], 'rev', 'fol', 'rec')
if not held[1] then
    return 'missing'
end
if held[1] == ARGV[5] and held[3] == ARGV[4] then
    return 'saved'
end
if held[1] ~= ARGV[3] or held[2] ~= ARGV[2] then
    return 'fenced'
end
local keep, now = tonumber(ARGV[6]), tonumber(ARGV[8])

local function at_least(key)
    if redis.call('PTTL', key) < keep then
        redis.call('PEXPIRE', key, keep)
    end
end

redis.call('HSET', KEYS[1], 'rec', ARGV[4], 'rev', ARGV[5])
redis.call('PEXPIRE', KEYS[1], keep)
if ARGV[7] ~= 'delivered' then
    for index = 5, 8 do
        at_least(KEYS[index])
    end
end
if ARGV[7] == 'pending' then
    redis.call('SADD', KEYS[2], ARGV[1])
    at_least(KEYS[2])
    return 'saved'
end
redis.call('SREM', KEYS[2], ARGV[1])
local dead = ({failed = KEYS[3], disabled = KEYS[4]})[ARGV[7]]
if dead then
    redis.call('ZADD', dead, now, ARGV[1])
    redis.call('ZREMRANGEBYSCORE', dead, '-inf', now - keep)
    at_least(dead)
end
return 'saved'
