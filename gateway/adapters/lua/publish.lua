-- Announces a policy version; an older one never replaces a newer one.
--
-- KEYS  1 state (see _hold.lua)   2 policy version
-- ARGV  1 version   2 run id of the server, where a Redis without a policy may be opened with
--       this one, else ''
-- Returns  the version in force, 0 where there is none
--
-- A Redis without a policy has lost its counters, and a version in it lets requests in: only
-- who knows that there is nothing to restore may write the first.

local current = redis.call('GET', KEYS[2])
if not current then
  if ARGV[2] == '' then return 0 end
  if redis.call('EXISTS', KEYS[1]) == 0 then
    local time = redis.call('TIME')
    redis.call('HSET', KEYS[1], 'epoch',
      string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)),
      'sequence', '0', 'server', ARGV[2], 'admits', '1')
  end
end
if tonumber(ARGV[1]) > tonumber(current or '0') then
  redis.call('SET', KEYS[2], ARGV[1])
  return tonumber(ARGV[1])
end
return tonumber(current)
