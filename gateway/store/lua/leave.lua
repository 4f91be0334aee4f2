-- End a replica's lease, if it is remembered, and tell the others.
-- KEYS: replicas
-- ARGV: incarnation, channel
if redis.call('ZADD', KEYS[1], 'XX', 'CH', 0, ARGV[1]) == 1 then
    redis.call('PUBLISH', ARGV[2], ARGV[1])
end
