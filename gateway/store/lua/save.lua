-- Apply one change of a job under its fence, and wake its watchers.
-- KEYS: job, followed set, outcome body, tombstone, watchers, idempotency key or job again, set of its deliveries,
--       [delivery]
-- ARGV: id, operation, follower, expected revision, record, new revision, keep (ms), ending ('1' or ''), body,
--       tombstone keep (ms; never less than the record's), keep of the key (ms; 0 frees it), start answered
--       ('1' or ''), channel prefix, principal, restores ('1', 'shared' for a job that calls share, or ''), sealed start or '', sealed credential or '',
--       fingerprint, what the key of a delivery in this partition begins with, keep of what is to be delivered (ms),
--       [delivery id, delivery record]
-- Returns 'saved', 'fenced' or 'missing'; for an end that deliveries have waited for, 'saved' and their records.
local id, operation, follower, expected = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local record, revision, keep = ARGV[5], ARGV[6], tonumber(ARGV[7])
local ending, body, tombstone = ARGV[8] == '1', ARGV[9], math.max(tonumber(ARGV[10]), keep)
local held = redis.call('HMGET', KEYS[1], 'rev', 'fol', 'op')

-- Return the job's other deliveries that `whom` follows (nobody: false), as pairs of id and record.
local function others(whom)
    local found = {}
    for _, delivery in ipairs(redis.call('SMEMBERS', KEYS[7])) do
        local row = redis.call('HMGET', ARGV[19] .. delivery, 'rec', 'fol')
        if row[1] and row[2] == whom and delivery ~= ARGV[21] then
            table.insert(found, {delivery, row[1]})
        end
    end
    return found
end

local function saved(deliveries)
    if #deliveries == 0 then
        return 'saved'
    end
    local answer = {'saved'}
    for _, delivery in ipairs(deliveries) do
        table.insert(answer, delivery[2])
    end
    return answer
end

if held[3] == operation then
    -- Written once more, so that whoever waits for replicas to have it waits for something.
    redis.call('HSET', KEYS[1], 'op', operation)
    return saved(ending and others(follower) or {})
end
if not held[1] then
    if ARGV[15] == '' then
        return 'missing'
    elseif redis.call('EXISTS', KEYS[4]) == 1 then
        return 'fenced'
    end
    redis.call('HSET', KEYS[1], 'fol', follower)
    if ARGV[15] == 'shared' then
        -- How many calls share it is lost: more than will ever give it up, so that none cancels it for the others.
        redis.call('HSET', KEYS[1], 'shares', 1000000000)
    end
    if ARGV[16] ~= '' then
        redis.call('HSET', KEYS[1], 'start', ARGV[16])
    end
    if ARGV[17] ~= '' then
        redis.call('HSET', KEYS[1], 'cred', ARGV[17])
    end
elseif held[2] ~= follower or tonumber(held[1]) > tonumber(expected) then
    return 'fenced'
end
-- A revision below the one expected: a replica of the store that lagged was promoted, and this follower knows more.

local waiting = ending and others(false) or {}
local to_deliver = tonumber(ARGV[20])
if #waiting > 0 then
    keep, tombstone = math.max(keep, to_deliver), math.max(tombstone, to_deliver)
end

-- What finds a row, guards it or waits for it must live as long as the row.
local function follow(row, milliseconds)
    redis.call('SADD', KEYS[2], row)
    if redis.call('PTTL', KEYS[2]) < milliseconds then
        redis.call('PEXPIRE', KEYS[2], milliseconds)
    end
end

-- A delivery is due: from now on it is followed.
local function deliver(row, delivery)
    redis.call('HSET', row, 'fol', follower)
    redis.call('PEXPIRE', row, math.max(keep, to_deliver))
    follow(delivery, math.max(keep, to_deliver))
end

redis.call('HSET', KEYS[1], 'rec', record, 'rev', revision, 'op', operation)
redis.call('PEXPIRE', KEYS[1], keep)
if ARGV[12] == '1' then
    redis.call('HDEL', KEYS[1], 'start', 'taken', 'rests')
end
if ending then
    redis.call('HDEL', KEYS[1], 'start', 'cred', 'fol')
    redis.call('SREM', KEYS[2], id)
    redis.call('SET', KEYS[3], body, 'PX', keep)
    redis.call('SET', KEYS[4], ARGV[14], 'PX', tombstone)
    -- One that somebody follows already was made with this end before a lagging replica of the store forgot it.
    if KEYS[8] and redis.call('HEXISTS', KEYS[8], 'fol') == 0 then
        redis.call('HSET', KEYS[8], 'rec', ARGV[22], 'rev', 1)
        redis.call('SADD', KEYS[7], ARGV[21])
        deliver(KEYS[8], ARGV[21])
    end
    for _, delivery in ipairs(waiting) do
        deliver(ARGV[19] .. delivery[1], delivery[1])
    end
    redis.call('PEXPIRE', KEYS[7], math.max(keep, to_deliver))
else
    follow(id, keep)
end
if KEYS[6] ~= KEYS[1] then
    local holder, key_keep = redis.call('HGET', KEYS[6], 'id'), tonumber(ARGV[11])
    -- A key that was freed may belong to another job by now; one that the store has lost is put back.
    if holder == id and key_keep == 0 then
        redis.call('DEL', KEYS[6])
    elseif (not holder or holder == id) and key_keep > 0 then
        redis.call('HSET', KEYS[6], 'id', id, 'print', ARGV[18])
        redis.call('PEXPIRE', KEYS[6], key_keep)
    end
end
local watchers = redis.call('SMEMBERS', KEYS[5])
for _, watcher in ipairs(watchers) do
    redis.call('PUBLISH', ARGV[13] .. watcher, id)
end
if #watchers > 0 then -- seldom: only callers on other replicas than the follower's are told this way
    if ending then
        redis.call('DEL', KEYS[5])
    else
        redis.call('PEXPIRE', KEYS[5], keep)
    end
end
return saved(waiting)
