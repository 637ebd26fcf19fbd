-- Record an attempt to deliver a webhook, when the next one is due, and who takes the places that are free now.
-- KEYS 1 event · 2 due:deliver · 3 erase · 4 endpoint · 5 host · 6 the caller's deliveries at the host · 7 the caller's deliveries
-- ARGV 1 event id · 2 expected version · 3 new version · 4 status · 5 sealed record · 6 due ms ("" = never again)
--      7 "up" | "down" | "" what the attempt says of the endpoint · 8 the same of the host
--      9 order whose code may now be erased ("" = none) · 10 ms until it is · 11 in flight per endpoint
--      12 failures until there are only probes
-- Returns { 1, or 0 when the event was changed or is gone; how many that waited for a place are due now }
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
for place = 4, 7 do
  redis.call("ZREM", KEYS[place], ARGV[1])
  redis.call("ZREMRANGEBYSCORE", KEYS[place], "-inf", now)
end
-- Count a failure in a row, or forget them; returns how many there are.
local function judged(key, word)
  if word == "up" then redis.call("DEL", key) end
  if word ~= "down" then return tonumber(redis.call("GET", key) or "0") end
  local fails = redis.call("INCR", key)
  redis.call("EXPIRE", key, 3600)
  return fails
end
local fails = judged(KEYS[4] .. ":failures", ARGV[7])
judged(KEYS[5] .. ":failures", ARGV[8])

local written = 0
if redis.call("HGET", KEYS[1], "v") == ARGV[2] then
  written = 1
  redis.call("HSET", KEYS[1], "v", ARGV[3], "s", ARGV[4])
  redis.call("HDEL", KEYS[1], "r")
  redis.call("SET", KEYS[1] .. ":record", ARGV[5], "KEEPTTL")
  if ARGV[4] == "delivered" then
    redis.call("SET", KEYS[5] .. ":good", now, "EX", 604800)
  elseif ARGV[4] ~= "pending" then
    redis.call("ZADD", "rb:events:" .. ARGV[4], now, ARGV[1])
  end
  if ARGV[6] == "" then redis.call("ZREM", KEYS[2], ARGV[1]) else redis.call("ZADD", KEYS[2], ARGV[6], ARGV[1]) end
  redis.call("ZREM", KEYS[4] .. ":waiting", ARGV[1])
  if ARGV[9] ~= "" then redis.call("ZADD", KEYS[3], "LT", now + tonumber(ARGV[10]), ARGV[9]) end
end

-- Make the longest waiting webhooks of an endpoint due; returns how many.
local function wake(endpoint, count)
  local woken = 0
  for _, id in ipairs(redis.call("ZRANGE", endpoint .. ":waiting", 0, count - 1)) do
    woken = woken + redis.call("ZADD", KEYS[2], "XX", "CH", now, id)
  end
  return woken
end
-- The next endpoints in a queue have one webhook each made due, and go to its end while they have more.
local function next_in(queue)
  local woken, turns = 0, redis.call("ZPOPMIN", queue, 2)
  for i = 1, #turns, 2 do
    woken = woken + wake(turns[i], 1)
    if redis.call("ZCARD", turns[i] .. ":waiting") > 1 then redis.call("ZADD", queue, now, turns[i]) end
  end
  return woken
end
local cap = fails >= tonumber(ARGV[12]) and 1 or tonumber(ARGV[11])
local free, woken = cap - redis.call("ZCARD", KEYS[4]), 0
if free > 0 then woken = wake(KEYS[4], free) end
return { written, woken + next_in(KEYS[5] .. ":waiting") + next_in(KEYS[7] .. ":waiting") }
