-- The provider asked for less: hold everyone back, then go on at half the rate and increase it additively.
-- KEYS 1 limit.  ARGV 1 ms to hold · 2 calls per second seen of late
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local held = tonumber(redis.call("HGET", KEYS[1], "hold") or "0")
local till = math.max(held, now + tonumber(ARGV[1]))
if held > now then
  -- One incident, many answers: the rate is halved once.
  redis.call("HSET", KEYS[1], "hold", till)
else
  redis.call("HSET", KEYS[1], "hold", till, "rate", tostring(math.max(1, tonumber(ARGV[2]) / 2)), "since", till)
end
return till
