-- Places the hold of long-lived work again, in a Redis that has lost it.
--
-- KEYS  1 this hold   2 open holds   3.. budget windows
-- ARGV  1 request id   2 lease ms   3 amount nano   4 budgets   5 server time of the reserve, ms
--       6 context JSON   then for each budget window: when its counters may go, ms (0: never)
-- Returns  {placed}   {already}   {mismatch}
--
-- Nothing is checked: the work was admitted before, and the provider bills it.

if redis.call('EXISTS', KEYS[1]) == 1 then return {'already'} end
local hold = {budgets = ARGV[4]}
local budgets = budgets_of(hold, 3)
if not budgets then return {'mismatch'} end
for i, budget in ipairs(budgets) do
  redis.call('HINCRBY', KEYS[2 + i], 'held', integer(budget.held))
  local forget = tonumber(ARGV[6 + i])
  if forget > 0 and redis.call('PTTL', KEYS[2 + i]) == -1 then
    redis.call('PEXPIREAT', KEYS[2 + i], integer(forget))
  end
end
redis.call('HSET', KEYS[1], 'state', 'open', 'amount', ARGV[3], 'granted', '0', 'budgets', ARGV[4],
  'at', ARGV[5], 'tokens', '0', 'token_us', '0', 'context', ARGV[6], 'handed', '1')
redis.call('ZADD', KEYS[2], integer(now_ms() + tonumber(ARGV[2])), ARGV[1])
return {'placed'}
