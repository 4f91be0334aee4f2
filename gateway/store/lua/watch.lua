-- Have a replica woken at every change of a job, and return its record.
-- KEYS: job, watchers, tombstone
-- ARGV: watcher
local held = redis.call('HMGET', KEYS[1], 'rec', 'fol')
if not held[1] then
    return {redis.call('EXISTS', KEYS[3])}
end
if held[2] then
    redis.call('SADD', KEYS[2], ARGV[1])
    redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1]))
end
return {1, held[1]}
