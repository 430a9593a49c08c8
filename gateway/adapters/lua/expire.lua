-- Resolves a hold whose owner stopped renewing it: charged at its amount, marked unknown,
-- because a request that may have reached the provider may have been billed.
--
-- KEYS  1 state   2 this hold   3 open holds   4 client   5 event stream   6.. budget windows
-- ARGV  1 request id   2 result JSON
-- Returns  {expired, amount nano}   {alive, ms left}   {already}   {mismatch}
--          {frozen}   {suspended}
--
-- While admission is suspended nothing expires: owners could not renew their leases while Redis
-- was away, and get the time to do so. The hold stays for ENDED_MS as "expired", so that a late settle or release corrects it.

local state = read_state()
if state.frozen then return {'frozen'} end
if state.suspended then return {'suspended'} end
local hold = read_hold(KEYS[2])
if not hold or hold.state ~= 'open' then
  redis.call('ZREM', KEYS[3], ARGV[1])
  return {'already'}
end
local at = now_ms()
local lease_end = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[1]) or '0')
if lease_end > at then return {'alive', lease_end - at} end
local budgets = budgets_of(hold, 6)
if not budgets then return {'mismatch'} end

charge(budgets, 6, hold.amount, true)
emit(state, KEYS[5], ARGV[1], 'request', 'expired', hold.amount, hold, ARGV[2], at)
redis.call('HSET', KEYS[2], 'state', 'expired', 'charged', integer(hold.amount))
redis.call('PEXPIRE', KEYS[2], ENDED_MS)
leave(hold, KEYS[3], KEYS[4], ARGV[1])
return {'expired', hold.amount}
