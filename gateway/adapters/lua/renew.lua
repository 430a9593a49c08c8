-- Extends the lease of the holds that a living process owns; never shortens one.
--
-- KEYS  1 open holds
-- ARGV  1 lease ms   2.. request ids
-- Returns  how many of the holds were open

local time = redis.call('TIME')
local lease_end = string.format('%.0f',
  tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + tonumber(ARGV[1]))
local open = 0
for i = 2, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    redis.call('ZADD', KEYS[1], 'XX', 'GT', lease_end, ARGV[i])
    open = open + 1
  end
end
return open
