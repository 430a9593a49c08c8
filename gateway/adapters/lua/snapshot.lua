-- Reads the open holds and the budget windows as of one moment, for the audit.
--
-- KEYS  1 open holds   2 event stream   3.. budget windows that are known to exist
-- ARGV  1 start of the name of every hold   2 of every budget window
-- Returns  {now ms, events as XRANGE has them, {request id, budgets, ...} of each open hold,
--           {budget window, spent, held, ...} of KEYS and of the windows of these holds}

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local names, known = {}, {}
for i = 3, #KEYS do
  table.insert(names, KEYS[i])
  known[KEYS[i]] = true
end

local holds = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local hold = redis.call('HMGET', ARGV[1] .. id, 'state', 'budgets')
  if hold[1] == 'open' then
    table.insert(holds, id)
    table.insert(holds, hold[2])
    for budget, start in string.gmatch(hold[2], '(%d+):(%d+):%d+:%d+:%a+') do
      local name = ARGV[2] .. budget .. ':' .. start
      if not known[name] then
        table.insert(names, name)
        known[name] = true
      end
    end
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
return {now_ms, redis.call('XRANGE', KEYS[2], '-', '+'), holds, windows}
