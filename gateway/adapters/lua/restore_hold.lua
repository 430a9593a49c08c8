-- Makes one hold what it is known to be, during a rebuild. Counters are set apart.
--
-- KEYS  1 state   2 this hold   3 open holds
-- ARGV  1 token of the rebuild   2 request id   3 lease ms, 0 where the hold has ended
--       4 nano-dollars charged at its expiry, -1 where it has not expired
--       5 amount nano   6 budgets   7 server time of the reserve, ms   8 context JSON
--       9 '1' for long-lived work   10 output tokens granted
-- Returns  1, or 0 where the rebuild has lost its time: nothing was changed

local now = now_ms()
local f = redis.call('HMGET', KEYS[1], 'frozen_until', 'frozen_by')
if f[2] ~= ARGV[1] or tonumber(f[1]) <= now then return 0 end

local lease, charged = tonumber(ARGV[3]), tonumber(ARGV[4])
if lease == 0 and charged < 0 then
  close_id(KEYS[2], ARGV[9] == '1')
  redis.call('ZREM', KEYS[3], ARGV[2])
  return 1
end
redis.call('HSET', KEYS[2], 'amount', ARGV[5], 'budgets', ARGV[6], 'at', ARGV[7], 'context', ARGV[8],
  'granted', ARGV[10])
if ARGV[9] == '1' then redis.call('HSET', KEYS[2], 'handed', '1') end
if lease == 0 then
  redis.call('HSET', KEYS[2], 'state', 'expired', 'charged', integer(charged))
  redis.call('PEXPIRE', KEYS[2], ENDED_MS)
  redis.call('ZREM', KEYS[3], ARGV[2])
else
  redis.call('HSET', KEYS[2], 'state', 'open')
  redis.call('PERSIST', KEYS[2])
  redis.call('ZADD', KEYS[3], 'GT', integer(now + lease), ARGV[2])
end
return 1
