-- Store a new job, unless its key belongs to an earlier one.
-- KEYS: job, followed set of the follower, tombstone, [key]
-- ARGV: id, record, sealed start, sealed credential or '', follower, operation, keep (ms), fingerprint,
--       keep of the key (ms), joins ('1' or ''), what the key of a job in this partition begins with, what that of the
--       mark of a call that joined one begins with
local id, record, start, credential = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local follower, operation, keep, fingerprint = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8]
local joins = ARGV[10] == '1'
if redis.call('HGET', KEYS[1], 'created') == operation then
    -- Written once more, so that whoever waits for replicas to have it waits for something.
    redis.call('HSET', KEYS[1], 'created', operation)
    return {'created'}
end

-- Return the number of this call's share of another call's job. It is remembered for an hour, beside the
-- job: a job may be shared by very many, and a call is repeated soon or not at all.
local function share(other)
    local job, known = ARGV[11] .. other, ARGV[12] .. other .. ':' .. operation
    local mine = redis.call('GET', known)
    if not mine then
        mine = redis.call('HINCRBY', job, 'shares', 1)
        redis.call('SET', known, mine, 'PX', 3600000)
    end
    return tonumber(mine)
end

if KEYS[4] then
    local held = redis.call('HMGET', KEYS[4], 'id', 'print')
    if held[1] and held[2] ~= fingerprint then
        return {'taken'}
    elseif held[1] and not joins then
        return {'held', held[1], 0}
    elseif held[1] then
        local job = ARGV[11] .. held[1]
        -- One that is being canceled is given up by all that shared it; who comes now wants it to run.
        if redis.call('HEXISTS', job, 'fol') == 0 then
            return {'held', held[1], 0}
        elseif redis.call('HEXISTS', job, 'cancel') == 0 then
            return {'held', held[1], share(held[1])}
        end
    end
end
if redis.call('EXISTS', KEYS[1]) == 1 or redis.call('EXISTS', KEYS[3]) == 1 then
    -- A record is never replaced by its own beginning, nor is one that is over begun again.
    return {'held', id, 0}
end
redis.call('HSET', KEYS[1], 'rec', record, 'rev', 1, 'fol', follower, 'created', operation, 'start', start)
if joins then
    redis.call('HSET', KEYS[1], 'shares', 1)
end
if credential ~= '' then
    redis.call('HSET', KEYS[1], 'cred', credential)
end
redis.call('PEXPIRE', KEYS[1], keep)
redis.call('SADD', KEYS[2], id)
if redis.call('PTTL', KEYS[2]) < keep then
    redis.call('PEXPIRE', KEYS[2], keep)
end
if KEYS[4] then
    redis.call('HSET', KEYS[4], 'id', id, 'print', fingerprint)
    redis.call('PEXPIRE', KEYS[4], ARGV[9])
end
return {'created'}
