-- Add a callback to a job: it waits for the job's end, or is due at once where the job has ended.
-- KEYS: delivery, followed set of the caller's replica, job, outcome body, tombstone, set of the job's deliveries
-- ARGV: id, follower, record, keep (ms), most deliveries of a job
local known = redis.call('HGET', KEYS[1], 'rec')
if known then
    -- Written once more, so that whoever waits for replicas to have it waits for something.
    redis.call('HSET', KEYS[1], 'rec', known)
    return {'known', known}
end
local job = redis.call('HMGET', KEYS[3], 'rec', 'fol')
if not job[1] then
    return {redis.call('EXISTS', KEYS[5]) == 1 and 'tombstone' or 'never'}
end
if redis.call('SCARD', KEYS[6]) >= tonumber(ARGV[5]) then
    return {'full'}
end
local keep = tonumber(ARGV[4])

local function at_least(key, milliseconds)
    if redis.call('PTTL', key) < milliseconds then
        redis.call('PEXPIRE', key, milliseconds)
    end
end

redis.call('HSET', KEYS[1], 'rec', ARGV[3], 'rev', 1)
redis.call('SADD', KEYS[6], ARGV[1])
if job[2] then
    local life = redis.call('PTTL', KEYS[3]) + keep
    at_least(KEYS[1], life)
    at_least(KEYS[6], life)
    return {'waits'}
end
redis.call('HSET', KEYS[1], 'fol', ARGV[2])
redis.call('SADD', KEYS[2], ARGV[1])
for _, key in ipairs(KEYS) do
    at_least(key, keep)
end
return {'due'}
