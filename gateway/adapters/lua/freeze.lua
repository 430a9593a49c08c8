-- Keeps everything but the caller's rebuild from changing the counters, for a short time.
--
-- KEYS  1 state (see _hold.lua)
-- ARGV  1 token of the rebuild   2 how long, ms
-- Returns  1 where the caller has it, 0 where another rebuild does or admission is not suspended
--
-- This is what makes one leader of many. A rebuild that dies leaves nothing but the end of this
-- time to wait for.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local f = redis.call('HMGET', KEYS[1], 'frozen_until', 'frozen_by', 'admits')
if f[3] then return 0 end
if f[1] and tonumber(f[1]) > now and f[2] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'frozen_until', string.format('%.0f', now + tonumber(ARGV[2])),
  'frozen_by', ARGV[1])
return 1
