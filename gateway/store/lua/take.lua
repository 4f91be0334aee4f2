-- Take one row over from a dead follower.
-- KEYS: job, delivery, followed set of the dead, followed set of the taker
-- ARGV: id, the dead, the taker
local row = KEYS[1]
if redis.call('EXISTS', row) == 0 then
    row = KEYS[2]
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
-- How often it was taken over since it last got on: one that kills whoever follows it would kill them all.
local taken = redis.call('HINCRBY', row, 'taken', 1)
return {row == KEYS[1] and 'job' or 'delivery', held[2], held[3] or '', held[4] or '', held[5] or '', held[6] or '', taken}
