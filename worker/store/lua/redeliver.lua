-- Send an event once more, now, unless an attempt is under way or it was changed since it was read.
-- KEYS 1 event · 2 due:deliver · 3 deliveries in flight to its endpoint
-- ARGV 1 id · 2 expected version · 3 new version · 4 sealed record
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local lease = redis.call("ZSCORE", KEYS[3], ARGV[1])
if lease and tonumber(lease) > now then return 0 end
if redis.call("HGET", KEYS[1], "v") ~= ARGV[2] then return 0 end
redis.call("HSET", KEYS[1], "v", ARGV[3], "s", "pending")
redis.call("SET", KEYS[1] .. ":record", ARGV[4], "KEEPTTL")
redis.call("ZADD", KEYS[2], now, ARGV[1])
redis.call("ZREM", "rb:events:exhausted", ARGV[1])
redis.call("ZREM", "rb:events:gone", ARGV[1])
return 1
