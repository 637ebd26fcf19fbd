-- Note that a worker lives, and find one that has not said so for too long.
-- KEYS 1 workers.  ARGV 1 worker · 2 ms of silence after which a worker counts as dead · 3 ms after which all were silent
-- Returns a dead worker, or ""
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local latest = redis.call("ZREVRANGE", KEYS[1], 0, 0, "WITHSCORES")
if latest[2] and now - tonumber(latest[2]) > tonumber(ARGV[3]) then
  -- Nobody was heard, because the store was away or stood still: that says nothing about anybody.
  for _, worker in ipairs(redis.call("ZRANGE", KEYS[1], 0, -1)) do redis.call("ZADD", KEYS[1], now, worker) end
end
redis.call("ZADD", KEYS[1], now, ARGV[1])
return redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", now - tonumber(ARGV[2]), "LIMIT", 0, 1)[1] or ""
