-- Places a hold again, in a Redis that has lost it.
--
-- KEYS  1 state   2 this hold   3 open holds   4 client   5.. budget windows
-- ARGV  1 request id   2 lease ms   3 amount nano   4 budgets   5 server time of the reserve, ms
--       6 context JSON   7 '1' for long-lived work, which is no request in flight
--       then for each budget window: when its counters may go, ms (0: never)
-- Returns  {placed}   {already}   {mismatch}   {frozen}
--
-- Nothing is checked: the work was admitted before, and the provider bills it.

if read_state().frozen then return {'frozen'} end

if redis.call('EXISTS', KEYS[2]) == 1 then return {'already'} end
local hold = {budgets = ARGV[4]}
local budgets = budgets_of(hold, 5)
if not budgets then return {'mismatch'} end
for i, budget in ipairs(budgets) do
  redis.call('HINCRBY', KEYS[4 + i], 'held', integer(budget.held))
  local forget = tonumber(ARGV[7 + i])
  if forget > 0 and redis.call('PTTL', KEYS[4 + i]) == -1 then
    redis.call('PEXPIREAT', KEYS[4 + i], integer(forget))
  end
end
redis.call('HSET', KEYS[2], 'state', 'open', 'amount', ARGV[3], 'granted', '0', 'budgets', ARGV[4],
  'at', ARGV[5], 'tokens', '0', 'token_us', '0', 'context', ARGV[6])
if ARGV[7] == '1' then
  redis.call('HSET', KEYS[2], 'handed', '1')
else
  redis.call('HINCRBY', KEYS[4], 'inflight', 1)
end
redis.call('ZADD', KEYS[3], integer(now_ms() + tonumber(ARGV[2])), ARGV[1])
redis.call('HINCRBY', KEYS[1], 'sequence', 1)
return {'placed'}
