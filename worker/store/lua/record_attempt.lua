-- Record an attempt to deliver a webhook, and when the next one is due.
-- KEYS 1 event · 2 due:deliver · 3 erase
-- ARGV 1 event id · 2 expected version · 3 new version · 4 status · 5 sealed record · 6 due ms ("" = never again)
--      7 host · 8 "up" | "down" | "" what the attempt says of the host · 9 order whose code may now be erased ("" = none)
--      10 ms until it is
-- Gives 1, or 0 when the event was changed or is gone
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local flight = "rb:host:" .. ARGV[7]
redis.call("ZREM", flight, ARGV[1])
if ARGV[8] == "up" then redis.call("DEL", flight .. ":failures") end
if ARGV[8] == "down" then
  redis.call("INCR", flight .. ":failures")
  redis.call("EXPIRE", flight .. ":failures", 3600)
end
if redis.call("HGET", KEYS[1], "v") ~= ARGV[2] then return 0 end
redis.call("HSET", KEYS[1], "v", ARGV[3], "s", ARGV[4], "d", ARGV[5])
if ARGV[6] == "" then redis.call("ZREM", KEYS[2], ARGV[1]) else redis.call("ZADD", KEYS[2], ARGV[6], ARGV[1]) end
if ARGV[9] ~= "" then redis.call("ZADD", KEYS[3], "LT", now + tonumber(ARGV[10]), ARGV[9]) end
return 1
