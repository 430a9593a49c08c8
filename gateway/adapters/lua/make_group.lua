-- Makes the recorders' consumer group, unless it is there.
--
-- KEYS  1 event stream
-- ARGV  1 name of the group
-- Returns  1 where it was made, else 0
--
-- A script because it may write in a Redis without memory: a recorder that starts then is what
-- makes room.

local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP') then return made end
return made.err and 0 or 1
