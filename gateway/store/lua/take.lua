-- Take one row over from a dead follower.
-- KEYS: job, delivery, followed set of the dead, followed set of the taker
-- ARGV: id, the dead, the taker, now (ms; '' is the server's time)
local INNOCENT, SECOND, LONGEST = 3, 1000, 300000
local row = KEYS[1]
if redis.call('EXISTS', row) == 0 then
    row = KEYS[2]
end

-- A job that ends whoever follows it would end them all. So from the fourth take-over on, without its getting on in
-- between, it is left alone for a time, which doubles up to five minutes; return until when (ms), 0 for not at all.
-- Taken over while it is left alone, it waits on: it is not what ended its follower.
local function rests_until()
    local now = tonumber(ARGV[4])
    if not now then
        local time = redis.call('TIME')
        now = time[1] * 1000 + math.floor(time[2] / 1000)
    end
    local rests = tonumber(redis.call('HGET', row, 'rests') or 0)
    if now < rests then
        return rests
    end
    local taken = redis.call('HINCRBY', row, 'taken', 1)
    if taken <= INNOCENT then
        return 0
    end
    rests = now + math.min(SECOND * 2 ^ (taken - INNOCENT), LONGEST)
    redis.call('HSET', row, 'rests', string.format('%.0f', rests))
    return rests
end

local held = redis.call('HMGET', row, 'fol', 'rec', 'start', 'cred', 'cancel', 'verdict')
-- A delivery that is done names its last follower, and stands in no set any more: it was done since the set was read.
local followed = redis.call('SISMEMBER', KEYS[3], ARGV[1]) + redis.call('SISMEMBER', KEYS[4], ARGV[1]) > 0
if not followed or (held[1] ~= ARGV[2] and held[1] ~= ARGV[3]) then
    redis.call('SREM', KEYS[3], ARGV[1])
    return false
end
redis.call('HSET', row, 'fol', ARGV[3])
redis.call('SREM', KEYS[3], ARGV[1])
redis.call('SADD', KEYS[4], ARGV[1])
local keep = redis.call('PTTL', row)
if redis.call('PTTL', KEYS[4]) < keep then
    redis.call('PEXPIRE', KEYS[4], keep)
end
if row == KEYS[2] then
    return {'delivery', held[2]}
end
return {'job', held[2], held[3] or '', held[4] or '', held[5] or '', held[6] or '', rests_until()}
