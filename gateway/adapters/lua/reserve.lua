-- Places one hold against every budget and limit of a request, or refuses and writes nothing.
-- Looking, it says what it would do and how everything stands, and writes nothing either way.
--
-- KEYS  1 state (see _hold.lua)   2 policy version
--       3 open holds (sorted set: lease end ms by request id)   4 this hold
--       5 client (hash: inflight, requests_tat, tokens_tat in us)
--       6 need (hash: mean, deviation of output tokens x 1000)   7.. budget windows (hash:
--       spent, held), in the order of ARGV
-- ARGV  1 policy version   2 request id   3 lease ms   4 fixed nano   5 nano per output token
--       6 choices   7 wanted output tokens per choice   8 floor   9 prompt tokens
--       10 requests/min   11 tokens/min   12 concurrent requests (0 = no limit)
--       13 context JSON   14 epoch that the caller knows   15 highest sequence it has seen in it
--       16 1 to look
--       then for each budget: id, limit nano, enforcement, window start ms,
--       window end ms
-- Returns  {granted, output tokens per choice, amount nano, now ms, left nano (-1: no hard
--           budget), requests left, requests reset ms, tokens left, tokens reset ms, budgets as
--           the hold keeps them, sequence}
--          {suspended}   {epoch, the one in force, sequence}
--          {stale, version in Redis ('' when Redis has none)}   {window, now ms}   {closed}
--          {budget, index from 0, spent, held, affordable output tokens, now ms}
--          {requests | tokens | concurrent, wait ms (-1: never), left}
--          Looking, from {budget} and {granted} on: {looked, that answer, index from 0 of the
--          budget that decides how much is granted or refuses (-1: none), {spent, held, would
--          hold} of each budget, {inflight, requests_tat, tokens_tat, now us}, {mean, deviation}},
--          '' for what is not; a budget would hold -1 where the request is refused
--
-- Idempotent by request id: an open hold answers as it was granted.

local MINUTE_US = 60000000

local function integer(number)
  return string.format('%.0f', number)
end

local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now_ms = math.floor(now_us / 1000)

-- A caller that knows more than Redis does has met a Redis that lost something.
local state = redis.call('HMGET', KEYS[1], 'epoch', 'sequence', 'admits')
if not state[3] then return {'suspended'} end
if state[1] ~= ARGV[14] then return {'epoch', state[1], state[2]} end
local looks = ARGV[16] == '1'
if tonumber(state[2]) < tonumber(ARGV[15]) then
  if looks then return {'suspended'} end
  redis.call('HDEL', KEYS[1], 'admits')
  redis.call('HSET', KEYS[1], 'suspended_at', integer(now_ms), 'why',
    'a gateway has seen later changes than this Redis has')
  return {'suspended'}
end

local placed = redis.call('HMGET', KEYS[4], 'state', 'granted', 'amount', 'budgets')
if placed[1] == 'open' then
  return {'granted', tonumber(placed[2]), tonumber(placed[3]), now_ms, -1, -1, 0, -1, 0,
    placed[4], tonumber(state[2])}
elseif placed[1] then
  return {'closed'}
end

local version = redis.call('GET', KEYS[2])
if version ~= ARGV[1] then return {'stale', version or ''} end

local fixed, rate, choices = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local granted, floor, prompt = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local per_token = rate * choices

-- Expected output in the manner of RFC 6298: mean plus four mean deviations.
local need = redis.call('HMGET', KEYS[6], 'mean', 'deviation')
local expected = nil
if need[1] then
  expected = math.ceil((tonumber(need[1]) + 4 * tonumber(need[2])) / 1000)
end

