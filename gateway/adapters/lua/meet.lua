-- Run on every new connection: tells the server that keeps the counters from another one.
--
-- KEYS  1 state (see _hold.lua)
-- ARGV  1 run id of the server that is connected to
-- Returns  1 where it is another: admission is suspended until the counters are rebuilt
--
-- A server that was started again may have read an older file, and one that took over may not
-- have had everything. Nobody is admitted before that is known.

local state = redis.call('HMGET', KEYS[1], 'server', 'met')
if not state[1] or state[1] == ARGV[1] then return 0 end
if state[2] ~= ARGV[1] then
  local time = redis.call('TIME')
  redis.call('HDEL', KEYS[1], 'admits')
  redis.call('HSET', KEYS[1], 'met', ARGV[1], 'suspended_at',
    string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)),
    'why', 'Redis was started again, or another server took over')
end
return 1
