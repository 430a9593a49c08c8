-- Replaces a hold by the actual cost and emits the usage event, in one step.
--
-- KEYS  1 state   2 this hold   3 open holds   4 client   5 need   6 event stream
--       7.. budget windows
-- ARGV  1 request id   2 cost nano   3 tokens used, prompt and output (-1: not known)
--       4 output tokens used (-1: not known)   5 result JSON
--       6 to 9 the hold as it was placed: budgets, context, server time ms, amount nano
--       10 what SQL knows of this request: '' nobody asked, -1 nothing, else the nano-dollars
--       that were charged when its hold expired   11 epoch of the reserve
-- Returns  {settled, left nano, amount nano}   {corrected, left nano, difference nano}
--          {unheld, left nano, amount nano}   {already}   {mismatch}   {late}   {frozen}
--
-- A second settle changes nothing. A hold that had expired was charged at its amount: the
-- difference to the true cost is posted as a correction. A hold that is not there at all,
-- because Redis has lost it, is charged all the same: the provider has billed. Only where it may
-- have ended before Redis lost what it knew, or so long ago that its end is forgotten, must SQL be
-- asked first: that is "late". So it is where a hold had expired in an earlier epoch: a Redis that has
-- come back older may have lost that it was corrected since.

local state = read_state()
if state.frozen then return {'frozen'} end
local hold = read_hold(KEYS[2])
if hold and hold.state == 'closed' then return {'already'} end
if hold and hold.state == 'expired' and ARGV[10] == '' and ARGV[11] ~= state.epoch then
  return {'late'}
end
local lost = not hold
if lost then
  hold = {state = 'lost', budgets = ARGV[6], context = ARGV[7], at = ARGV[8],
    amount = tonumber(ARGV[9]), tokens = 0, token_us = 0}
end
local budgets = budgets_of(hold, 7)
if not budgets then return {'mismatch'} end
local cost, tokens, output = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local at = now_ms()
if lost then
  -- An hour less than an end is kept for: the clock of a Redis that took over may be another.
  local forgotten = ARGV[11] ~= state.epoch or at - tonumber(hold.at) > ENDED_MS - 3600000
  if ARGV[10] == '' and forgotten then return {'late'} end
  local charged = tonumber(ARGV[10] == '' and '-1' or ARGV[10])
  if charged >= 0 then hold.state, hold.charged = 'expired', charged end
end

if hold.state == 'expired' then
  local difference = cost - hold.charged
  local left = charge(budgets, 7, difference, false)
  emit(state, KEYS[6], ARGV[1], 'correction', 'settled', difference, hold, ARGV[5], at)
  close_id(KEYS[2], hold.handed)
  return {'corrected', left, difference}
end

local left = charge(budgets, 7, cost, not lost)
emit(state, KEYS[6], ARGV[1], 'request', 'settled', cost, hold, ARGV[5], at)
close_id(KEYS[2], hold.handed)
if lost then return {'unheld', left, hold.amount} end
leave(hold, KEYS[3], KEYS[4], ARGV[1])
-- What long-lived work has used at the end, a day later and for many requests at once, says
-- nothing about the client's tokens of this minute, nor about what one request needs.
if hold.handed then return {'settled', left, hold.amount} end
if hold.token_us > 0 and tokens >= 0 then
  -- The limit is on tokens used: what was charged beforehand is trued up, down to a debt.
  local tat = tonumber(redis.call('HGET', KEYS[4], 'tokens_tat') or '0')
  redis.call('HSET', KEYS[4], 'tokens_tat',
    integer(math.max(tat + (tokens - hold.tokens) * hold.token_us, 0)))
end
if output >= 0 then
  local sample = output * 1000
  local need = redis.call('HMGET', KEYS[5], 'mean', 'deviation')
  local mean, deviation = sample, sample / 2
  if need[1] then
    mean, deviation = tonumber(need[1]), tonumber(need[2])
    local miss = sample - mean
    mean = mean + miss / 8
    deviation = deviation + (math.abs(miss) - deviation) / 4
  end
  redis.call('HSET', KEYS[5], 'mean', integer(mean), 'deviation', integer(deviation))
  redis.call('PEXPIRE', KEYS[5], 2592000000)
end
return {'settled', left, hold.amount}
