-- Reserve one call to the provider outside a claim: the second call of a settle step, an account read.
-- Needs rate.lua.
-- KEYS 1 limit.  ARGV 1 cap on calls per second ("" = none). Returns ms to wait
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local limit = redis.call("HMGET", KEYS[1], "hold", "rate", "since", "next")
local rate = calls_per_second(now, tonumber(limit[2] or "0"), tonumber(limit[3] or "0"), tonumber(ARGV[1]))
if rate == 0 then return 0 end
local slot = math.max(tonumber(limit[4] or "0"), now)
redis.call("HSET", KEYS[1], "next", tostring(slot + 1000 / rate))
return math.ceil(slot - now)
