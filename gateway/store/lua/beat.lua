-- Extend a replica's lease; say who is dead.
-- KEYS: replicas (a sorted set: incarnation -> end of lease, in ms)
-- ARGV: incarnation, lease (ms), join ('1' or ''), now (ms; '' is the server's time)
local now = tonumber(ARGV[4])
if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local lease = tonumber(ARGV[2])
local until_ = redis.call('ZSCORE', KEYS[1], ARGV[1])
local alive = ARGV[3] == '1' or (until_ and tonumber(until_) >= now)
if alive then
    redis.call('ZADD', KEYS[1], now + lease, ARGV[1])
    -- A month: long after its last replica, a store that is used no more is empty.
    redis.call('PEXPIRE', KEYS[1], 2592000000)
end
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now))
return {string.format('%.0f', now), alive and 1 or 0, dead}
