-- Apply one change of a job under its fence, and wake its watchers.
-- KEYS: job, followed set, outcome body, tombstone, watchers, idempotency key or job again, [delivery]
-- ARGV: id, operation, follower, expected revision, record, new revision, keep (ms), ending ('1' or ''), body,
--       tombstone keep (ms), free key ('1' or ''), start answered ('1' or ''), channel prefix,
--       [delivery id, delivery record, delivery keep (ms)]
local id, operation, follower, expected = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local record, revision, keep = ARGV[5], ARGV[6], tonumber(ARGV[7])
local ending, body, tombstone = ARGV[8] == '1', ARGV[9], tonumber(ARGV[10])
local held = redis.call('HMGET', KEYS[1], 'rev', 'fol', 'op')
if held[3] == operation then
    return 'saved'
end
if not held[1] then
    return 'missing'
end
if held[1] ~= expected or held[2] ~= follower then
    return 'fenced'
end
redis.call('HSET', KEYS[1], 'rec', record, 'rev', revision, 'op', operation)
redis.call('PEXPIRE', KEYS[1], keep)
if ARGV[12] == '1' then
    redis.call('HDEL', KEYS[1], 'start')
end
local has_key = KEYS[6] ~= KEYS[1]
if ending then
    redis.call('HDEL', KEYS[1], 'start', 'cred', 'fol')
    redis.call('SREM', KEYS[2], id)
    redis.call('SET', KEYS[3], body, 'PX', keep)
    redis.call('SET', KEYS[4], '1', 'PX', tombstone)
    if has_key then
        redis.call('PEXPIRE', KEYS[6], tombstone)
    end
    if KEYS[7] then
        redis.call('HSET', KEYS[7], 'rec', ARGV[15], 'rev', 1, 'fol', follower)
        redis.call('PEXPIRE', KEYS[7], ARGV[16])
        redis.call('SADD', KEYS[2], ARGV[14])
        if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[16]) then
            redis.call('PEXPIRE', KEYS[2], ARGV[16])
        end
    end
end
if has_key and ARGV[11] == '1' and redis.call('HGET', KEYS[6], 'id') == id then
    redis.call('DEL', KEYS[6])
end
for _, watcher in ipairs(redis.call('SMEMBERS', KEYS[5])) do
    redis.call('PUBLISH', ARGV[13] .. watcher, id)
end
if ending then
    redis.call('DEL', KEYS[5])
end
return 'saved'
