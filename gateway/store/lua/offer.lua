-- Replace the sealed credential of a job that lives.
-- KEYS: job
-- ARGV: sealed credential
if redis.call('HEXISTS', KEYS[1], 'fol') == 0 then
    return 0
end
redis.call('HSET', KEYS[1], 'cred', ARGV[1])
return 1
