-- Tell all replicas of a hint, once for each event.
-- KEYS: the event's mark
-- ARGV: hint, channel, keep (ms)
if not redis.call('SET', KEYS[1], 1, 'NX', 'PX', ARGV[3]) then
    return 0
end
redis.call('PUBLISH', ARGV[2], ARGV[1])
return 1
