-- Begin a delivery anew, followed by the replica that was asked for it.
-- KEYS: delivery, followed set of that replica, deliveries that have failed, those that were disabled, then what lives
--       as long as the delivery: job, outcome body, tombstone, set of the job's deliveries
-- ARGV: id, follower, expected revision, record, new revision, keep (ms), what a followed set's name begins with
local held = redis.call('HMGET', KEYS[1], 'rev', 'fol', 'rec')
if not held[1] then
    return 'missing'
elseif held[1] == ARGV[5] and held[3] == ARGV[4] then
    -- Written once more, so that whoever waits for replicas to have it waits for something.
    redis.call('HSET', KEYS[1], 'rev', ARGV[5])
    return 'saved'
elseif held[1] ~= ARGV[3] or not held[2] then
    return 'fenced'
elseif redis.call('EXISTS', KEYS[5], KEYS[6]) < 2 then
    return 'missing'
end
redis.call('HSET', KEYS[1], 'rec', ARGV[4], 'rev', ARGV[5], 'fol', ARGV[2])
redis.call('SREM', ARGV[7] .. held[2], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
-- One that was given up is kept for longer than ARGV[6], and what finds it must live as long.
local keep = math.max(tonumber(ARGV[6]), redis.call('PTTL', KEYS[1]))
for _, key in ipairs(KEYS) do
    if redis.call('PTTL', key) < keep then
        redis.call('PEXPIRE', key, keep)
    end
end
return 'saved'
