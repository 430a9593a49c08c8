-- Takes owned objects that SQL has by now off the list of those that wait.
--
-- KEYS  1 objects waiting (hash: JSON by kind and id)
-- ARGV  1.. name and value of each object, as they were written down
-- Returns  how many were taken
--
-- One that has changed since it was read stays, so that its change is written down too.

local taken = 0
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    taken = taken + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return taken
