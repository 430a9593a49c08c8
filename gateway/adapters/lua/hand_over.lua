-- Hands an open hold over to long-lived work: a batch, a fine-tuning job, a background response.
--
-- KEYS  1 this hold   2 open holds   3 client
-- ARGV  1 request id   2 lease ms
-- Returns  {handed}   {already}   {absent} where the hold is not open (any more)
--
-- Its request has been answered, so it no longer counts as one in flight; its lease is long,
-- since whoever follows the work renews it and may be away for a while. Where it has expired
-- already it is kept for as long, so that the end of the work corrects what was charged.

local hold = read_hold(KEYS[1])
if hold and hold.state == 'expired' then
  redis.call('HSET', KEYS[1], 'handed', '1')
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
if not hold or hold.state ~= 'open' then return {'absent'} end
redis.call('ZADD', KEYS[2], 'XX', 'GT', integer(now_ms() + tonumber(ARGV[2])), ARGV[1])
if hold.handed then return {'already'} end
redis.call('HSET', KEYS[1], 'handed', '1')
redis.call('HINCRBY', KEYS[3], 'inflight', -1)
return {'handed'}
