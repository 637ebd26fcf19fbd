-- Reserve one call to the provider outside a claim: the second call of a settle step, an account read.
-- KEYS 1 limit.  ARGV 1 cap on calls per second ("" = none). Returns ms to wait
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local limit = redis.call("HMGET", KEYS[1], "hold", "rate", "since", "next")
local rate, since = tonumber(limit[2] or "0"), tonumber(limit[3] or "0")
if rate > 0 then
  if now - since > 300000 then rate = 0 else rate = rate + math.max(0.5, rate / 30) * (now - since) / 1000 end
end
local cap = tonumber(ARGV[1])
if cap and (rate == 0 or cap < rate) then rate = cap end
if rate == 0 then return 0 end
local slot = math.max(tonumber(limit[4] or "0"), now)
redis.call("HSET", KEYS[1], "next", tostring(slot + 1000 / rate))
return math.ceil(slot - now)
