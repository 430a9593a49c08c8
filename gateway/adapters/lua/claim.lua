-- Claims a client's idempotency key for one request, or says what became of the first one.
--
-- KEYS  1 this key (hash: digest, request, at, status, headers, body)
--       2 prefix of holds
-- ARGV  1 digest of the request   2 request id   3 how long it is kept, ms
--       4 how long a request may take to place its hold, ms
-- Returns  {claimed}   {other} where the key was used with another request
--          {running}   {lost} where the first request ended and its answer is not known
--          {answered, status, headers JSON, body}
--
-- Idempotent by request id. A first request whose hold is open is running. One that was released
-- was not billed: its key is free, also where its process could not say so. One that has ended
-- otherwise without leaving an answer may have been billed, so nothing runs again under its key;
-- nor when its end may be forgotten by now.

-- An hour less than _hold.lua keeps an end for.
local REMEMBERED_MS = 25 * 3600 * 1000

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local f = redis.call('HMGET', KEYS[1], 'digest', 'request', 'at', 'status', 'headers', 'body')

local function claim()
  redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'request', ARGV[2], 'at', string.format('%.0f', now))
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {'claimed'}
end

if not f[1] then return claim() end
if f[1] ~= ARGV[1] then return {'other'} end
if f[4] then return {'answered', f[4], f[5], f[6]} end
if f[2] == ARGV[2] then return {'claimed'} end
-- Built here because the first request's id is known only here; it has the same hash tag.
local hold = redis.call('HMGET', KEYS[2] .. f[2], 'state', 'free')
if hold[1] == 'open' then return {'running'} end
if hold[2] then return claim() end
if hold[1] then return {'lost'} end
local age = now - tonumber(f[3])
if age < tonumber(ARGV[4]) then return {'running'} end
if age > REMEMBERED_MS then return {'lost'} end
-- It never placed a hold, so it was never sent.
return claim()
