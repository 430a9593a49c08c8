-- Keeps the answer of the request that has claimed an idempotency key, or gives the key up.
--
-- KEYS  1 this key
-- ARGV  1 request id   2 how long it is kept, ms   then, unless it is given up: 3 status
--       4 headers JSON   5 body
-- Returns  1 where the key was this request's, else 0

if redis.call('HGET', KEYS[1], 'request') ~= ARGV[1] then return 0 end
if not ARGV[3] then
  redis.call('DEL', KEYS[1])
  return 1
end
redis.call('HSET', KEYS[1], 'status', ARGV[3], 'headers', ARGV[4], 'body', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
