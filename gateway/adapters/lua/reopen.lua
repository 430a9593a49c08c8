-- Ends a rebuild: from now on requests are admitted, in a new epoch.
--
-- KEYS  1 state (see _hold.lua)   2 policy version
-- ARGV  1 token of the rebuild   2 epoch   3 least sequence   4 run id of the server
--       5 policy version   6 suspended_at that the roll was called for
-- Returns  1, or 0 where the rebuild has lost its time or the roll must be called again

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local f = redis.call('HMGET', KEYS[1], 'frozen_until', 'frozen_by')
if f[2] ~= ARGV[1] or tonumber(f[1]) <= now then return 0 end

local state = redis.call('HMGET', KEYS[1], 'sequence', 'suspended_at')
if (state[2] or '') ~= ARGV[6] then return 0 end
redis.call('HDEL', KEYS[1], 'frozen_until', 'frozen_by', 'suspended_at', 'why', 'met')
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'server', ARGV[4], 'admits', '1', 'sequence',
  string.format('%.0f', math.max(tonumber(state[1] or '0'), tonumber(ARGV[3])) + 1))
redis.call('SET', KEYS[2], ARGV[5])
return 1
