-- Reads the open holds, the budget windows and the clients as of one moment, for the audit.
--
-- KEYS  1 state (see _hold.lua)   2 open holds   3 event stream
--       4.. budget windows that are known to exist, then clients
-- ARGV  1 start of the name of every hold   2 of every budget window   3 how many windows KEYS has
-- Returns  {now ms, newest event that waits ('' for none), {request id, budgets, context, handed,
--           ...} of each open hold, {budget window, spent, held, ...} of KEYS and of the windows
--           of these holds, {client, requests in flight, ...}, epoch, sequence, whether a rebuild
--           is at work, why admission is suspended ('' where it is not), {request id, state, ...}
--           of what is listed as an open hold and is none}
--
-- The events themselves are read afterwards, a page at a time: there may be a million of them, and
-- nobody else is served while a script runs.

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local names, known = {}, {}
local last = 3 + tonumber(ARGV[3])
for i = 4, last do
  table.insert(names, KEYS[i])
  known[KEYS[i]] = true
end

local holds, strays = {}, {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local hold = redis.call('HMGET', ARGV[1] .. id, 'state', 'budgets', 'context', 'handed')
  if hold[1] == 'open' then
    table.insert(holds, id)
    table.insert(holds, hold[2])
    table.insert(holds, hold[3])
    table.insert(holds, hold[4] or '')
    for budget, start in string.gmatch(hold[2], '(%d+):(%d+):%d+:%d+:%a+') do
      local name = ARGV[2] .. budget .. ':' .. start
      if not known[name] then
        table.insert(names, name)
        known[name] = true
      end
    end
  elseif #strays < 200 then
    table.insert(strays, id)
    table.insert(strays, hold[1] or 'gone')
  end
end

local windows = {}
for _, name in ipairs(names) do
  local counters = redis.call('HMGET', name, 'spent', 'held')
  if counters[1] or counters[2] then
    table.insert(windows, name)
    table.insert(windows, counters[1] or '0')
    table.insert(windows, counters[2] or '0')
  end
end

local clients = {}
for i = last + 1, #KEYS do
  table.insert(clients, KEYS[i])
  table.insert(clients, redis.call('HGET', KEYS[i], 'inflight') or '0')
end

local newest = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
local state = redis.call('HMGET', KEYS[1], 'epoch', 'sequence', 'admits', 'why', 'frozen_until')
local frozen = state[5] and tonumber(state[5]) > now_ms
local why = ''
if state[1] and not state[3] then why = state[4] or 'for no reason that is noted' end
return {now_ms, newest and newest[1] or '', holds, windows, clients, state[1] or '0',
  state[2] or '0', frozen and 1 or 0, why, strays}
