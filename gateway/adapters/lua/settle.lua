-- Replaces a hold by the actual cost and emits the usage event, in one step.
--
-- KEYS  1 this hold   2 open holds   3 client   4 need   5 event stream   6.. budget windows
-- ARGV  1 request id   2 cost nano   3 tokens used, prompt and output (-1: not known)
--       4 output tokens used (-1: not known)   5 result JSON
--       6 to 9 the hold as it was placed: budgets, context, server time ms, amount nano
--       10 "1" for long-lived work, whose follower knows from SQL that it was not settled before
-- Returns  {settled, left nano, amount nano}   {corrected, left nano, difference nano}
--          {unheld, left nano, amount nano}   {already}   {mismatch}   {late}
--
-- A second settle changes nothing. A hold that had expired was charged at its amount: the
-- difference to the true cost is posted as a correction. A hold that is not there at all,
-- because Redis has lost it, is charged all the same: the provider has billed. Only where it may
-- have ended so long ago that its end is forgotten is nothing charged: that is "late".

local hold = read_hold(KEYS[1])
if hold and hold.state == 'closed' then return {'already'} end
local lost = not hold
if lost then
  hold = {state = 'lost', budgets = ARGV[6], context = ARGV[7], at = ARGV[8],
    amount = tonumber(ARGV[9]), tokens = 0, token_us = 0}
end
local budgets = budgets_of(hold, 6)
if not budgets then return {'mismatch'} end
local cost, tokens, output = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local at = now_ms()
-- An hour less than an end is kept for: the clock of a Redis that took over may be another.
if lost and ARGV[10] ~= '1' and at - tonumber(hold.at) > ENDED_MS - 3600000 then
  return {'late'}
end

if hold.state == 'expired' then
  local difference = cost - hold.charged
  local left = charge(budgets, 6, difference, false)
  emit(KEYS[5], ARGV[1], 'correction', 'settled', difference, hold, ARGV[5], at)
  close_id(KEYS[1], hold.handed)
  return {'corrected', left, difference}
end

local left = charge(budgets, 6, cost, not lost)
emit(KEYS[5], ARGV[1], 'request', 'settled', cost, hold, ARGV[5], at)
close_id(KEYS[1], hold.handed)
if lost then return {'unheld', left, hold.amount} end
leave(hold, KEYS[2], KEYS[3], ARGV[1])
-- What long-lived work has used at the end, a day later and for many requests at once, says
-- nothing about the client's tokens of this minute, nor about what one request needs.
if hold.handed then return {'settled', left, hold.amount} end
if hold.token_us > 0 and tokens >= 0 then
  -- The limit is on tokens used: what was charged beforehand is trued up, down to a debt.
  local tat = tonumber(redis.call('HGET', KEYS[3], 'tokens_tat') or '0')
  redis.call('HSET', KEYS[3], 'tokens_tat',
    integer(math.max(tat + (tokens - hold.tokens) * hold.token_us, 0)))
end
if output >= 0 then
  local sample = output * 1000
  local need = redis.call('HMGET', KEYS[4], 'mean', 'deviation')
  local mean, deviation = sample, sample / 2
  if need[1] then
    mean, deviation = tonumber(need[1]), tonumber(need[2])
    local miss = sample - mean
    mean = mean + miss / 8
    deviation = deviation + (math.abs(miss) - deviation) / 4
  end
  redis.call('HSET', KEYS[4], 'mean', integer(mean), 'deviation', integer(deviation))
  redis.call('PEXPIRE', KEYS[4], 2592000000)
end
return {'settled', left, hold.amount}
