-- Keep the request to cancel a job, and tell its follower.
-- KEYS: job, tombstone
-- ARGV: id, share (0: none), channel prefix
local held = redis.call('HMGET', KEYS[1], 'rec', 'fol', 'shares')
if not held[1] then
    return redis.call('EXISTS', KEYS[2]) == 1 and 'tombstone' or 'never'
elseif not held[2] then
    return 'ended'
end
local shares, share = tonumber(held[3] or '1'), tonumber(ARGV[2])
if shares > 1 then
    if share < 1 or share > shares then
        return 'shared'
    end
    if redis.call('HSETNX', KEYS[1], 'left:' .. share, 1) == 1 then
        redis.call('HINCRBY', KEYS[1], 'left', 1)
    end
    if tonumber(redis.call('HGET', KEYS[1], 'left')) < shares then
        return 'waiting'
    end
end
redis.call('HSET', KEYS[1], 'cancel', 1)
redis.call('PUBLISH', ARGV[3] .. held[2], ARGV[1])
return 'asked'
