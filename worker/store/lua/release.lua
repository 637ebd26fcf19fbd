-- Give back what a worker was delivering: its places at the receiving hosts are free, and it is due at once. What was
-- given back before waits longer each time, from seconds to ten minutes: it may be what kills the workers.
-- A worker that has been heard of again keeps everything, and one that somebody else has taken off the list is done.
-- KEYS 1 workers · 2 what it claimed of late · 3 due:deliver.  ARGV 1 worker · 2 ms of silence after which it counts as dead
-- Returns how many, or -1 in those cases
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local heard = redis.call("ZSCORE", KEYS[1], ARGV[1])
if not heard or now - tonumber(heard) < tonumber(ARGV[2]) then return -1 end
local given, claimed = 0, redis.call("ZRANGEBYSCORE", KEYS[2], "(" .. now, "+inf", "WITHSCORES")
for i = 1, #claimed, 2 do
  local id = claimed[i]
  -- Only what still stands under this very lease: the rest has been recorded, or somebody else has it.
  if tonumber(redis.call("ZSCORE", KEYS[3], id) or "0") == tonumber(claimed[i + 1]) then
    local before = redis.call("HINCRBY", "rb:event:" .. id, "r", 1) - 1
    local pause = before > 0 and math.min(600000, 4000 * 4 ^ (before - 1)) or 0
    redis.call("ZADD", KEYS[3], now + pause, id)
    local known = redis.call("HMGET", "rb:event:" .. id, "h", "p", "c")
    local host, caller = "rb:host:" .. (known[1] or ""), known[3] or ""
    for _, key in ipairs({
      "rb:endpoint:" .. (known[2] or known[1] or ""), host, host .. ":" .. caller, "rb:caller:" .. caller .. ":delivering",
    }) do redis.call("ZREM", key, id) end
    given = given + 1
  end
end
redis.call("DEL", KEYS[2])
redis.call("ZREM", KEYS[1], ARGV[1])
return given
