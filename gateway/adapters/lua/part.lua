-- Parts the hold of one request from an outage allowance, which was held beforehand.
--
-- KEYS  1 state   2 hold of the allowance   3 this hold   4 open holds   5 client
-- ARGV  1 request id   2 lease ms   3 amount nano   4 budgets   5 time of the request, ms
--       6 context JSON   7 epoch of the allowance, '' where SQL knows no end of the request
-- Returns  {parted}   {already}   {gone} where the allowance is not open (any more), or has less
--          {late}   {frozen}
--
-- In another epoch the hold may have been parted, and have ended, in what Redis has lost: that is
-- "late", and SQL must be asked first.
-- What is held stays the same: it only changes its owner. So a request that was served while
-- Redis was away is within its budgets, whoever else has been admitted since.

local state = read_state()
if state.frozen then return {'frozen'} end
if redis.call('EXISTS', KEYS[3]) == 1 then return {'already'} end
if ARGV[7] ~= '' and ARGV[7] ~= state.epoch then return {'late'} end
local allowance = read_hold(KEYS[2])
local amount = tonumber(ARGV[3])
if not allowance or allowance.state ~= 'open' or allowance.amount < amount then return {'gone'} end

local left = {}
for id, start, held, limit, enforcement in
  string.gmatch(allowance.budgets, '(%d+):(%d+):(%d+):(%d+):(%a+)') do
  table.insert(left, string.format('%s:%s:%s:%s:%s', id, start, integer(tonumber(held) - amount),
    limit, enforcement))
end
redis.call('HSET', KEYS[2], 'amount', integer(allowance.amount - amount), 'budgets',
  table.concat(left, ','))
redis.call('HSET', KEYS[3], 'state', 'open', 'amount', ARGV[3], 'granted', '0', 'budgets', ARGV[4],
  'at', ARGV[5], 'tokens', '0', 'token_us', '0', 'context', ARGV[6])
redis.call('ZADD', KEYS[4], integer(now_ms() + tonumber(ARGV[2])), ARGV[1])
redis.call('HINCRBY', KEYS[5], 'inflight', 1)
redis.call('HINCRBY', KEYS[1], 'sequence', 1)
return {'parted'}
