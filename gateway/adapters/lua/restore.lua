-- Sets counters during a rebuild: of budget windows and of clients.
--
-- KEYS  1 state (see _hold.lua)   2.. hashes
-- ARGV  1 token of the rebuild   then for each hash: field, value, second field ('': none), its
--       value, when it may go, ms (0: as it is)
-- Returns  1, or 0 where the rebuild has lost its time: nothing was changed
--
-- Set, never added: doing it twice must not count twice.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local f = redis.call('HMGET', KEYS[1], 'frozen_until', 'frozen_by')
if f[2] ~= ARGV[1] or tonumber(f[1]) <= now then return 0 end

for i = 2, #KEYS do
  local a = 2 + (i - 2) * 5
  redis.call('HSET', KEYS[i], ARGV[a], ARGV[a + 1])
  if ARGV[a + 2] ~= '' then redis.call('HSET', KEYS[i], ARGV[a + 2], ARGV[a + 3]) end
  if ARGV[a + 4] ~= '0' then redis.call('PEXPIREAT', KEYS[i], ARGV[a + 4]) end
end
return 1
