-- Notes owned objects, or what is new about them, until SQL has them.
--
-- KEYS  1 objects waiting (hash: JSON by kind and id)
-- ARGV  1.. name and JSON of each object
-- Returns  how many were noted
--
-- One that waits already keeps what no note may undo, as in SQL (object_rows.py): its owner,
-- that it is deleted, that its work is settled, and what the newer note says nothing about.
-- Another owner's note changes nothing.

local function known(value)
  return value ~= nil and value ~= cjson.null
end

for i = 1, #ARGV, 2 do
  local waiting = redis.call('HGET', KEYS[1], ARGV[i])
  local note = ARGV[i + 1]
  if waiting and waiting ~= note then
    local old, new = cjson.decode(waiting), cjson.decode(note)
    if old.client_id == new.client_id then
      if known(new.data) then old.data = new.data end
      if known(new.work) then old.work = new.work end
      if known(new.work_state) and old.work_state ~= 'settled' then
        old.work_state = new.work_state
      end
      old.deleted = old.deleted or new.deleted
    end
    note = cjson.encode(old)
  end
  redis.call('HSET', KEYS[1], ARGV[i], note)
end
return #ARGV / 2