-- Every check before the first write: a script that fails half-way is not rolled back.
local budgets = {}
local tightest = nil
for i = 17, #ARGV, 5 do
  local budget = {id = ARGV[i], limit = tonumber(ARGV[i + 1]), enforcement = ARGV[i + 2],
    start = ARGV[i + 3], finish = tonumber(ARGV[i + 4])}
  table.insert(budgets, budget)
  budget.key = KEYS[6 + #budgets]
  if now_ms < tonumber(budget.start) or now_ms >= budget.finish then
    return {'window', now_ms}
  end
  local counters = redis.call('HMGET', budget.key, 'spent', 'held')
  budget.fresh = not counters[1] and not counters[2]
  budget.spent, budget.held = tonumber(counters[1] or '0'), tonumber(counters[2] or '0')
  if budget.enforcement ~= 'soft' then
    local room = budget.limit - budget.spent - budget.held
    local needed = fixed + per_token * granted
    if budget.enforcement == 'expected' and expected then
      needed = math.min(needed, fixed + rate * expected)
    end
    if needed > room then
      local affordable = -1
      if room >= fixed then
        affordable = per_token > 0 and math.floor((room - fixed) / per_token) or granted
        -- The division is in floating point: never let it round a token into the budget.
        while affordable >= 0 and fixed + per_token * affordable > room do
          affordable = affordable - 1
        end
      end
      if affordable < granted then granted, tightest = affordable, #budgets end
    end
  end
end
local client = redis.call('HMGET', KEYS[5], 'inflight', 'requests_tat', 'tokens_tat')

-- The answer, or where the caller looks, all that it follows from.
local function told(answer)
  if not looks then return answer end
  local stand = {}
  for _, budget in ipairs(budgets) do
    table.insert(stand, {budget.spent, budget.held, budget.holds or -1})
  end
  return {'looked', answer, (tightest or 0) - 1, stand,
    {client[1] or '', client[2] or '', client[3] or '', integer(now_us)},
    {need[1] or '', need[2] or ''}}
end

if tightest and granted < floor then
  local budget = budgets[tightest]
  return told({'budget', tightest - 1, budget.spent, budget.held, math.max(granted, 0), now_ms})
end

local requests_limit, tokens_limit = tonumber(ARGV[10]), tonumber(ARGV[11])
local concurrent_limit = tonumber(ARGV[12])
if concurrent_limit > 0 and tonumber(client[1] or '0') >= concurrent_limit then
  return told({'concurrent', 1000, 0})
end

-- Generic cell rate algorithm: `tat` is when a full minute's allowance is available again.
local requests_left, requests_reset, requests_tat = -1, 0, nil
if requests_limit > 0 then
  local interval = MINUTE_US / requests_limit
  requests_tat = math.max(tonumber(client[2] or '0'), now_us) + interval
  local wait = requests_tat - now_us - MINUTE_US
  -- A microsecond of slack: the interval is rarely a whole number of microseconds.
  if wait > 1 then return told({'requests', math.ceil(wait / 1000), 0}) end
  requests_left = math.max(math.floor((MINUTE_US - (requests_tat - now_us)) / interval + 0.001), 0)
  requests_reset = math.ceil((requests_tat - now_us) / 1000)
end
local tokens_left, tokens_reset, tokens_tat = -1, 0, nil
local tokens, token_us = 0, 0
if tokens_limit > 0 then
  if prompt > tokens_limit then return told({'tokens', -1, tokens_limit}) end
  token_us = MINUTE_US / tokens_limit
  local output = math.min(expected or floor * choices, granted * choices)
  tokens = math.min(prompt + math.max(output, 0), tokens_limit)
  tokens_tat = math.max(tonumber(client[3] or '0'), now_us) + tokens * token_us
  local wait = tokens_tat - now_us - MINUTE_US
  if wait > 1 then
    local left = math.floor((MINUTE_US - (tokens_tat - tokens * token_us - now_us)) / token_us)
    return told({'tokens', math.ceil(wait / 1000), math.max(left, 0)})
  end
  tokens_left = math.max(math.floor((MINUTE_US - (tokens_tat - now_us)) / token_us + 0.001), 0)
  tokens_reset = math.ceil((tokens_tat - now_us) / 1000)
end

local amount = fixed + per_token * granted
local left = -1
local written = {}
for _, budget in ipairs(budgets) do
  budget.holds = amount
  if budget.enforcement == 'expected' and expected then
    budget.holds = math.min(amount, fixed + rate * expected)
  end
  table.insert(written, string.format('%s:%s:%s:%s:%s', budget.id, budget.start,
    integer(budget.holds), integer(budget.limit), budget.enforcement))
  if budget.enforcement ~= 'soft' then
    local room = math.max(budget.limit - budget.spent - budget.held - budget.holds, 0)
    if left < 0 or room < left then left = room end
  end
end
local placed_on = table.concat(written, ',')
if looks then
  return told({'granted', granted, amount, now_ms, left, requests_left, requests_reset,
    tokens_left, tokens_reset, placed_on, tonumber(state[2])})
end

for _, budget in ipairs(budgets) do
  redis.call('HINCRBY', budget.key, 'held', integer(budget.holds))
  if budget.fresh and budget.finish < 9007199254740991 then
    -- Counters outlive their window for late corrections and the audit, then go by themselves.
    redis.call('PEXPIREAT', budget.key, integer(budget.finish + 3456000000))
  end
end
redis.call('HSET', KEYS[4], 'state', 'open', 'amount', integer(amount), 'granted',
  integer(granted), 'budgets', placed_on, 'at', integer(now_ms), 'tokens',
  integer(tokens), 'token_us', string.format('%.6f', token_us), 'context', ARGV[13])
redis.call('ZADD', KEYS[3], integer(now_ms + tonumber(ARGV[3])), ARGV[2])
redis.call('HINCRBY', KEYS[5], 'inflight', 1)
if requests_tat then redis.call('HSET', KEYS[5], 'requests_tat', integer(requests_tat)) end
if tokens_tat then redis.call('HSET', KEYS[5], 'tokens_tat', integer(tokens_tat)) end
local sequence = redis.call('HINCRBY', KEYS[1], 'sequence', 1)
return {'granted', granted, amount, now_ms, left, requests_left, requests_reset, tokens_left,
  tokens_reset, placed_on, sequence}
