-- Resolves a hold whose owner stopped renewing it: charged at its amount, marked unknown,
-- because a request that may have reached the provider may have been billed.
--
-- KEYS  1 this hold   2 open holds   3 client   4 event stream   5.. budget windows
-- ARGV  1 request id   2 result JSON
-- Returns  {expired, amount nano}   {alive, ms left}   {already}   {mismatch}
--
-- The hold stays for ENDED_MS as "expired", so that a late settle or release corrects it.

local hold = read_hold(KEYS[1])
if not hold or hold.state ~= 'open' then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return {'already'}
end
local at = now_ms()
local lease_end = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or '0')
if lease_end > at then return {'alive', lease_end - at} end
local budgets = budgets_of(hold, 5)
if not budgets then return {'mismatch'} end

charge(budgets, 5, hold.amount, true)
emit(KEYS[4], ARGV[1], 'request', 'expired', hold.amount, hold, ARGV[2], at)
redis.call('HSET', KEYS[1], 'state', 'expired', 'charged', integer(hold.amount))
redis.call('PEXPIRE', KEYS[1], ENDED_MS)
leave(hold, KEYS[2], KEYS[3], ARGV[1])
return {'expired', hold.amount}
