-- Extend a replica's lease; say who is dead, when the next of the others may be, and how many live.
-- KEYS: replicas (a sorted set: incarnation -> end of lease, in ms)
-- ARGV: incarnation, how long this heartbeat counts (ms), join ('1' or ''), now (ms; '' is the server's time)
local now = tonumber(ARGV[4])
if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local until_ = redis.call('ZSCORE', KEYS[1], ARGV[1])
local alive = ARGV[3] == '1' or (until_ and tonumber(until_) >= now)
if alive then
    redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
    -- A month: long after its last replica, a store that is used no more is empty.
    redis.call('PEXPIRE', KEYS[1], 2592000000)
end
local written = string.format('%.0f', now)
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. written)
local living = redis.call('ZRANGEBYSCORE', KEYS[1], written, '+inf', 'WITHSCORES', 'LIMIT', 0, 2)
local other = living[1] == ARGV[1] and 4 or 2
return {written, alive and 1 or 0, dead, living[other] or '', redis.call('ZCOUNT', KEYS[1], written, '+inf')}
