-- Hands an open hold over to long-lived work: a batch, a fine-tuning job, a background response.
--
-- KEYS  1 state   2 this hold   3 open holds   4 client
-- ARGV  1 request id   2 lease ms
-- Returns  {handed}   {already}   {absent} where the hold is not open (any more)   {frozen}
--
-- Its request has been answered, so it no longer counts as one in flight; its lease is long,
-- since whoever follows the work renews it and may be away for a while. Where it has expired
-- already it is kept for as long, so that the end of the work corrects what was charged.

if read_state().frozen then return {'frozen'} end
local hold = read_hold(KEYS[2])
if hold and hold.state == 'expired' then
  redis.call('HSET', KEYS[2], 'handed', '1')
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
if not hold or hold.state ~= 'open' then return {'absent'} end
redis.call('ZADD', KEYS[3], 'XX', 'GT', integer(now_ms() + tonumber(ARGV[2])), ARGV[1])
if hold.handed then return {'already'} end
redis.call('HSET', KEYS[2], 'handed', '1')
redis.call('HINCRBY', KEYS[4], 'inflight', -1)
redis.call('HINCRBY', KEYS[1], 'sequence', 1)
return {'handed'}
