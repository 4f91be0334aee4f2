-- Store a new job, unless its idempotency key belongs to an earlier one.
-- KEYS: job, followed set of the follower, [idempotency key]
-- ARGV: id, record, sealed start, sealed credential or '', follower, operation, keep (ms), fingerprint
local id, record, start, credential = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local follower, operation, keep, fingerprint = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8]
local stored = redis.call('HGET', KEYS[1], 'op')
if stored == operation then
    return {'created'}
end
if KEYS[3] then
    local held = redis.call('HMGET', KEYS[3], 'id', 'print')
    if held[1] and held[2] ~= fingerprint then
        return {'taken'}
    elseif held[1] then
        return {'held', held[1]}
    end
end
if stored then
    -- The job has moved on since it was created: a record is never replaced by its own beginning.
    return {'held', id}
end
redis.call('HSET', KEYS[1], 'rec', record, 'rev', 1, 'fol', follower, 'op', operation, 'start', start)
if credential ~= '' then
    redis.call('HSET', KEYS[1], 'cred', credential)
end
redis.call('PEXPIRE', KEYS[1], keep)
redis.call('SADD', KEYS[2], id)
if redis.call('PTTL', KEYS[2]) < keep then
    redis.call('PEXPIRE', KEYS[2], keep)
end
if KEYS[3] then
    redis.call('HSET', KEYS[3], 'id', id, 'print', fingerprint)
    redis.call('PEXPIRE', KEYS[3], keep)
end
return {'created'}
