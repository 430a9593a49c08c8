-- Announces a policy version; an older one never replaces a newer one.
--
-- KEYS  1 policy version
-- ARGV  1 version   2 "open" where a Redis without a policy may be opened with it
-- Returns  the version in force, 0 where there is none
--
-- A Redis without a policy has lost its counters, and a version in it lets requests in: only
-- who has restored them, or knows that there are none, may write the first.

local current = redis.call('GET', KEYS[1])
if not current and ARGV[2] ~= 'open' then return 0 end
if tonumber(ARGV[1]) > tonumber(current or '0') then
  redis.call('SET', KEYS[1], ARGV[1])
  return tonumber(ARGV[1])
end
return tonumber(current)
