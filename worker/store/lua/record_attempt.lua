-- Record an attempt to deliver a webhook, when the next one is due, and who takes the place that is free at its host.
-- KEYS 1 event · 2 due:deliver · 3 erase · 4 in flight to the host · 5 waiting for the host · 6 the host's failures in a row
-- ARGV 1 event id · 2 expected version · 3 new version · 4 status · 5 sealed record · 6 due ms ("" = never again)
--      7 "up" | "down" | "" what the attempt says of the host · 8 order whose code may now be erased ("" = none)
--      9 ms until it is · 10 in flight per host · 11 failures until a host is only probed
-- Returns { 1, or 0 when the event was changed or is gone; how many that waited for the host are due now }
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call("ZREM", KEYS[4], ARGV[1])
redis.call("ZREMRANGEBYSCORE", KEYS[4], "-inf", now)
local fails = 0
if ARGV[7] == "up" then
  redis.call("DEL", KEYS[6])
elseif ARGV[7] == "down" then
  fails = redis.call("INCR", KEYS[6])
  redis.call("EXPIRE", KEYS[6], 3600)
else
  fails = tonumber(redis.call("GET", KEYS[6]) or "0")
end

local written = 0
if redis.call("HGET", KEYS[1], "v") == ARGV[2] then
  written = 1
  redis.call("HSET", KEYS[1], "v", ARGV[3], "s", ARGV[4])
  redis.call("SET", KEYS[1] .. ":record", ARGV[5], "KEEPTTL")
  if ARGV[4] == "delivered" then
    redis.call("SET", (string.gsub(KEYS[6], "failures$", "good")), now, "EX", 604800)
  elseif ARGV[4] ~= "pending" then
    redis.call("ZADD", "rb:events:" .. ARGV[4], now, ARGV[1])
  end
  if ARGV[6] == "" then redis.call("ZREM", KEYS[2], ARGV[1]) else redis.call("ZADD", KEYS[2], ARGV[6], ARGV[1]) end
  if ARGV[8] ~= "" then redis.call("ZADD", KEYS[3], "LT", now + tonumber(ARGV[9]), ARGV[8]) end
end

local cap = fails >= tonumber(ARGV[11]) and 1 or tonumber(ARGV[10])
local free, woken = cap - redis.call("ZCARD", KEYS[4]), 0
if free > 0 then
  local waiting = redis.call("ZPOPMIN", KEYS[5], free)
  for i = 1, #waiting, 2 do woken = woken + redis.call("ZADD", KEYS[2], "XX", "CH", now, waiting[i]) end
end
return { written, woken }
