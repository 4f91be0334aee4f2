-- Count jobs that have ended in a route's histogram of durations, once; return the histogram.
-- KEYS: histogram (numbers of 24 bits: jobs since it was scaled, then each bin's weight), operation's mark
-- ARGV: jobs (0: only return it), half-life (jobs), a job's weight, keep (ms), mark's keep (ms), then bin and share in turn
-- A later job weighs more, where all before it would have to weigh less: twice as much after each half-life.
local BITS, DOUBLINGS = 'u24', 8
local new, half_life = tonumber(ARGV[1]), tonumber(ARGV[2])

-- Bring all weights down to those of a histogram that has just begun.
local function scaled(jobs)
    local text, factor = redis.call('GET', KEYS[1]) or '', 2 ^ (-jobs / half_life)
    local parts = {'\0\0\0'}
    for at = 4, #text - 2, 3 do
        local high, middle, low = string.byte(text, at, at + 2)
        local weight = math.floor((high * 65536 + middle * 256 + low) * factor + 0.5)
        parts[#parts + 1] = string.char(math.floor(weight / 65536), math.floor(weight / 256) % 256, weight % 256)
    end
    redis.call('SET', KEYS[1], table.concat(parts))
    return 0
end

if new > 0 and redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[5]) then
    local jobs = redis.call('BITFIELD', KEYS[1], 'GET', BITS, '#0')[1]
    if jobs + new > DOUBLINGS * half_life then
        jobs = scaled(jobs)
    end
    jobs = jobs + new
    local weight = tonumber(ARGV[3]) * 2 ^ (jobs / half_life)
    local changes = {'SET', BITS, '#0', jobs, 'OVERFLOW', 'SAT'}
    for at = 6, #ARGV, 2 do
        local more = math.floor(tonumber(ARGV[at + 1]) * weight + 0.5)
        for _, word in ipairs({'INCRBY', BITS, '#' .. (tonumber(ARGV[at]) + 1), string.format('%.0f', more)}) do
            changes[#changes + 1] = word
        end
    end
    redis.call('BITFIELD', KEYS[1], unpack(changes))
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return redis.call('GET', KEYS[1])
