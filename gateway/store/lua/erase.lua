-- Drop an ended job's record and outcome; its tombstone stays.
-- KEYS: job, outcome body
local held = redis.call('HMGET', KEYS[1], 'rec', 'fol')
if not held[1] or held[2] then
    return 0
end
redis.call('DEL', KEYS[1], KEYS[2])
return 1
