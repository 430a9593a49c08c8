-- Shared by settle, release and expire: prepended to each of them when it is loaded.
--
-- A hold is a hash:  state     open | expired | closed
--                    amount    nano-dollars at worst
--                    budgets   "id:window start ms:held nano:limit nano:enforcement", comma-joined
--                    at        server time of the reserve, ms
--                    tokens    tokens charged to the tokens-per-minute limit
--                    token_us  microseconds of that limit per token (0 = no limit)
--                    context   JSON: who asked for what
--                    charged   nano-dollars charged at expiry (state expired only)
--                    handed    1 where it was handed over to long-lived work, which is no
--                              request in flight any more
--                    free      1 where nothing was billed (state closed only)
--
-- A closed hold keeps its state and whether it was free, for ENDED_MS: what comes late for it (a call whose reply
-- was lost, a reserve that was overtaken) can tell that it ended from that it never was, and
-- must neither place a hold that nobody owns nor charge a second time. Of long-lived work it keeps
-- it for thirty days: the follower that settled it may have died before it could write that down,
-- and be away for long. An expired one is kept whole for ENDED_MS.
--
-- KEYS[1] of each of these scripts is the state of all counters, a hash:
--                    epoch     when these counters began to be kept without loss, ms
--                    sequence  counts every change of them, and never goes back
--                    server    the server that keeps them, by its run id
--                    met       another one that was met, for which admission was suspended
--                    admits    1 where requests are admitted
--                    suspended_at, why    since when and why not
--                    frozen_until, frozen_by    while a rebuild computes them anew, nothing else
--                              may change them
--
-- All keys share one hash tag, so every script runs on one node of a cluster.

local ENDED_MS = 26 * 3600 * 1000

local function integer(number)
  -- tostring() would lose digits above 14. Adding 0 turns -0, which HINCRBY refuses, into 0.
  return string.format('%.0f', number + 0)
end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Epoch ('' where there is none), and whether a rebuild is at work or admission suspended.
local function read_state()
  local f = redis.call('HMGET', KEYS[1], 'epoch', 'admits', 'frozen_until')
  return {epoch = f[1] or '', suspended = not f[2],
    frozen = f[3] and tonumber(f[3]) > now_ms()}
end

local function read_hold(key)
  local f = redis.call('HMGET', key, 'state', 'amount', 'budgets', 'at', 'tokens', 'token_us',
    'context', 'charged', 'handed')
  if not f[1] then return nil end
  return {state = f[1], amount = tonumber(f[2]), budgets = f[3], at = f[4],
    tokens = tonumber(f[5] or '0'), token_us = tonumber(f[6] or '0'), context = f[7],
    charged = tonumber(f[8] or '0'), handed = f[9] == '1'}
end

-- Takes an ended hold off the list of open ones, and its request out of the client's count.
local function leave(hold, holds_key, client_key, id)
  redis.call('ZREM', holds_key, id)
  if not hold.handed then redis.call('HINCRBY', client_key, 'inflight', -1) end
end

-- The budgets of a hold in the order of the budget keys; an error if the caller brought
-- other keys than the hold was placed on, before anything is written.
local function budgets_of(hold, first_key)
  local budgets = {}
  for id, start, held, limit, enforcement in
    string.gmatch(hold.budgets, '(%d+):(%d+):(%d+):(%d+):(%a+)') do
    table.insert(budgets, {held = tonumber(held), limit = tonumber(limit),
      enforcement = enforcement})
    local key = KEYS[first_key + #budgets - 1]
    if not key or string.sub(key, -#(':' .. id .. ':' .. start)) ~= ':' .. id .. ':' .. start then
      return nil
    end
  end
  return budgets
end

local function close_id(key, handed, free)
  redis.call('DEL', key)
  redis.call('HSET', key, 'state', 'closed')
  if free then redis.call('HSET', key, 'free', '1') end
  redis.call('PEXPIRE', key, handed and 2592000000 or ENDED_MS)
end

-- Adds `cost` to spent and takes each hold back (where `unhold`); returns what is left of the
-- tightest budget that refuses, or -1 where none does.
local function charge(budgets, first_key, cost, unhold)
  local left = -1
  for i, budget in ipairs(budgets) do
    local key = KEYS[first_key + i - 1]
    local spent = redis.call('HINCRBY', key, 'spent', integer(cost))
    local held
    if unhold then
      held = redis.call('HINCRBY', key, 'held', integer(-budget.held))
    else
      held = tonumber(redis.call('HGET', key, 'held') or '0')
    end
    if budget.enforcement ~= 'strict' and cost > 0 and spent > budget.limit then
      -- Budgets that may be passed say how many requests passed them.
      redis.call('HINCRBY', key, 'passed', 1)
    end
    if budget.enforcement ~= 'soft' then
      local room = math.max(budget.limit - spent - held, 0)
      if left < 0 or room < left then left = room end
    end
  end
  return left
end

local function emit(state, stream, id, kind, outcome, cost, hold, result, at)
  local sequence = redis.call('HINCRBY', KEYS[1], 'sequence', 1)
  redis.call('XADD', stream, '*', 'id', id, 'kind', kind, 'outcome', outcome,
    'cost', integer(cost), 'hold', integer(hold.amount), 'held_at', hold.at, 'at', integer(at),
    'budgets', hold.budgets, 'context', hold.context, 'result', result,
    'epoch', state.epoch == '' and '0' or state.epoch, 'sequence', integer(sequence))
end
