-- Reads the state of the counters, and signs that a gateway worker lives and what it presented.
--
-- KEYS  1 state (see _hold.lua)   2 present (hash: "ms:suspended_at presented for" by worker)
--       3 policy version
-- ARGV  1 worker ('': none)   2 the suspension that it has presented its holds for
-- Returns  {epoch, sequence, server, admits, suspended at ms, why, now ms}; '' for what is not
--
-- Without a policy nothing is admitted either.

local time = redis.call('TIME')
local now = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
if ARGV[1] ~= '' then redis.call('HSET', KEYS[2], ARGV[1], now .. ':' .. ARGV[2]) end
local f = redis.call('HMGET', KEYS[1], 'epoch', 'sequence', 'server', 'admits', 'suspended_at',
  'why')
for i = 1, 6 do f[i] = f[i] or '' end
if redis.call('EXISTS', KEYS[3]) == 0 then f[4] = '' end
f[7] = now
return f
