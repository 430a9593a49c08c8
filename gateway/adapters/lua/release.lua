-- Drops a hold because the provider billed nothing, and emits a zero-cost usage event.
--
-- KEYS  1 this hold   2 open holds   3 client   4 event stream   5.. budget windows
-- ARGV  1 request id   2 result JSON
-- Returns  {released, left nano}   {already}   {mismatch}
--
-- Where there is no such hold its id is closed: the reserve may still be on its way (its reply
-- was lost), and must not place a hold that nobody owns.

local hold = read_hold(KEYS[1])
if not hold then
  close_id(KEYS[1], false, true)
  return {'already'}
end
if hold.state == 'closed' then return {'already'} end
local budgets = budgets_of(hold, 5)
if not budgets then return {'mismatch'} end
local at = now_ms()

if hold.state == 'expired' then
  local left = charge(budgets, 5, -hold.charged, false)
  emit(KEYS[4], ARGV[1], 'correction', 'released', -hold.charged, hold, ARGV[2], at)
  close_id(KEYS[1], hold.handed, true)
  return {'released', left}
end

local left = charge(budgets, 5, 0, true)
emit(KEYS[4], ARGV[1], 'request', 'released', 0, hold, ARGV[2], at)
close_id(KEYS[1], hold.handed, true)
leave(hold, KEYS[2], KEYS[3], ARGV[1])
if hold.token_us > 0 and not hold.handed then
  local tat = tonumber(redis.call('HGET', KEYS[3], 'tokens_tat') or '0')
  redis.call('HSET', KEYS[3], 'tokens_tat', integer(math.max(tat - hold.tokens * hold.token_us, 0)))
end
return {'released', left}
