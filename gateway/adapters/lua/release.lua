-- Drops a hold because the provider billed nothing, and emits a zero-cost usage event.
--
-- KEYS  1 state   2 this hold   3 open holds   4 client   5 event stream   6.. budget windows
-- ARGV  1 request id   2 result JSON
--       3 to 6 the hold as it was placed: budgets, context, server time ms, amount nano
--       7 what SQL knows of this request, as in settle   8 epoch of the reserve ('0': not known)
-- Returns  {released, left nano}   {already}   {mismatch}   {late}   {frozen}
--
-- Where there is no such hold its id is closed: the reserve may still be on its way (its reply
-- was lost), and must not place a hold that nobody owns. Where Redis may have lost the hold, SQL is
-- asked whether it had expired; and where it had expired in an earlier epoch, whether that was
-- corrected, as in settle.

local state = read_state()
if state.frozen then return {'frozen'} end

local hold = read_hold(KEYS[2])
local lost = not hold
if lost then
  if ARGV[7] == '' and ARGV[8] ~= '0' and ARGV[8] ~= state.epoch then return {'late'} end
  if ARGV[7] == '' then
    close_id(KEYS[2], false, true)
    return {'already'}
  end
  hold = {state = 'lost', budgets = ARGV[3], context = ARGV[4], at = ARGV[5],
    amount = tonumber(ARGV[6]), tokens = 0, token_us = 0}
  local charged = tonumber(ARGV[7])
  if charged >= 0 then hold.state, hold.charged = 'expired', charged end
end
if hold.state == 'closed' then return {'already'} end
if hold.state == 'expired' and ARGV[7] == '' and ARGV[8] ~= '0' and ARGV[8] ~= state.epoch then
  return {'late'}
end
local budgets = budgets_of(hold, 6)
if not budgets then return {'mismatch'} end
local at = now_ms()

if hold.state == 'expired' then
  local left = charge(budgets, 6, -hold.charged, false)
  emit(state, KEYS[5], ARGV[1], 'correction', 'released', -hold.charged, hold, ARGV[2], at)
  close_id(KEYS[2], hold.handed, true)
  return {'released', left}
end

local left = charge(budgets, 6, 0, not lost)
emit(state, KEYS[5], ARGV[1], 'request', 'released', 0, hold, ARGV[2], at)
close_id(KEYS[2], hold.handed, true)
if lost then return {'released', left} end
leave(hold, KEYS[3], KEYS[4], ARGV[1])
if hold.token_us > 0 and not hold.handed then
  local tat = tonumber(redis.call('HGET', KEYS[4], 'tokens_tat') or '0')
  redis.call('HSET', KEYS[4], 'tokens_tat', integer(math.max(tat - hold.tokens * hold.token_us, 0)))
end
return {'released', left}
