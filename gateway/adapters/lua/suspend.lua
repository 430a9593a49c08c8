-- Stops admission until the counters are rebuilt.
--
-- KEYS  1 state (see _hold.lua)
-- ARGV  1 why
-- Returns  1 where requests were admitted until now, else 0
--
-- Where admission is suspended already only the time is set, so that the roll is called anew.

local admitted = redis.call('HDEL', KEYS[1], 'admits')
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'suspended_at',
  string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)),
  'why', ARGV[1])
return admitted
