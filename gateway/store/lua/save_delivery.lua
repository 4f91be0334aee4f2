-- Apply one change of a callback delivery under its fence.
-- KEYS: delivery, followed set
-- ARGV: id, follower, expected revision, record, new revision, keep (ms), done ('1' or '')
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
redis.call('HSET', KEYS[1], 'rec', ARGV[4], 'rev', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
if ARGV[7] == '1' then
    redis.call('SREM', KEYS[2], ARGV[1])
else
    redis.call('SADD', KEYS[2], ARGV[1])
    if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[6]) then
        redis.call('PEXPIRE', KEYS[2], ARGV[6])
    end
end
return 'saved'
